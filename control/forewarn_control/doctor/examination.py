"""What `forewarn doctor` goes through, from this machine to the people who are paged; and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from forewarn.errors import ConfigurationError
from forewarn.settings import Settings as AgentSettings
from forewarn.settings import load_settings
from forewarn_control.doctor.agent import agent
from forewarn_control.doctor.check import Check, warning
from forewarn_control.doctor.dead_letters import dead_letters
from forewarn_control.doctor.machine import disk, extras
from forewarn_control.doctor.paging import rules, targets
from forewarn_control.doctor.server import data_folder, serving
from forewarn_control.settings import Loaded, ServeSettings, agent_origins, unknown_variables


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is in force. Secrets are masked."""

    name: str
    value: str
    origin: str


def examine(loaded: Loaded) -> Iterator[Check]:
    """Every check, each when it is done."""
    settings = loaded.settings
    yield from extras()
    yield from _variables()
    yield disk(settings.data)
    yield data_folder(settings.data)
    yield from serving(settings.data, settings.tls_cert)
    yield dead_letters(settings.data)
    yield rules(settings)
    yield from targets(settings)
    yield from agent()


def settings_in_force(loaded: Loaded) -> list[Setting]:
    """Of `serve`, then of an agent that would be started here."""
    mine = [Setting(name, shown(loaded.settings, name), loaded.origins[name]) for name in ServeSettings.model_fields]
    try:
        agents = load_settings()
    except ConfigurationError:  # its own check says so
        return mine
    origins = agent_origins(loaded.config)
    return mine + [Setting(f"agent {name}", shown(agents, name), origins[name]) for name in AgentSettings.model_fields]


def shown(settings: ServeSettings | AgentSettings, name: str) -> str:
    """A value for the eyes of whoever looks over the shoulder."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return "(set, not shown)"
    if name == "targets":
        return ", ".join(f"{target}: {config.type}" for target, config in value.items()) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{route}: {' '.join(names)}" for route, names in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value not in (None, "", Path()) else "none"


def _variables() -> Iterator[Check]:
    for name, near in unknown_variables().items():
        do = f"did you mean {near}?" if near else "remove it, or look for its name in docs/commands.md"
        yield warning("environment", f"{name} is set, and nothing reads it", do)
