"""The doctor's look at alarms: rules that load and behave, and targets that can be reached. Nobody is paged."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from pydantic import SecretStr

from forewarn_alerts.notify.console import ConsoleConfig
from forewarn_alerts.rules.examples import run_examples
from forewarn_alerts.rules.faults import RuleFaults
from forewarn_alerts.rules.loading import load_rules
from forewarn_alerts.settings import AlertsConfig, TargetConfig
from forewarn_control.doctor.asking import TIMEOUT_S
from forewarn_control.doctor.check import Check, fault, ok, warning

_URL_FIELDS = ("webhook_url", "api_url", "url")
"""Where a target's address may stand; the first that is set is the one that is used."""


def rules(settings: AlertsConfig) -> Check:
    """Whether every rule loads and passes its own tests."""
    try:
        loaded = load_rules(settings.rules, routes=settings.routes())
    except RuleFaults as faults:
        found = "; ".join(str(one) for one in faults.faults)
        return fault("rules", found, "mend them, then try: forewarn rules check")
    failed = [rule.id for rule in loaded.rules if not all(verdict.passed for verdict in run_examples(rule))]
    if failed:
        return fault("rules", f"the tests of {', '.join(failed)} fail", "see why: forewarn rules test")
    return ok("rules", f"{len(loaded.rules)} load and pass their tests")


def targets(settings: AlertsConfig) -> Iterator[Check]:
    """Each target: whether its host takes a connection."""
    known = settings.all_targets()
    if all(isinstance(target, ConsoleConfig) for target in known.values()):
        do = (
            "add a [targets.NAME] to forewarn.toml, or set FOREWARN_PAGERDUTY_ROUTING_KEY or FOREWARN_SLACK_WEBHOOK_URL"
        )
        yield warning("targets", "pages go to the console of `forewarn serve` only", do)
        return
    for name, target in known.items():
        if not isinstance(target, ConsoleConfig):
            yield _reachable(name, target)


def _reachable(name: str, target: TargetConfig) -> Check:
    label = f"target {name}"
    parts = urlsplit(_url(target.model_dump()))
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError as error:
        do = "check the network and proxy of this machine; try it: forewarn notify test " + name
        return fault(label, f"{target.type}: {host}:{port} cannot be reached: {error.strerror or error}", do)
    return ok(label, f"{target.type}: {host}:{port} takes connections (nobody was paged)")


def _url(values: Mapping[str, object]) -> str:
    found = next(values[name] for name in _URL_FIELDS if values.get(name))
    return found.get_secret_value() if isinstance(found, SecretStr) else str(found)
