"""What every store promises about clocks: a sender's own is told, never trusted."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from forewarn.conventions import Stamp
from forewarn_collector.store.interface import Store

DAY_NS = 86_400 * 10**9
YEAR_2100_NS = 4_102_444_800 * 10**9
YEAR_2200_NS = 7_258_118_400 * 10**9


def at(start_ns: int) -> dict[str, int]:
    """The times of a span that takes a microsecond."""
    return {"start_time_unix_nano": start_ns, "end_time_unix_nano": start_ns + 1000}


def counts(store: Store) -> dict[str, int]:
    return {
        table: store.query(f"SELECT count() FROM {table}").rows[0][0]
        for table in ("spans", "calls", "trace_times", "events")
    }


@pytest.mark.parametrize("size", [0, 1000])
def test_a_request_that_spreads_over_many_days_is_stored(store: Store, otlp: Any, size: int) -> None:
    """
    However many days the clocks of senders name, the insert goes through, in a bounded number of parts.
    """
    days = [otlp.span(number, trace_state="x" * size, **at(number * DAY_NS)) for number in range(150)]

    store.insert_spans([otlp.record(*days)], token="t")

    assert counts(store)["spans"] == counts(store)["calls"] == 150
    assert store.query("SELECT uniqExact(_partition_id) FROM spans").rows == ((64,),)


@pytest.mark.parametrize("clock", [0, 1, YEAR_2100_NS, YEAR_2200_NS])
@pytest.mark.parametrize("start_first", [True, False])
def test_start_and_end_meet_whatever_the_clock_says(store: Store, otlp: Any, clock: int, start_first: bool) -> None:
    """
    An odd clock splits no call in two, not even when its end arrives days after its start; its trace is found.
    """
    start = otlp.record(otlp.span(1, **at(clock) | {"end_time_unix_nano": 0}))
    end = otlp.record(otlp.span(1, **at(clock)))
    first, second = (start, end) if start_first else (end, start)

    store.insert_spans([first], token="1")
    later = str(otlp.start_ns + 3 * DAY_NS).encode()
    store.insert_spans([replace(second, headers={**second.headers, Stamp.RECEIVED_AT: later})], token="2")

    assert counts(store) == {"spans": 1, "calls": 1, "trace_times": 1, "events": 0}
    assert [row["record"] for row in store.query("trace", {"prefix": "0"})] == ["end"]


@pytest.mark.parametrize("clock", ["1970", "2100", "an hour ahead"])
def test_a_wrong_clock_hides_no_call(store: Store, otlp: Any, clock: str) -> None:
    """
    Periods are of the gateway's clock: what has just come is found, whatever its sender takes for the time.
    """
    now_ns = time.time_ns()
    said = {"1970": 0, "2100": YEAR_2100_NS, "an hour ahead": now_ns + 3600 * 10**9}[clock]
    span = otlp.span(1, **at(said) | {"end_time_unix_nano": 0})

    store.insert_spans([replace(otlp, start_ns=now_ns).record(span)], token="t")

    for name in ("started-never-ended", "traces"):
        assert len(store.query(name, {"since": 3600})) == 1
    assert store.query("started-never-ended", {"after": 600}).rows == ()
