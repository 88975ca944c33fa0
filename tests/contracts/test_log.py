"""
What every side of the log promises of its records, its polls and its groups: one suite, run on each side.

Its other half, crashes and bounds, is in `test_log_bounds.py`; the sides are in `conftest.py`.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from forewarn_collector.log.interface import Committed, Consumer, Log, LogUnavailable, Record, TopicPartition

STARTS, BULK = "starts", "bulk"
DEADLINE_S = 20.0

Drain = Callable[..., list[Record]]
Fill = Callable[..., None]
ReadAll = Callable[[Log, str, list[str]], list[Record]]


def values(records: list[Record]) -> list[bytes]:
    return [record.value for record in records]


def after(records: list[Record]) -> dict[TopicPartition, Committed]:
    return {record.at: Committed(record.offset + 1) for record in records}


# --- what comes back ------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_went_in(log: Log, drain: Drain) -> None:
    """Value, key, headers and time are kept byte for byte, and the append says where they are."""
    headers = {"forewarn.environment": b"production", "binary": bytes(range(256)), "empty": b""}

    appended = log.append(BULK, b"\x00value\xff", key=b"\x00" * 16, headers=headers).result(DEADLINE_S)
    (record,) = drain(log.consumer("g", [BULK]), 1)

    assert record == Record(
        BULK, appended.at.partition, appended.offset, b"\x00value\xff", b"\x00" * 16, headers, appended.timestamp_ns
    )


@pytest.mark.parametrize("size", [0, 1, 100_000, 3 << 20])
def test_values_of_every_size_are_kept(log: Log, size: int, drain: Drain) -> None:
    """Nothing is too small or too ordinary in size: empty, tiny, and a body of thousands of spans."""
    value = os.urandom(size)

    log.append(BULK, value).result(DEADLINE_S)

    assert values(drain(log.consumer("g", [BULK]), 1)) == [value]


def test_a_record_needs_no_key_and_no_headers(log: Log, fill: Fill, drain: Drain) -> None:
    """Both are optional, and absent is empty."""
    fill(log, b"1", b"2", b"3", key=b"")

    records = drain(log.consumer("g", [BULK]), 3)

    assert sorted(values(records)) == [b"1", b"2", b"3"]
    assert {(record.key, len(record.headers)) for record in records} == {(b"", 0)}


def test_records_of_one_key_keep_their_order(log: Log, drain: Drain) -> None:
    """Whatever the number of partitions: one key, one partition, one order."""
    done = [log.append(BULK, b"%d" % n, key=b"key-%d" % (n % 7)) for n in range(140)]
    [d.result(DEADLINE_S) for d in done]

    records = drain(log.consumer("g", [BULK]), 140, max_records=9)

    by_key: dict[bytes, list[int]] = defaultdict(list)
    partitions: dict[bytes, set[int]] = defaultdict(set)
    for record in records:
        by_key[record.key].append(int(record.value))
        partitions[record.key].add(record.partition)
    assert by_key == {b"key-%d" % k: list(range(k, 140, 7)) for k in range(7)}
    assert all(len(found) == 1 for found in partitions.values())


def test_offsets_go_up_by_one_and_end_offsets_are_the_next(log: Log, fill: Fill, drain: Drain) -> None:
    """A batch of contiguous offsets can be named by its first and last."""
    fill(log, *[b"%d" % n for n in range(50)])

    records = drain(log.consumer("g", [BULK]), 50)

    (where,) = {record.at for record in records}
    first = records[0].offset
    assert [record.offset for record in records] == list(range(first, first + 50))
    assert log.end_offsets([BULK])[where] == first + 50


def test_times_do_not_go_back_within_a_partition(side: Any) -> None:
    """A wall clock that is set back does not put a later record before an earlier one."""
    if side.clock is None:
        pytest.skip("the time of a record is not ours to decide here")
    log = side.log()
    first = log.append(BULK, b"1", key=b"k").result(DEADLINE_S)
    side.clock.advance(timedelta(seconds=-60))

    second = log.append(BULK, b"2", key=b"k").result(DEADLINE_S)

    assert second.timestamp_ns >= first.timestamp_ns


def test_concurrent_appenders_lose_and_double_nothing(log: Log, drain: Drain) -> None:
    """Sixteen senders at once: every record once, each sender's in its order."""

    def send(sender: int) -> None:
        for n in range(40):
            log.append(BULK, b"%d" % n, key=b"sender-%d" % sender).result(DEADLINE_S)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(16)))
    records = drain(log.consumer("g", [BULK]), 640)

    by_key: dict[bytes, list[int]] = defaultdict(list)
    for record in records:
        by_key[record.key].append(int(record.value))
    assert by_key == {b"sender-%d" % s: list(range(40)) for s in range(16)}


# --- polling --------------------------------------------------------------------------------------


def test_poll_returns_at_most_max_records(log: Log, fill: Fill) -> None:
    """A reader says how much it can take; the rest comes next time, each record once."""
    fill(log, *[b"%d" % n for n in range(10)])
    consumer = log.consumer("g", [BULK])

    batches = [consumer.poll(max_records=4, timeout_s=1.0) for _ in range(3)]

    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [value for batch in batches for value in values(batch)] == [b"%d" % n for n in range(10)]


