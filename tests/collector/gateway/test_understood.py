"""What of a body gets into the log: all that protobuf understood of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status

from forewarn.conventions import Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.wire import Understood

PROTOBUF = {"content-type": "application/x-protobuf"}
TRACES = "/v1/traces"

Stored = Callable[..., list[Record]]


async def test_good_spans_do_not_carry_a_wrong_field_in(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """What the engine would refuse is refused here, with the field's name, and nothing of it is stored."""
    answer = await client.post(TRACES, content=otlp.request(otlp.span(1)) + b"\x08\x01", headers=PROTOBUF)

    assert answer.status_code == 400
    assert "ExportTraceServiceRequest.resource_spans" in Status.FromString(answer.content).message
    assert stored(Topic.SPANS) == []


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b"\x78\x01", id="a field of a newer OTLP"),
        pytest.param(b"\xc2\x3e\x02\x08\x01", id="our own stamp, garbled"),
        pytest.param(b"\n\x0a\n\x08\n\x06\n\x00\x12\x02\x10\x01", id="a wrong wire type deep inside"),
        pytest.param(b"\n\x0c\n\x0a\n\x08\n\x00\x12\x04\n\x00\x10\x01", id="two members of a oneof"),
        pytest.param(b"\x08\x01" * 100_000, id="too many to name"),
    ],
)
async def test_the_log_holds_what_was_understood(
    client: httpx.AsyncClient, otlp: Any, stored: Stored, more: bytes
) -> None:
    """Good spans are taken; beside them nothing is logged that protobuf read over and the engine would stumble at."""
    body = otlp.request(otlp.span(1))

    answer = await client.post(TRACES, content=body + more, headers=PROTOBUF)

    (record,) = stored(Topic.SPANS)
    found = Understood.of(record.value)
    assert answer.status_code == 200
    assert record.value.startswith(body)
    assert (found.value, found.unread) == (record.value, 0)
    assert len(record.value) <= len(body) + len(more[:20])
