"""
What the embedded log asks of the disk, counted from outside of the process.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

APPENDER = Path(__file__).with_name("appender.py")
RECORDS = 50
SYNC = re.compile(r"(fsync|fdatasync)\(\d+<[^>]*log\.sqlite3[^>]*>\)\s+= 0")
WORK = re.compile(r"(pread64|pwrite64|read|write|fsync|fdatasync)(\(| resumed)")


def test_nothing_is_acknowledged_before_it_is_synced(tmp_path: Path, strace: str) -> None:
    """
    Between two acknowledgements of single appends there is a completed fsync of the log's file, each time.
    """
    calls = _traced(strace, tmp_path, before=0)

    synced = _between_acknowledgements(calls, SYNC)

    assert len(synced) == RECORDS
    assert min(synced) >= 1


def test_an_append_costs_the_same_after_100_000_records(tmp_path: Path, strace: str) -> None:
    """
    The system calls of an append do not grow with the records that the log already holds.
    """
    (tmp_path / "young").mkdir()
    (tmp_path / "old").mkdir()

    young = _between_acknowledgements(_traced(strace, tmp_path / "young", before=100), WORK)
    old = _between_acknowledgements(_traced(strace, tmp_path / "old", before=100_000), WORK)

    assert sorted(old)[RECORDS // 2] <= sorted(young)[RECORDS // 2] + 1


def _traced(strace: str, folder: Path, *, before: int) -> list[str]:
    """The system calls of a process that makes `RECORDS` appends, from its first acknowledgement to its last."""
    output = folder / "calls"
    traced = "trace=fsync,fdatasync,write,pwrite64,read,pread64"
    command = [strace, "-f", "-y", "-qq", "-e", traced, "-o", output, sys.executable, APPENDER]
    done = subprocess.run(
        [*command, folder / "log.sqlite3", str(before), str(RECORDS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = output.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if '"begin\\n"' in line)
    end = next(number for number, line in enumerate(lines) if '"end\\n"' in line)
    return lines[begin + 1 : end]


def _between_acknowledgements(calls: list[str], wanted: re.Pattern[str]) -> list[int]:
    """How many of the wanted calls were made for each of the records."""
    counts, count = [], 0
    for line in calls:
        if '"acknowledged\\n"' in line:
            counts.append(count)
            count = 0
        elif wanted.search(line):
            count += 1
    return counts
