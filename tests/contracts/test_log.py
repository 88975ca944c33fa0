"""
What every side of the log promises: one suite, run on each.

A further side is one more entry in `SIDES`. What a side cannot do on demand (age by a clock, be bounded, live on in
another process) it says in its `Side`, and the tests that need it are skipped there by name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from forewarn_collector.log.interface import Committed, Consumer, Log, LogFull, LogUnavailable, Record, TopicPartition
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.log.sqlite import SqliteLog

STARTS, BULK = "starts", "bulk"
DEADLINE_S = 20.0


class Clock:
    """A wall clock that goes where it is told."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, by: timedelta) -> None:
        self.now_ns += int(by.total_seconds() * 1e9)


@dataclass
class Side:
    """One side of the log under test."""

    open: Callable[..., Log]
    """Opens the log; a second call opens the same one again, after `crash` or `close`."""
    crash: Callable[[], None]
    """Leaves everything as a crash of the process would."""
    clock: Clock | None
    """The clock that decides a record's age; None where age is not ours to decide."""
    opened_elsewhere: str | None
    """Python that opens the same log as `log` in another process; None where it cannot live on."""
    bounded: bool = True
    logs: list[Log] = field(default_factory=list)

    def log(self, **bounds: Any) -> Log:
        self.logs.append(self.open(**bounds))
        return self.logs[-1]


def _memory(partitions: int) -> Callable[[Path], Side]:
    def side(_: Path) -> Side:
        clock = Clock()
        kept: list[MemoryLog] = []

        def open_log(**bounds: Any) -> Log:
            # Nothing of it survives its process; what a consumer left half done is replayed like anywhere else.
            if not kept:
                kept.append(MemoryLog(partitions=partitions, clock_ns=clock, **bounds))
            return kept[0]

        return Side(open_log, crash=lambda: None, clock=clock, opened_elsewhere=None)

    return side


def _sqlite(folder: Path) -> Side:
    clock = Clock()
    path = [folder / "log.sqlite3"]

    def crash() -> None:
        """Go on with a copy of the files as they are this moment: nothing was closed or moved."""
        crashed = path[0].parent / "crashed"
        crashed.mkdir()
        for file in path[0].parent.glob("log.sqlite3*"):
            if not file.name.endswith("-shm"):
                (crashed / file.name).write_bytes(file.read_bytes())
        path[0] = crashed / "log.sqlite3"

    elsewhere = f"""
from pathlib import Path
from forewarn_collector.log.sqlite import SqliteLog
log = SqliteLog(Path({str(path[0])!r}))
"""
    return Side(
        lambda **bounds: SqliteLog(path[0], clock_ns=clock, **bounds),
        crash=crash,
        clock=clock,
        opened_elsewhere=elsewhere,
    )


SIDES: dict[str, Callable[[Path], Side]] = {
    "memory": _memory(1),
    "memory-4-partitions": _memory(4),
    "sqlite": _sqlite,
}


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    made = SIDES[request.param](tmp_path)
    yield made
    for log in made.logs:
        log.close()


@pytest.fixture
def log(side: Side) -> Log:
    return side.log()


def drain(consumer: Consumer, expected: int, **limits: Any) -> list[Record]:
    """Poll until so many records have come, or too long."""
    records: list[Record] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(records) < expected and time.monotonic() < deadline:
        records += consumer.poll(timeout_s=0.5, **limits)
    return records


def read_all(log: Log, group: str, topics: list[str]) -> list[Record]:
    """Everything there is for a group, up to the ends as they are now."""
    consumer = log.consumer(group, topics)
    try:
        records: list[Record] = []
        while batch := consumer.poll(timeout_s=0.1):
            records += batch
        return records
    finally:
        consumer.close()


def fill(log: Log, *values: bytes, topic: str = BULK, key: bytes = b"k") -> None:
    for done in [log.append(topic, value, key=key) for value in values]:
        done.result(DEADLINE_S)


def values(records: list[Record]) -> list[bytes]:
    return [record.value for record in records]


def after(records: list[Record]) -> dict[TopicPartition, Committed]:
    return {record.at: Committed(record.offset + 1) for record in records}


