"""What the demo knows, and from whom: the log, the two receivers, and the store as any reader sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import OPERATION_EXECUTE_TOOL, RecordKind, Topic
from forewarn_collector.log.interface import Consumer, Log
from forewarn_collector.store.interface import Rows, StoreUnavailable
from forewarn_collector.store.reader import Reader
from forewarn_collector.timeline import Timeline
from forewarn_collector.timeline import timeline as told
from forewarn_control.demo.receivers import Page, Receiver
from forewarn_control.errors import DemoFailed

PATIENCE_S: Final = 15.0
"""How long any one step may take before the demo says that it failed. It usually takes milliseconds."""
_LOOK_AGAIN_S: Final = 0.02
_FINISHED_CALL: Final = """
SELECT lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id, tool, arguments, effect, environment, outcome,
       toUnixTimestamp64Nano(acknowledged_at) AS acknowledged_at_ns,
       toUnixTimestamp64Nano(tool_started_at) AS tool_started_at_ns,
       toUnixTimestamp64Nano(ts) + duration_ns AS ended_at_ns
FROM spans WHERE tool = {tool:String} AND record = 'end'
"""
_DELIVERIES: Final = "SELECT count() AS sent FROM events WHERE kind = 'delivery.sent'"

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A start record as the log holds it."""

    trace_id: str
    at_ns: int


@contextmanager
def of_starts(log: Log) -> Iterator[Consumer]:
    """A reader of start records. Opened before there are any: it writes to the log, and that would delay a page."""
    consumer = log.consumer("demo", [Topic.STARTS])
    try:
        yield consumer
    finally:
        consumer.close()


def recorded(starts: Consumer, tool: str) -> Recorded:
    """The start record of the tool's call, with the time at which the log appended it."""
    return _eventually(lambda: _start_of(tool, starts.poll(timeout_s=_LOOK_AGAIN_S)), f"no start record of {tool}")


def paged(receiver: Receiver, trace_id: str) -> Page:
    """The page about that trace, as the receiver got it."""
    page = receiver.wait(lambda page: trace_id in str(page.body), timeout_s=PATIENCE_S)
    if page is not None:
        return page
    refused = "; ".join(reason for answer in receiver.refused for reason in answer.reasons)
    why = f"it refused: {refused}" if refused else f"nothing within {PATIENCE_S:g} s"
    raise DemoFailed(f"no page reached the local {receiver.name} receiver", why)


def stored(reader: Reader, tool: str) -> tuple[dict[str, Any], int]:
    """The finished call as the store gives it, and when it first did."""
    row = _eventually(lambda: _first(reader, _FINISHED_CALL, tool=tool), f"the end of {tool} never reached the store")
    return row, time.time_ns()


def journalled(reader: Reader, pages: int) -> None:
    """Return once the store knows of that many delivered pages, so that the timeline can tell of them."""
    _eventually(
        lambda: (row := _first(reader, _DELIVERIES)) is not None and row["sent"] >= pages,
        "the deliveries of the pages never reached the store",
    )


def timeline(reader: Reader, trace_id: str) -> Timeline:
    """The whole trace, once everything in it has ended, as `forewarn traces show` asks for it."""
    rows = _eventually(lambda: _ended(reader, trace_id), "the end of the agent's trace never reached the store")
    return told(rows, reader.run("trace-events", prefix=trace_id))


def _ended(reader: Reader, trace_id: str) -> Rows | None:
    rows = reader.run("trace", prefix=trace_id)
    return rows if len(rows) and all(row["record"] == RecordKind.END for row in rows) else None


def _start_of(tool: str, records: list[Any]) -> Recorded | None:
    for record in records:
        request = ExportTraceServiceRequest.FromString(record.value)
        for spans in (scope.spans for resource in request.resource_spans for scope in resource.scope_spans):
            for span in spans:
                if span.name == f"{OPERATION_EXECUTE_TOOL} {tool}":
                    return Recorded(span.trace_id.hex(), record.timestamp_ns)
    return None


def _first(reader: Reader, sql: str, **parameters: Any) -> dict[str, Any] | None:
    try:
        return next(iter(reader.sql(sql, **parameters)), None)
    except StoreUnavailable:
        return None


def _eventually(look: Callable[[], Found | None], failure: str) -> Found:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise DemoFailed(failure, f"not within {PATIENCE_S:g} s; the lines on standard error may say why")
        time.sleep(_LOOK_AGAIN_S)
    return found
