"""
PagerDuty, Events API v2: https://developer.pagerduty.com/docs/send-alert-event

Our own small sender: the vendor's client waits without limit when it is rate limited.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from forewarn_alerts.notify import wording
from forewarn_alerts.notify.interface import Answer, Delivered, Message, Page, TargetType
from forewarn_alerts.notify.replies import Reply, by_status

if TYPE_CHECKING:
    from forewarn_alerts.notify.http import Poster

DEFAULT_URL: Final = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_LIMIT: Final = 1024
DEDUP_KEY_LIMIT: Final = 255
EVENT_LIMIT: Final = 512 << 10
"""Bytes of the whole event: https://developer.pagerduty.com/docs/events-api-v2-overview#size-limits"""
_DETAIL_LIMIT: Final = 8_000
_LINE_LIMIT: Final = 500


class PagerDutyConfig(BaseModel):
    """`[targets.NAME]` with `type = "pagerduty"`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["pagerduty"] = "pagerduty"
    routing_key: SecretStr = Field(min_length=32, max_length=32)
    """The integration key of a service or an event orchestration; PagerDuty's have 32 characters."""
    url: str = Field(default=DEFAULT_URL, pattern=r"^https?://")
    """For the EU service region: https://events.eu.pagerduty.com/v2/enqueue"""


class PagerDuty:
    """A target that triggers an alert for each incident."""

    type = TargetType.PAGERDUTY

    def __init__(self, name: str, config: PagerDutyConfig, poster: Poster) -> None:
        self.name = name
        self._config = config
        self._poster = poster

    def prepare(self) -> None:
        self._poster.prepare()

    def render(self, page: Page, delivery: str) -> Message:
        """Without the routing key, which is added when it is sent."""
        return Message(msgspec.json.encode(event_of(page, delivery)), {"Content-Type": "application/json"})

    def send(self, message: Message) -> Answer:
        event = msgspec.json.decode(message.body) | {"routing_key": self._config.routing_key.get_secret_value()}
        return by_status(
            self._poster.post(self._config.url, msgspec.json.encode(event), message.headers), delivered=_accepted
        )

    def close(self) -> None:
        self._poster.close()


def event_of(page: Page, delivery: str) -> dict[str, Any]:
    """The trigger event. The incident is the dedup key: a repeat joins the alert that is already open."""
    event: dict[str, Any] = {
        "event_action": "trigger",
        "dedup_key": wording.cut(page.incident, DEDUP_KEY_LIMIT),
        "client": "Forewarn",
        "payload": {
            "summary": wording.cut(wording.headline(page), SUMMARY_LIMIT),
            "source": wording.cut(page.host or page.service or "forewarn", _LINE_LIMIT),
            "severity": str(page.severity),
            "timestamp": wording.when(page.started_ns),
            "component": wording.cut(page.tool, _LINE_LIMIT),
            "group": wording.cut(page.service, _LINE_LIMIT),
            "class": page.rule,
            "custom_details": {**_details(page), "delivery": delivery},
        },
        "links": _links(page),
    }
    return event | ({"client_url": page.trace_url} if page.trace_url else {})


def _details(page: Page) -> dict[str, Any]:
    lines = {label.replace(" ", "_"): wording.cut(text, _LINE_LIMIT) for label, text in wording.facts(page)}
    return {
        "call": wording.call(page, _DETAIL_LIMIT),
        "arguments": _readable(page.arguments),
        "reasoning": wording.reasoning(page, _DETAIL_LIMIT),
        **({"note": wording.cut(page.note, _DETAIL_LIMIT)} if page.note else {}),
        "what_to_do": wording.next_steps(page),
        **lines,
        "severity": str(page.severity),
        "title": page.title,
    }


def _readable(arguments: str) -> object:
    """As an object where it is small enough to be shown as one, else as cut text."""
    if len(arguments) > _DETAIL_LIMIT:
        return wording.cut(arguments, _DETAIL_LIMIT)
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _links(page: Page) -> list[dict[str, str]]:
    links = [(page.trace_url, "Open the trace"), (page.runbook, f"Runbook: {page.rule}")]
    return [{"href": href, "text": text} for href, text in links if href.startswith(("https://", "http://"))]


def _accepted(reply: Reply) -> Delivered | None:
    """Only 202 is a yes: a 200 comes from something that is not PagerDuty."""
    if reply.status != 202:
        return None
    try:
        said = json.loads(reply.text)
        reference = str(said.get("dedup_key", "")) if isinstance(said, dict) else ""
    except ValueError:
        reference = ""
    return Delivered("202 accepted", reference)
