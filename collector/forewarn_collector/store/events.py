"""
Events as the engine takes them: JSON objects from the log, checked here and written as one line each.

They are rare (a handful per incident), so they are decoded in Python, where a fault can be named.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from forewarn_collector.log.interface import Record
from forewarn_collector.store.interface import BadPayload

_TEXTS: Final = ("rule", "severity", "incident", "target", "target_type", "environment", "service")
_LATEST_NS: Final = (1 << 63) - 1


def event_fault(value: bytes) -> str | None:
    """Why this is not an event; None where it is one."""
    try:
        _columns(value)
    except BadPayload as fault:
        return str(fault)
    return None


def event_lines(records: Iterable[Record]) -> bytes:
    """`FORMAT JSONEachRow`; raises `BadPayload` at the first record that is not an event."""
    return b"".join(orjson.dumps(_columns(record.value)) + b"\n" for record in records)


def _columns(value: bytes) -> dict[str, str]:
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError as fault:
        msg = f"an event is not JSON: {fault}"
        raise BadPayload(msg) from fault
    if not isinstance(event, dict):
        msg = "an event is a JSON object"
        raise BadPayload(msg)
    columns = {name: _text(event, name) for name in _TEXTS}
    columns |= {name: _required(event, name) for name in ("id", "kind")}
    columns["ts"] = _time(event)
    columns |= {"trace_id": _hex(event, "trace_id", 16), "span_id": _hex(event, "span_id", 8)}
    columns["detail"] = orjson.dumps(event.get("detail") or {}).decode()
    return columns


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        msg = f"an event's {name} is a text"
        raise BadPayload(msg)
    return value


def _required(event: dict[str, Any], name: str) -> str:
    value = _text(event, name)
    if not value:
        msg = f"an event has a {name}"
        raise BadPayload(msg)
    return value


def _time(event: dict[str, Any]) -> str:
    value = event.get("time_unix_nano")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_NS:
        msg = "an event's time_unix_nano is a whole number of nanoseconds since 1970"
        raise BadPayload(msg)
    seconds, nanoseconds = divmod(value, 1_000_000_000)
    return f"{seconds}.{nanoseconds:09d}"


def _hex(event: dict[str, Any], name: str, size: int) -> str:
    text = _text(event, name)
    try:
        return bytes.fromhex(text).rjust(size, b"\0")[-size:].hex()
    except ValueError as fault:
        msg = f"an event's {name} is hexadecimal"
        raise BadPayload(msg) from fault