# --- what comes back ------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_went_in(log: Log) -> None:
    """Value, key, headers and time are kept byte for byte, and the append says where they are."""
    headers = {"forewarn.environment": b"production", "binary": bytes(range(256)), "empty": b""}

    appended = log.append(BULK, b"\x00value\xff", key=b"\x00" * 16, headers=headers).result(DEADLINE_S)
    (record,) = drain(log.consumer("g", [BULK]), 1)

    assert record == Record(
        BULK, appended.at.partition, appended.offset, b"\x00value\xff", b"\x00" * 16, headers, appended.timestamp_ns
    )


@pytest.mark.parametrize("size", [0, 1, 100_000, 3 << 20])
def test_values_of_every_size_are_kept(log: Log, size: int) -> None:
    """Nothing is too small or too ordinary in size: empty, tiny, and a body of thousands of spans."""
    value = os.urandom(size)

    log.append(BULK, value).result(DEADLINE_S)

    assert values(drain(log.consumer("g", [BULK]), 1)) == [value]


def test_a_record_needs_no_key_and_no_headers(log: Log) -> None:
    """Both are optional, and absent is empty."""
    fill(log, b"1", b"2", b"3", key=b"")

    records = drain(log.consumer("g", [BULK]), 3)

    assert sorted(values(records)) == [b"1", b"2", b"3"]
    assert {(record.key, len(record.headers)) for record in records} == {(b"", 0)}


def test_records_of_one_key_keep_their_order(log: Log) -> None:
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


def test_offsets_go_up_by_one_and_end_offsets_are_the_next(log: Log) -> None:
    """A batch of contiguous offsets can be named by its first and last."""
    fill(log, *[b"%d" % n for n in range(50)])

    records = drain(log.consumer("g", [BULK]), 50)

    (where,) = {record.at for record in records}
    first = records[0].offset
    assert [record.offset for record in records] == list(range(first, first + 50))
    assert log.end_offsets([BULK])[where] == first + 50


def test_times_do_not_go_back_within_a_partition(side: Side) -> None:
    """A wall clock that is set back does not put a later record before an earlier one."""
    if side.clock is None:
        pytest.skip("the time of a record is not ours to decide here")
    log = side.log()
    first = log.append(BULK, b"1", key=b"k").result(DEADLINE_S)
    side.clock.advance(timedelta(seconds=-60))

    second = log.append(BULK, b"2", key=b"k").result(DEADLINE_S)

    assert second.timestamp_ns >= first.timestamp_ns


def test_concurrent_appenders_lose_and_double_nothing(log: Log) -> None:
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


def test_poll_returns_at_most_max_records(log: Log) -> None:
    """A reader says how much it can take; the rest comes next time, each record once."""
    fill(log, *[b"%d" % n for n in range(10)])
    consumer = log.consumer("g", [BULK])

    batches = [consumer.poll(max_records=4, timeout_s=1.0) for _ in range(3)]

    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [value for batch in batches for value in values(batch)] == [b"%d" % n for n in range(10)]


def test_poll_returns_at_most_max_bytes_but_always_one(log: Log) -> None:
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


def test_topics_are_read_in_the_order_they_were_asked_for(log: Log) -> None:
    """Start records come before bulk that was there first; bulk comes while there are none."""
    fill(log, *[b"bulk"] * 20)
    fill(log, *[b"start"] * 6, topic=STARTS)
    consumer = log.consumer("g", [STARTS, BULK])

    early = drain(consumer, 10, max_records=4)[:10]
    fill(log, b"late start", topic=STARTS)
    late = drain(consumer, 4, max_records=4)[:4]

    assert values(early) == [b"start"] * 6 + [b"bulk"] * 4
    assert b"late start" in values(late)


def test_a_topic_nobody_wrote_to_can_be_read(log: Log) -> None:
    """Consumers may come before senders."""
    consumer = log.consumer("g", [STARTS, BULK])

    fill(log, b"first")

    assert values(drain(consumer, 1)) == [b"first"]


# --- groups ---------------------------------------------------------------------------------------


