"""
What is announced of a request that the store refused: whose it was, the numbers in it, why, and where it is kept.

One event per sender in the request, with an id that follows from the record's place: when the road is repeated after a
crash, they are the same events. Nothing is announced of an event that was refused; that would have no end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import SEQUENCE, SERVICE_INSTANCE_ID, SERVICE_NAME, Stamp, Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.numbers import ranges_text
from forewarn_collector.refusals import Rejected

RECORDS_REJECTED: Final = "records.rejected"
_LONGEST_REASON: Final = 1000


def place(record: Record) -> str:
    """`topic:partition:offset`."""
    return f"{record.topic}:{record.partition}:{record.offset}"


def announcements(rejected: Rejected, *, dead_letter: str) -> list[bytes]:
    """The events. `dead_letter`: the place of what was buried; '' where there was no room for it."""
    record = rejected.record
    if record.topic == Topic.EVENTS:
        return []
    source = place(record)
    shared = {"source": source, "reason": rejected.reason[:_LONGEST_REASON], "dead_letter": dead_letter}
    return [
        orjson.dumps(
            {
                "id": f"rejected/{source}/{number}",
                "kind": RECORDS_REJECTED,
                "time_unix_nano": record.timestamp_ns,
                "environment": record.headers.get(Stamp.ENVIRONMENT, b"").decode(errors="replace"),
                "service": service,
                "detail": shared | {"sender": sender, "numbers": numbers},
            }
        )
        for number, (service, sender, numbers) in enumerate(_senders(record.value))
    ]


def _senders(value: bytes) -> Iterator[tuple[str, str, str]]:
    """Service, sender and its numbers, as far as the bytes can be read; at least one, if need be of nobody."""
    try:
        request = ExportTraceServiceRequest.FromString(value)
    except DecodeError:
        yield "", "", ""
        return
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for resource_spans in request.resource_spans:
        told = {each.key: each.value.string_value for each in resource_spans.resource.attributes}
        numbers = found[told.get(SERVICE_NAME, ""), told.get(SERVICE_INSTANCE_ID, "")]
        for span in (span for scope_spans in resource_spans.scope_spans for span in scope_spans.spans):
            numbers.update(each.value.int_value for each in span.attributes if each.key == SEQUENCE)
    for (service, sender), numbers in (found or {("", ""): set()}).items():
        yield service, sender, ranges_text(number for number in numbers if number > 0)