def test_poll_returns_at_most_max_bytes_but_always_one(log: Log, fill: Fill) -> None:
    """The limit holds back the next record, never the first: a record larger than the limit still gets through."""
    fill(log, *[bytes(100_000)] * 4, bytes(500_000))
    consumer = log.consumer("g", [BULK])

    sizes = [[len(r.value) for r in consumer.poll(max_bytes=250_000, timeout_s=1.0)] for _ in range(3)]

    assert sizes == [[100_000, 100_000], [100_000, 100_000], [500_000]]


def test_poll_waits_for_its_timeout_when_there_is_nothing(log: Log) -> None:
    """No news is an empty list, after the time that was asked for."""
    consumer = log.consumer("g", [BULK])
    began = time.monotonic()

    records = consumer.poll(timeout_s=0.1)

    assert records == []
    assert time.monotonic() - began >= 0.09


def test_a_waiting_poll_is_woken_by_an_append(log: Log) -> None:
    """A page does not wait for a polling interval."""
    consumer = log.consumer("g", [STARTS, BULK])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(consumer.poll, timeout_s=DEADLINE_S)

        log.append(BULK, b"news").result(DEADLINE_S)

        assert values(waiting.result(DEADLINE_S / 2)) == [b"news"]


def test_a_waiting_poll_ends_when_the_log_is_closed(log: Log) -> None:
    """Nobody hangs on a log that is gone."""
    consumer = log.consumer("g", [BULK])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_poll_or_closed, consumer)

        log.close()

        assert waiting.result(DEADLINE_S / 2) == []


def _poll_or_closed(consumer: Consumer) -> list[Record]:
    try:
        return consumer.poll(timeout_s=DEADLINE_S)
    except LogUnavailable:
        return []


def test_topics_are_read_in_the_order_they_were_asked_for(log: Log, fill: Fill, drain: Drain) -> None:
    """Start records come before bulk that was there first; bulk comes while there are none."""
    fill(log, *[b"bulk"] * 20)
    fill(log, *[b"start"] * 6, topic=STARTS)
    consumer = log.consumer("g", [STARTS, BULK])

    early = drain(consumer, 10, max_records=4)[:10]
    fill(log, b"late start", topic=STARTS)
    late = drain(consumer, 4, max_records=4)[:4]

    assert values(early) == [b"start"] * 6 + [b"bulk"] * 4
    assert b"late start" in values(late)


def test_a_topic_nobody_wrote_to_can_be_read(log: Log, fill: Fill, drain: Drain) -> None:
    """Consumers may come before senders."""
    consumer = log.consumer("g", [STARTS, BULK])

    fill(log, b"first")

    assert values(drain(consumer, 1)) == [b"first"]


# --- groups ---------------------------------------------------------------------------------------


def test_groups_are_independent(log: Log, fill: Fill, drain: Drain) -> None:
    """Each group reads everything, and what one commits does not move another."""
    fill(log, b"1", b"2", b"3")
    sink = log.consumer("sink", [BULK])
    sink.commit(after(drain(sink, 3)))

    watcher = drain(log.consumer("watcher", [BULK]), 3)

    assert values(watcher) == [b"1", b"2", b"3"]


def test_a_group_goes_on_where_it_committed(log: Log, fill: Fill, drain: Drain) -> None:
    """What was read and not committed is read again; what was committed is not."""
    fill(log, b"1", b"2", b"3", b"4")
    first = log.consumer("g", [BULK])
    batch = drain(first, 2, max_records=2)
    first.commit(after(batch))
    drain(first, 2)
    first.close()

    second = log.consumer("g", [BULK])

    assert values(drain(second, 2)) == [b"3", b"4"]
    assert second.poll() == []


def test_a_commit_keeps_its_metadata(log: Log, fill: Fill, drain: Drain) -> None:
    """The note of a position is stored with it, in the same step; no commit is None."""
    fill(log, b"1")
    consumer = log.consumer("g", [BULK])
    (record,) = drain(consumer, 1)
    before = consumer.committed(record.at)

    consumer.commit({record.at: Committed(record.offset + 1, metadata='{"batch": "0-0"}')})
    consumer.close()

    assert before is None
    assert log.consumer("g", [BULK]).committed(record.at) == Committed(record.offset + 1, '{"batch": "0-0"}')


def test_a_commit_moves_only_what_it_names(log: Log, fill: Fill, drain: Drain) -> None:
    """Positions of other topics and partitions stay."""
    fill(log, b"bulk")
    fill(log, b"start", topic=STARTS)
    consumer = log.consumer("g", [STARTS, BULK])
    records = drain(consumer, 2)
    consumer.commit(after(records[:1]))
    consumer.close()

    again = log.consumer("g", [STARTS, BULK])

    assert values(drain(again, 1)) == values(records[1:])


def test_a_group_may_go_back(log: Log, fill: Fill, drain: Drain) -> None:
    """Committing an earlier position replays the suffix from there, to the next consumer of the group."""
    fill(log, *[b"%d" % n for n in range(5)])
    consumer = log.consumer("g", [BULK])
    records = drain(consumer, 5)
    consumer.commit(after(records))

    consumer.commit({records[2].at: Committed(records[2].offset)})
    consumer.close()

    assert values(drain(log.consumer("g", [BULK]), 3)) == [b"2", b"3", b"4"]
