"""
PagerDuty's Events API v2 as documented, for a local receiver: https://developer.pagerduty.com/api-reference/events-v2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from forewarn_control.demo.receivers import Answer, Request

PATH: Final = "/v2/enqueue"
_MAX_EVENT: Final = 512 * 1024
_MAX_SUMMARY: Final = 1024
_MAX_DEDUP_KEY: Final = 255
_ROUTING_KEY_LENGTH: Final = 32
_ACTIONS: Final = {"trigger", "acknowledge", "resolve"}
_SEVERITIES: Final = {"critical", "error", "warning", "info"}
_TEXTS: Final = ("component", "group", "class")


def answer(request: Request) -> Answer:
    """202 with the dedup key, or 400 with every reason."""
    if request.path != PATH:
        return _say(404, {"status": "not found"}, (f"no such path: {request.path}",))
    if request.method != "POST":
        return _say(405, {"status": "method not allowed"}, (f"{request.method} is not POST",))
    if len(request.body) > _MAX_EVENT:
        return _say(413, {"status": "too large"}, (f"the event is larger than {_MAX_EVENT} bytes",))
    try:
        event = json.loads(request.body)
    except ValueError as broken:
        return _invalid((f"not JSON: {broken}",))
    reasons = tuple(_reasons(event)) if isinstance(event, dict) else ("the event is not an object",)
    if reasons:
        return _invalid(reasons)
    key = event.get("dedup_key", f"local-{request.received_at_ns}")
    return _say(202, {"status": "success", "message": "Event processed", "dedup_key": key})


def _reasons(event: dict[str, Any]) -> Iterator[str]:
    routing_key, key = event.get("routing_key"), event.get("dedup_key")
    if not isinstance(routing_key, str) or len(routing_key) != _ROUTING_KEY_LENGTH:
        yield "routing_key must be a text of 32 characters"
    if event.get("event_action") not in _ACTIONS:
        yield "event_action must be one of trigger, acknowledge, resolve"
    elif event["event_action"] != "trigger" and not key:
        yield "dedup_key is required to acknowledge or resolve"
    if key is not None and not (isinstance(key, str) and len(key) <= _MAX_DEDUP_KEY):
        yield "dedup_key must be a text of at most 255 characters"
    if event.get("event_action") == "trigger":
        payload = event.get("payload")
        yield from _payload_reasons(payload) if isinstance(payload, dict) else ("payload is required",)
        yield from _link_reasons(event)


def _payload_reasons(payload: dict[str, Any]) -> Iterator[str]:
    summary = payload.get("summary")
    if not isinstance(summary, str) or not 0 < len(summary) <= _MAX_SUMMARY:
        yield "payload.summary must be a text of 1 to 1024 characters"
    if not isinstance(payload.get("source"), str) or not payload["source"]:
        yield "payload.source is required"
    if payload.get("severity") not in _SEVERITIES:
        yield "payload.severity must be one of critical, error, warning, info"
    if not isinstance(payload.get("custom_details", {}), dict):
        yield "payload.custom_details must be an object"
    yield from (f"payload.{name} must be a text" for name in _TEXTS if not isinstance(payload.get(name, ""), str))
    if "timestamp" in payload and not _is_time(payload["timestamp"]):
        yield "payload.timestamp must be an ISO 8601 time with an offset"


def _link_reasons(event: dict[str, Any]) -> Iterator[str]:
    for name, required in (("links", "href"), ("images", "src")):
        entries = event.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) and _is_url(e.get(required)) for e in entries):
            yield f"{name} must be a list of objects, each with a URL as `{required}`"
    if event.get("client_url") and not _is_url(event["client_url"]):
        yield "client_url must be a URL"


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _invalid(reasons: tuple[str, ...]) -> Answer:
    said = {"status": "invalid event", "message": "Event object is invalid", "errors": list(reasons)}
    return _say(400, said, reasons)


def _say(status: int, said: Mapping[str, object], reasons: tuple[str, ...] = ()) -> Answer:
    return Answer(status, "application/json", json.dumps(said).encode(), reasons)
