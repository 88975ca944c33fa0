"""
Records that survive the machine: the disk has them when `append` returns, and one sync serves many threads.

Syncs are counted from outside, by `strace`; so is the work of an append, which must not grow with history.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import forewarn
from forewarn import configuration
from forewarn.conventions import Effect
from forewarn.recording import commits
from forewarn.recording.commits import GroupCommit
from forewarn.recording.interface import FrameKind, SpoolUnavailable
from forewarn.recording.segments import SegmentReader
from forewarn.recording.spool import SegmentSpool

CALLS = """
import os, sys, forewarn
forewarn.configure(environment="test", spool=sys.argv[1])

@forewarn.tool(effect="read")
def look(): return 1
@forewarn.tool(effect="write")
def note(): return 1

look(), note()
os.write(2, b"MARK\\n")
for _ in range(10):
    look()
os.write(2, b"MARK\\n")
for _ in range(10):
    note()
os.write(2, b"MARK\\n")
"""
APPENDS = """
import os, sys
from pathlib import Path
from forewarn.conventions import Effect
from forewarn.recording.interface import FrameKind
from forewarn.recording.segments import SegmentReader
from forewarn.recording.spool import SegmentSpool

synced = frozenset(map(Effect, sys.argv[3].split(",") if sys.argv[3] else []))
spool = SegmentSpool(Path(sys.argv[1]), "me", b"resource", max_bytes=1 << 30, sync_effects=synced)
number = 0

def append(count):
    global number
    for _ in range(count):
        spool.append(FrameKind.OTHER, b"x" * 100, Effect.WRITE)
    number += count

append(99)
os.write(2, b"MARK\\n"), append(20), os.write(2, b"MARK\\n")
append(int(sys.argv[2]) - number)
os.write(2, b"MARK\\n"), append(20), os.write(2, b"MARK\\n")
os._exit(0)
"""


@pytest.fixture
def traced(strace: str, tmp_path: Path) -> Callable[..., list[Counter[str]]]:
    """Runs a program; how often it made each system call, between the marks that it leaves."""
    return partial(_traced, strace, tmp_path)


def _traced(strace: str, tmp_path: Path, source: str, *arguments: str, **environment: str) -> list[Counter[str]]:
    log = tmp_path / "strace"
    command = [strace, "-f", "-qq", "-e", "trace=write,fsync,fdatasync,openat,close", "-o", str(log)]
    subprocess.run(
        [*command, sys.executable, "-c", source, *arguments],
        check=True,
        timeout=120,
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    )
    parts: list[Counter[str]] = [Counter()]
    for line in log.read_text().splitlines():
        if '"MARK' in line:
            parts.append(Counter())
        elif call := re.match(r"\d+ +(\w+)\(", line):
            parts[-1][call[1]] += 1
    return parts


def test_syncs_are_counted_from_outside(tmp_path: Path, traced: Callable[..., Any]) -> None:
    """
    A call of a synced effect syncs its start and its end; one of another effect is one write a record.
    """
    _, reads, writes, _ = traced(CALLS, str(tmp_path / "spool"), FOREWARN_SYNC_EFFECTS="write")

    assert reads == Counter(write=20)
    assert writes == Counter(write=20, fdatasync=20, close=20)


def test_a_new_segments_name_is_on_the_disk_too(tmp_path: Path, traced: Callable[..., Any]) -> None:
    """
    The folder is synced when the first synced record opens a segment; without the option nothing ever is.
    """
    beginning, *_ = traced(CALLS, str(tmp_path / "one"), FOREWARN_SYNC_EFFECTS="write")
    without = traced(CALLS, str(tmp_path / "two"))

    assert beginning["fsync"] == 1
    assert sum(part["fsync"] + part["fdatasync"] for part in without) == 0


@pytest.mark.parametrize(("synced", "appends"), [("", 100_000), ("write", 2_000)])
def test_an_append_costs_the_same_however_many_came_before(
    tmp_path: Path, traced: Callable[..., Any], synced: str, appends: int
) -> None:
    """
    The system calls of record 100 are those of record 100,000.
    """
    _, early, _, late, _ = traced(APPENDS, str(tmp_path / "spool"), str(appends), synced)

    assert early["write"] == 20
    assert late == early


def frames(folder: Path) -> list[object]:
    reader = SegmentReader.open(next(folder.glob("*.segment")))
    assert reader is not None
    with reader:
        return list(reader.read(reader.first, reader.size()))


def test_one_sync_serves_every_thread_that_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """
    While the first sync is under way seven threads write; one more sync is enough for all of them.
    """
    spool = SegmentSpool(tmp_path, "me", b"", max_bytes=1 << 30, sync_effects=frozenset({Effect.WRITE}))
    begun, may_end, syncs = threading.Event(), threading.Event(), list[int]()

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        begun.set()
        may_end.wait(30)

    monkeypatch.setattr(commits.os, "fdatasync", slow)
    threads = [threading.Thread(target=spool.append, args=(FrameKind.START, b"x", Effect.WRITE)) for _ in range(8)]
    threads[0].start()
    begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: len(frames(tmp_path)) == 8)
    may_end.set()
    for thread in threads:
        thread.join(30)

    assert len(syncs) == 2
    spool.close()


def test_a_sync_that_fails_is_told_to_all_who_waited_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The disk reports a lost page once; asking again for the same bytes would get a lie. Later bytes are another matter.
    """
    spool = SegmentSpool(tmp_path, "me", b"", max_bytes=1 << 30, sync_effects=frozenset({Effect.WRITE}))
    real = os.fdatasync

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(commits.os, "fdatasync", fail)
    with pytest.raises(SpoolUnavailable, match=r"cannot sync .*: Input/output error"):
        spool.append(FrameKind.START, b"x", Effect.WRITE)
    monkeypatch.setattr(commits.os, "fdatasync", real)

    spool.append(FrameKind.START, b"y", Effect.WRITE)
    spool.append(FrameKind.START, b"z", Effect.READ)

    spool.close()


