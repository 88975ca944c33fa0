"""What every side of the log promises of crashes, of its bounds and of its end: one suite, run on each side."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest

from forewarn_collector.log.interface import Committed, Log, LogFull, LogUnavailable, Record, TopicPartition

STARTS, BULK = "starts", "bulk"
DEADLINE_S = 20.0

Drain = Callable[..., list[Record]]
Fill = Callable[..., None]
ReadAll = Callable[[Log, str, list[str]], list[Record]]


def values(records: list[Record]) -> list[bytes]:
    return [record.value for record in records]


def after(records: list[Record]) -> dict[TopicPartition, Committed]:
    return {record.at: Committed(record.offset + 1) for record in records}


# --- crashes --------------------------------------------------------------------------------------


def test_a_crash_loses_nothing_and_replays_what_was_not_committed(
    side: Any, fill: Fill, drain: Drain, read_all: ReadAll
) -> None:
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


def test_offsets_are_not_given_twice_after_a_crash(side: Any) -> None:
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


def test_kill_9_loses_nothing_that_was_acknowledged(side: Any, read_all: ReadAll) -> None:
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


def test_records_past_their_age_go_when_every_known_group_has_read_them(
    side: Any, fill: Fill, drain: Drain, read_all: ReadAll
) -> None:
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


def test_records_past_their_age_stay_while_a_known_group_has_not_read_them(
    side: Any, fill: Fill, drain: Drain, read_all: ReadAll
) -> None:
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


def test_a_log_that_is_full_says_so_and_takes_more_once_it_is_read(side: Any, fill: Fill, drain: Drain) -> None:
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


def test_room_is_made_of_what_is_read_wherever_it_is(side: Any, fill: Fill, drain: Drain) -> None:
    """An old record that somebody has yet to read does not keep the read ones behind it from being dropped."""
    if not side.bounded:
        pytest.skip("has no bound of its own")
    log = side.log(max_bytes=2 << 20)
    log.consumer("watcher", [STARTS])
    fill(log, b"unread", topic=STARTS)
    sink = log.consumer("sink", [BULK])
    sink.commit(after(drain(sink, _fill_until_full(log))))

    fill(log, bytes(300_000))

    assert values(drain(log.consumer("watcher", [STARTS]), 1)) == [b"unread"]


def test_a_reader_waits_where_everything_has_been_dropped(side: Any, fill: Fill, drain: Drain) -> None:
    """A group that comes after the end of all records hears of the next one, and does not spin until then."""
    if side.clock is None:
        pytest.skip("age is not ours to decide here")
    log = side.log(retention=timedelta(days=7))
    fill(log, b"1", b"2")
    side.clock.advance(timedelta(days=8))
    fill(log, b"3", topic=STARTS)
    fill(log, b"4", topic=STARTS)
    consumer = log.consumer("latecomer", [BULK])
    began = time.monotonic()

    nothing = consumer.poll(timeout_s=0.1)
    waited_s = time.monotonic() - began
    fill(log, b"news")

    assert nothing == []
    assert waited_s >= 0.09
    assert values(drain(consumer, 1)) == [b"news"]


def test_a_full_log_still_takes_positions(side: Any, drain: Drain) -> None:
    """Commits are what makes room: they are never refused for want of it."""
    if not side.bounded:
        pytest.skip("has no bound of its own")
    log = side.log(max_bytes=2 << 20)
    consumer = log.consumer("sink", [BULK])
    taken = _fill_until_full(log)
    records = drain(consumer, taken)

    consumer.commit(after(records[:1]))

    assert consumer.committed(records[0].at) == Committed(records[0].offset + 1)


def test_a_log_nobody_reads_drops_its_oldest_at_the_bound(side: Any, read_all: ReadAll) -> None:
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


def test_close_answers_everyone_and_takes_nothing_more(side: Any) -> None:
    """Every append is answered, before or by the close; an append after it says that the log is closed."""
    log = side.log()
    pending: list[Future[Any]] = [log.append(BULK, bytes(10_000)) for _ in range(50)]

    log.close()

    assert [future.done() for future in pending] == [True] * 50
    with pytest.raises(LogUnavailable, match="closed"):
        log.append(BULK, b"late").result(DEADLINE_S)
    with pytest.raises(LogUnavailable, match="closed"):
        log.consumer("g", [BULK])


def test_close_leaves_no_thread_behind(side: Any, fill: Fill) -> None:
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

    with pytest.raises(LogUnavailable):
        log.append("t", b"1").result()
