"""
What is sent (`Page`), where to (`Target`), and what became of it (`Delivered`, `Retry`, `Rejected`).

To add a target: one module with its config and its sender, one line in `settings.py`, one entry in
`tests/contracts/test_notify.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import AfterValidator, SecretStr

from forewarn_alerts.rules.model import Severity


class TargetType(StrEnum):
    """Every kind of target."""

    PAGERDUTY = "pagerduty"
    SLACK = "slack"
    WEBHOOK = "webhook"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything a woken person needs, as it was when the incident opened. '' and 0 stand for what is not known."""

    incident: str
    rule: str
    title: str
    severity: Severity
    summary: str
    on: str
    """The moment: `start`, `end` or `missing_end`."""
    tool: str
    arguments: str
    """JSON text."""
    effect: str
    effect_source: str
    agent: str
    agent_path: str
    environment: str
    """Verified."""
    environment_claimed: str
    service: str
    host: str
    key_id: str
    reasoning: str
    reasoned_before_ms: int | None
    """How long before the call the reasoning was written down."""
    started_ns: int
    """When the call started, by the sender's clock."""
    recorded_ns: int
    """When its record was appended to the log, by the log's clock."""
    outcome: str
    error_type: str
    duration_ms: int
    digest: str
    trace_id: str
    span_id: str
    trace_url: str
    runbook: str
    """A URL where one is configured, else a path."""
    note: str
    is_test: bool = False
    has_ended: bool = False
    """Whether the record says that the call is over, be it without an outcome."""


@dataclass(frozen=True, slots=True)
class Message:
    """A page made ready for one target. `headers` hold no secret: those are added when it is sent."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The target has it. `reference`: the target's own name for it, if it gave one."""

    answer: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """It may work later; not before `after_s` if the target said so."""

    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The same message will never be taken; a person must mend something."""

    reason: str


Answer = Delivered | Retry | Rejected


def _is_http(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value


SecretUrl = Annotated[SecretStr, AfterValidator(_is_http)]
"""An address that may hold a token, so it is never shown."""


class Target(Protocol):
    """One place to send pages to; used by one thread at a time."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> TargetType: ...

    def prepare(self) -> None:
        """Load now what the first page would otherwise wait for. Sends nothing."""
        ...

    def render(self, page: Page, delivery: str) -> Message:
        """Pure. `delivery` is the same for every attempt, so that the receiver can tell a repeat."""
        ...

    def send(self, message: Message) -> Answer:
        """One attempt, within a bounded time. Trouble is an answer, never an exception."""
        ...

    def close(self) -> None: ...
