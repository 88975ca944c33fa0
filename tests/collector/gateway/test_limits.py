"""What one key may ask for, what all may have at once, and that bulk takes nothing from start records."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.conventions import LANE_HEADER, LANE_STARTS
from forewarn_collector.gateway import admission
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.errors import OverLimit
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.gateway.limits import Lane, Limits
from forewarn_collector.log.interface import Appended, TopicPartition
from forewarn_collector.log.memory import MemoryLog

PROTOBUF = {"content-type": "application/x-protobuf"}
START = PROTOBUF | {LANE_HEADER: LANE_STARTS}
TRACES = "/v1/traces"

Direct = Callable[[Any], httpx.AsyncClient]


class Seconds:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def taken(lane: Lane, key: str, times: int) -> int:
    """How many of so many requests get in, one after the other."""
    count = 0
    for _ in range(times):
        with suppress(OverLimit), lane.enter(key):
            count += 1
    return count


async def until(happened: Callable[[], bool]) -> None:
    """Let others run until it has."""
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 -- what is waited for happens in other threads
            await asyncio.sleep(0.001)


def test_a_key_has_its_rate_and_no_other_keys() -> None:
    """As many at once as in a second; what a quiet time saves is no more than that."""
    seconds = Seconds()
    lane = Lane(Limits(requests_per_second=10), 1000, monotonic=seconds)

    first, other = taken(lane, "a", 30), taken(lane, "b", 3)
    seconds.now += 0.35
    refilled = taken(lane, "a", 30)
    seconds.now += 1000
    rested = taken(lane, "a", 30)

    assert (first, other, refilled, rested) == (10, 3, 3, 10)


def test_a_key_has_so_many_requests_at_once() -> None:
    """The next one gets in when one has left; another key is not in its way."""
    lane = Lane(Limits(concurrent=1), 1000)

    with lane.enter("a"), lane.enter("b"), pytest.raises(OverLimit) as refused, lane.enter("a"):
        pass
    with lane.enter("a"):
        pass

    assert refused.value.limit == "concurrent"


def test_one_key_has_half_of_the_bytes() -> None:
    """So that another one finds room, up to all of them."""
    lane = Lane(Limits(), 1000)

    with lane.enter("a") as a, lane.enter("b") as b:
        a.hold(500)
        with pytest.raises(OverLimit):
            a.hold(501)
        b.hold(500)
        b.hold(100)
        with lane.enter("c") as c, pytest.raises(OverLimit):
            c.hold(401)
    with lane.enter("a") as again:
        again.hold(500)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 600)), max_size=30))
def test_no_history_holds_more_than_there_is(wanted: list[tuple[str, int]]) -> None:
    """Whatever is asked for in whatever order, and nothing is left when all have gone."""
    lane = Lane(Limits(concurrent=100), 1000)
    held: list[int] = []

    for key, size in wanted:
        with lane.enter(key) as share:
            try:
                share.hold(size)
                share.hold(size // 2)
                held.append(size)
            except OverLimit:
                assert size > 500

    for key in "ab":
        with lane.enter(key) as share:
            share.hold(500)
    assert all(size <= 500 for size in held)


async def test_over_the_rate_is_429_and_short(keys: KeyRing, direct: Direct) -> None:
    """Come back in a second: exporters give up after ten. Start records are counted apart; the metric says whose."""
    async with direct(Gateway(MemoryLog(), keys, limits=Limits(requests_per_second=2))) as client:
        codes = [(await client.post(TRACES, content=b"", headers=PROTOBUF)).status_code for _ in range(3)]
        refused = await client.post(TRACES, content=b"", headers=PROTOBUF)
        start = await client.post(TRACES, content=b"", headers=START)
        page = (await client.get("/metrics")).text

    assert codes == [200, 200, 429]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert start.status_code == 200
    assert f'forewarn_gateway_limited_total{{key="{keys.list()[0].id}",limit="rate"}} 2.0' in page


async def test_bytes_in_flight_are_bounded_while_the_log_is_slow(keys: KeyRing, direct: Direct, otlp: Any) -> None:
    """More bulk is told to come back; a start record still gets in, and afterwards so does bulk."""
    pending: list[Future[Appended]] = []
    done = Appended(TopicPartition("t", 0), 0, 1)
    log = MemoryLog()

    def append(*_: Any, **__: Any) -> Future[Appended]:
        pending.append(Future())
        return pending[-1]

    log.append = append  # type: ignore[method-assign]
    body = otlp.request(*[otlp.span(n) for n in range(1, 100)])
    limits = Limits(in_flight_bytes=2 * len(body) + 10)
    async with direct(Gateway(log, keys, limits=limits)) as client:
        slow = asyncio.create_task(client.post(TRACES, content=body, headers=PROTOBUF))
        await until(lambda: len(pending) == 1)
        refused = await client.post(TRACES, content=body, headers=PROTOBUF)
        starting = asyncio.create_task(client.post(TRACES, content=otlp.request(otlp.span(1)), headers=START))
        await until(lambda: len(pending) == 2)
        for one in pending:
            one.set_result(done)
        answers = [await slow, refused, await starting]
        again = asyncio.create_task(client.post(TRACES, content=body, headers=PROTOBUF))
        await until(lambda: len(pending) == 3)
        pending[-1].set_result(done)

        answers.append(await again)

    assert [answer.status_code for answer in answers] == [200, 429, 200, 200]


async def test_bulk_that_is_being_read_does_not_hold_up_a_start_record(
    keys: KeyRing, direct: Direct, otlp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many large bodies wait for a reader: those of start records are others, even where they are large."""
    free, real = threading.Event(), admission.read_payload
    large = otlp.request(*[otlp.span(n) for n in range(1, 1000)])
    starts = otlp.request(*[otlp.span(n) for n in range(1, 990)])

    def stuck(raw: bytes, *args: Any, **kwargs: Any) -> Any:
        if raw == large:
            assert free.wait(20)
        return real(raw, *args, **kwargs)

    monkeypatch.setattr(admission, "read_payload", stuck)
    async with direct(Gateway(MemoryLog(), keys)) as client:
        bulk = [asyncio.create_task(client.post(TRACES, content=large, headers=PROTOBUF)) for _ in range(8)]
        for _ in range(100):
            await asyncio.sleep(0)
        quick = await client.post(TRACES, content=starts, headers=START)
        waiting = [task.done() for task in bulk]
        free.set()
        slow = await asyncio.gather(*bulk)

    assert quick.status_code == 200
    assert waiting == [False] * 8
    assert {answer.status_code for answer in slow} == {200}