def test_groups_are_independent(log: Log) -> None:
    """Each group reads everything, and what one commits does not move another."""
    fill(log, b"1", b"2", b"3")
    sink = log.consumer("sink", [BULK])
    sink.commit(after(drain(sink, 3)))

    watcher = drain(log.consumer("watcher", [BULK]), 3)

    assert values(watcher) == [b"1", b"2", b"3"]


def test_a_group_goes_on_where_it_committed(log: Log) -> None:
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


def test_a_commit_keeps_its_metadata(log: Log) -> None:
    """The note of a position is stored with it, in the same step; no commit is None."""
    fill(log, b"1")
    consumer = log.consumer("g", [BULK])
    (record,) = drain(consumer, 1)
    before = consumer.committed(record.at)

    consumer.commit({record.at: Committed(record.offset + 1, metadata='{"batch": "0-0"}')})
    consumer.close()

    assert before is None
    assert log.consumer("g", [BULK]).committed(record.at) == Committed(record.offset + 1, '{"batch": "0-0"}')


def test_a_commit_moves_only_what_it_names(log: Log) -> None:
    """Positions of other topics and partitions stay."""
    fill(log, b"bulk")
    fill(log, b"start", topic=STARTS)
    consumer = log.consumer("g", [STARTS, BULK])
    records = drain(consumer, 2)
    consumer.commit(after(records[:1]))
    consumer.close()

    again = log.consumer("g", [STARTS, BULK])

    assert values(drain(again, 1)) == values(records[1:])


def test_a_group_may_go_back(log: Log) -> None:
    """Committing an earlier position replays the suffix from there, to the next consumer of the group."""
    fill(log, *[b"%d" % n for n in range(5)])
    consumer = log.consumer("g", [BULK])
    records = drain(consumer, 5)
    consumer.commit(after(records))

    consumer.commit({records[2].at: Committed(records[2].offset)})
    consumer.close()

    assert values(drain(log.consumer("g", [BULK]), 3)) == [b"2", b"3", b"4"]


# --- crashes --------------------------------------------------------------------------------------


def test_a_crash_loses_nothing_and_replays_what_was_not_committed(side: Side) -> None:
    """After a crash every appended record is there, and each group goes on where it last committed."""
    log = side.log()
    fill(log, b"1", b"2", b"3")
    consumer = log.consumer("g", [BULK])
    consumer.commit(after(drain(consumer, 1, max_records=1)))
    drain(consumer, 2)

    side.crash()
    log = side.log()

    assert values(drain(log.consumer("g", [BULK]), 2)) == [b"2", b"3"]
    assert values(read_all(log, "other", [BULK])) == [b"1", b"2", b"3"]


def test_offsets_are_not_given_twice_after_a_crash(side: Side) -> None:
    """A position never comes to mean another record."""
    before = side.log().append(BULK, b"before", key=b"k").result(DEADLINE_S)

    side.crash()
    behind = side.log().append(BULK, b"after", key=b"k").result(DEADLINE_S)

    assert (behind.at, behind.offset) == (before.at, before.offset + 1)


_APPENDER = """
import sys, threading
def send(sender):
    n = 0
    while True:
        value = b"%d/%d" % (sender, n) + b"." * (n % 50_000)
        log.append("bulk", value, key=b"%d" % sender).result()
        sys.stdout.write(f"{sender}/{n}\\n")
        sys.stdout.flush()
        n += 1
for sender in range(4):
    threading.Thread(target=send, args=(sender,), daemon=True).start()
threading.Event().wait()
"""


def test_kill_9_loses_nothing_that_was_acknowledged(side: Side) -> None:
    """A process killed in the middle of its appends: what it was told is durable is there, once, in order."""
    if side.opened_elsewhere is None:
        pytest.skip("lives and dies with its process")
    code = side.opened_elsewhere + _APPENDER
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(400)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]

    records = read_all(side.log(), "g", [BULK])

    found = [record.value.rstrip(b".").decode() for record in records]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    for sender in range(4):
        mine = [int(name.split("/")[1]) for name in found if name.startswith(f"{sender}/")]
        assert mine == list(range(len(mine)))


# --- retention and bounds -------------------------------------------------------------------------


