"""Where the demo plays: a temporary folder, a database, two local receivers, and the real pipeline that pages them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from forewarn.conventions import Environment
from forewarn_control.demo import database, pagerduty, slack
from forewarn_control.demo.receivers import Receiver
from forewarn_control.errors import DemoFailed
from forewarn_control.house import House, Serving
from forewarn_control.settings import ServeSettings, without_own

AGENT_MODULE: Final = "forewarn_control.demo.agent"
_AGENT_TIMEOUT_S: Final = 60.0
_ANY_PORT: Final = "127.0.0.1:0"
_LOCAL_ROUTING_KEY: Final = "local0demo0receiver0only00000000"


class Receivers(NamedTuple):
    """Both stand-ins."""

    pagerduty: Receiver
    slack: Receiver


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything is up; the agent has not started."""

    folder: Path
    database: Path
    receivers: Receivers
    house: House
    serving: Serving


@contextmanager
def stage() -> Iterator[Stage]:
    """Set up, and leave nothing behind however the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="forewarn-demo-") as name,
        Receiver("PagerDuty", pagerduty.answer) as pager,
        Receiver("Slack", slack.answer) as chat,
    ):
        folder = Path(name)
        production = folder / "production.sqlite3"
        database.create(production, today=datetime.now(UTC).date())
        house = House(_settings(folder / "data", pager, chat))
        serving = house.start()
        try:
            yield Stage(folder, production, Receivers(pager, chat), house, serving)
        finally:
            house.stop()


def agent_events(scene: Stage, *, pause_s: float) -> Iterator[Mapping[str, Any]]:
    """Run the agent as a process of its own; yield each line it tells. Raise DemoFailed where it does not end well."""
    command = [sys.executable, "-m", AGENT_MODULE, "--database", str(scene.database), "--pause", str(pause_s)]
    with (scene.folder / "agent.log").open("w+") as complaints:
        agent = subprocess.Popen(  # noqa: S603 -- this interpreter, this package
            command, stdout=subprocess.PIPE, stderr=complaints, env=_agent_environment(scene), cwd=scene.folder
        )
        watchdog = threading.Timer(_AGENT_TIMEOUT_S, agent.kill)
        watchdog.start()
        try:
            assert agent.stdout is not None
            for line in agent.stdout:
                yield msgspec.json.decode(line)
            status = agent.wait()
        finally:
            watchdog.cancel()
            agent.kill()
            agent.communicate()
        if status:
            complaints.seek(0)
            raise DemoFailed(f"the agent's process ended with status {status}", complaints.read().strip()[-2000:])


def _settings(data: Path, pager: Receiver, chat: Receiver) -> ServeSettings:
    """Made by hand: whatever targets this machine is configured with, the demo pages nobody but its receivers."""
    targets = {
        "local-pagerduty": {"type": "pagerduty", "routing_key": _LOCAL_ROUTING_KEY, "url": pager.url + pagerduty.PATH},
        "local-slack": {"type": "slack", "webhook_url": chat.url + slack.PATH},
    }
    values = {"data": data, "http": _ANY_PORT, "store_http": _ANY_PORT, "targets": targets}
    return ServeSettings.model_validate(values)


def _agent_environment(scene: Stage) -> dict[str, str]:
    """What a person would export by hand, as `forewarn serve` prints it; the spool stays in the demo's folder."""
    return without_own() | {
        "FOREWARN_ENDPOINT": scene.serving.endpoints.http,
        "FOREWARN_KEY": scene.serving.first_keys[Environment.PRODUCTION],
        "FOREWARN_SPOOL": os.fspath(scene.folder / "spool"),
    }