def test_a_signal_handler_inside_of_a_sync_does_not_wait_for_itself(tmp_path: Path) -> None:
    """
    The leader is interrupted and comes again: it syncs by itself, because nobody else would end its wait.
    """
    entered: list[int] = []

    def begin() -> tuple[tuple[int, int], int]:
        if len(entered) < 2:
            entered.append(1)
            commit.reach((1, len(entered)))
        return (1, 10), os.open(tmp_path, os.O_RDONLY)

    commit = GroupCommit(begin)

    commit.reach((1, 5))

    assert entered == [1, 1]


@pytest.mark.parametrize("written", ["write,destructive", "write, destructive"])
def test_the_setting_is_a_list(written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Effects with commas between; a misspelt one is a wrong setting.
    """
    monkeypatch.setenv("FOREWARN_SYNC_EFFECTS", written)
    forewarn.configure(spool=tmp_path)
    assert configuration._setup is not None
    assert configuration._setup.settings.sync_effects == {Effect.WRITE, Effect.DESTRUCTIVE}

    monkeypatch.setenv("FOREWARN_SYNC_EFFECTS", "destructiv")
    with pytest.raises(forewarn.ConfigurationError, match="sync_effects"):
        forewarn.configure(spool=tmp_path)


def test_a_leader_that_is_interrupted_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The interrupt passes; the next thread leads.
    """
    spool = SegmentSpool(tmp_path, "me", b"", max_bytes=1 << 30, sync_effects=frozenset({Effect.WRITE}))
    real = os.fdatasync

    def interrupted(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commits.os, "fdatasync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        spool.append(FrameKind.START, b"x", Effect.WRITE)
    monkeypatch.setattr(commits.os, "fdatasync", real)

    other = threading.Thread(target=spool.append, args=(FrameKind.START, b"y", Effect.WRITE), daemon=True)
    other.start()
    other.join(30)

    assert not other.is_alive()
    spool.close()