def test_records_past_their_age_go_when_every_known_group_has_read_them(side: Side) -> None:
    """Age drops what is read; a group that comes later starts at the oldest record kept."""
    if side.clock is None:
        pytest.skip("age is not ours to decide here")
    log = side.log(retention=timedelta(days=7))
    fill(log, b"old", b"old")
    reader = log.consumer("reader", [BULK])
    reader.commit(after(drain(reader, 2)))

    side.clock.advance(timedelta(days=8))
    fill(log, b"new", b"newer")
    fill(log, b"newest")

    assert values(read_all(log, "latecomer", [BULK])) == [b"new", b"newer", b"newest"]


def test_records_past_their_age_stay_while_a_known_group_has_not_read_them(side: Side) -> None:
    """A sink that was down for longer than the retention still finds everything."""
    if side.clock is None:
        pytest.skip("age is not ours to decide here")
    log = side.log(retention=timedelta(days=7))
    sink, watcher = log.consumer("sink", [BULK]), log.consumer("watcher", [BULK])
    fill(log, b"1", b"2", b"3")
    watcher.commit(after(drain(watcher, 3)))
    sink.commit(after(drain(sink, 1, max_records=1)))

    side.clock.advance(timedelta(days=8))
    fill(log, b"new")
    fill(log, b"newer")

    assert values(read_all(log, "sink", [BULK])) == [b"2", b"3", b"new", b"newer"]


def test_a_log_that_is_full_says_so_and_takes_more_once_it_is_read(side: Side) -> None:
    """Back-pressure: nothing that a group has yet to read is dropped to make room, and reading makes room."""
    if not side.bounded:
        pytest.skip("has no bound of its own")
    log = side.log(max_bytes=2 << 20)
    consumer = log.consumer("sink", [BULK])
    taken = _fill_until_full(log)

    records = drain(consumer, taken)
    consumer.commit(after(records))
    fill(log, b"after")

    assert 5 <= taken <= 20
    assert [int(value[:2]) for value in values(records)] == list(range(taken))
    assert values(drain(consumer, 1)) == [b"after"]


def _fill_until_full(log: Log) -> int:
    for n in range(100):
        try:
            log.append(BULK, b"%02d" % n + bytes(100_000), key=b"k").result(DEADLINE_S)
        except LogFull:
            return n
    return 100


def test_a_full_log_still_takes_positions(side: Side) -> None:
    """Commits are what makes room: they are never refused for want of it."""
    if not side.bounded:
        pytest.skip("has no bound of its own")
    log = side.log(max_bytes=2 << 20)
    consumer = log.consumer("sink", [BULK])
    taken = _fill_until_full(log)
    records = drain(consumer, taken)

    consumer.commit(after(records[:1]))

    assert consumer.committed(records[0].at) == Committed(records[0].offset + 1)


def test_a_log_nobody_reads_drops_its_oldest_at_the_bound(side: Side) -> None:
    """Without a known group there is nobody to wait for: the newest records are the ones kept."""
    if not side.bounded:
        pytest.skip("has no bound of its own")
    log = side.log(max_bytes=2 << 20)

    taken = _fill_until_full(log)
    kept = [int(value[:2]) for value in values(read_all(log, "latecomer", [BULK]))]

    assert taken == 100
    assert kept == list(range(kept[0], 100))
    assert 1 <= len(kept) <= 20


# --- the end --------------------------------------------------------------------------------------


def test_close_answers_everyone_and_takes_nothing_more(side: Side) -> None:
    """Every append is answered, before or by the close; an append after it says that the log is closed."""
    log = side.log()
    pending: list[Future[Any]] = [log.append(BULK, bytes(10_000)) for _ in range(50)]

    log.close()

    assert [future.done() for future in pending] == [True] * 50
    with pytest.raises(LogUnavailable, match="closed"):
        log.append(BULK, b"late").result(DEADLINE_S)
    with pytest.raises(LogUnavailable, match="closed"):
        log.consumer("g", [BULK])


def test_close_leaves_no_thread_behind(side: Side) -> None:
    """What was started is stopped."""
    before = set(threading.enumerate())
    log = side.log()
    fill(log, b"1")

    log.close()

    assert set(threading.enumerate()) <= before


def test_close_twice_is_fine(log: Log) -> None:
    """Whoever cleans up need not know who did before."""
    log.close()

    log.close()
