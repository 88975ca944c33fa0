"""What the store refuses is announced: whose it was, which numbers, why, and where it is kept."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from forewarn.conventions import SEQUENCE, Stamp, Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.refusals import Rejected
from forewarn_collector.rejections import announcements
from forewarn_collector.sink import Sink
from forewarn_collector.store.clickhouse import EmbeddedStore

WRONG = b"\x08\x01"
"""A known field of the wrong wire type: read over by protobuf, refused by the engine."""


def span(otlp: Any, number: int) -> Any:
    return otlp.span(number, attributes={SEQUENCE: number})


def announced(value: bytes, topic: str = Topic.SPANS) -> list[dict[str, Any]]:
    headers = {Stamp.ENVIRONMENT: b"production"}
    record = Record(topic, 0, 7, value, headers=headers, timestamp_ns=1_790_000_000_000_000_000)
    events = announcements(Rejected(record, "no " * 1000), dead_letter="otlp_spans.dead_letters:0:3")
    return [orjson.loads(event) for event in events]


def test_each_sender_of_a_request_is_told_with_its_numbers(otlp: Any) -> None:
    """
    One event per sender, whatever numbers it has, in whatever order.
    """
    two = {"service.name": "billing", "service.instance.id": "two"}
    value = otlp.request(*(span(otlp, number) for number in (5, 4, 9))) + otlp.request(otlp.span(1), resource=two)

    first, second = announced(value)

    assert first | {"detail": first["detail"] | {"reason": ""}} == {
        "id": "rejected/otlp_spans:0:7/0",
        "kind": "records.rejected",
        "time_unix_nano": 1_790_000_000_000_000_000,
        "environment": "production",
        "service": "janitor",
        "detail": {
            "source": "otlp_spans:0:7",
            "reason": "",
            "dead_letter": "otlp_spans.dead_letters:0:3",
            "sender": "one",
            "numbers": "4-5,9",
        },
    }
    assert len(first["detail"]["reason"]) == 1000
    assert (second["id"], second["service"]) == ("rejected/otlp_spans:0:7/1", "billing")
    assert (second["detail"]["sender"], second["detail"]["numbers"]) == ("two", "")


@pytest.mark.parametrize("value", [b"\x0a\xff\xff\xff\x7fno", b""])
def test_what_nobody_can_read_is_of_nobody(value: bytes) -> None:
    """
    It is announced all the same.
    """
    (event,) = announced(value)

    assert (event["detail"]["sender"], event["detail"]["numbers"], event["service"]) == ("", "", "")


def test_a_refused_event_is_not_announced() -> None:
    """
    An event about an event about an event would have no end.
    """
    assert announced(b"no", Topic.EVENTS) == []


def test_the_road_ends_in_the_store(store: EmbeddedStore, otlp: Any) -> None:
    """
    What the sink buried can be asked for in the store, with the place of the letter; repeated after a crash, it is one.
    """
    log = MemoryLog()
    log.append(Topic.SPANS, otlp.request(span(otlp, 1), span(otlp, 3)) + WRONG).result()
    log.append(Topic.EVENTS, b"no JSON").result()
    sink = Sink(log, store)
    sink.step()
    (again,) = log.consumer("test", [Topic.SPANS]).poll()
    sink._bury([Rejected(again, "stored as far as it was understood")])

    while sink.step():
        pass

    (row,) = store.query("rejected-records", {"since": 1 << 31})
    (place,) = {row["dead_letter"]}
    letters = log.consumer("test", [Topic.DEAD_LETTERS]).poll()
    assert (row["sender"], row["numbers"], row["source"]) == ("one", "1,3", "otlp_spans:0:0")
    assert place in {f"{letter.topic}:{letter.partition}:{letter.offset}" for letter in letters}
