"""
Disks that are full or read-only: calls run, what did not fit is known by number, and all else arrives.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import forewarn
from forewarn.conventions import LOST_COUNT, LOST_REASON, OPERATION_LOSS, OPERATION_NAME
from forewarn.recording import series

KEY = "fwk_test_0a_0b"
LIMITED = """
import resource, sys, forewarn
forewarn.configure(service="agent", endpoint=sys.argv[1], key="fwk_test_0a_0b", spool=sys.argv[2])

@forewarn.tool(effect="write")
def note(row):
    return "x" * 2000

note(-1)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
assert [note(row) for row in range(100)] == ["x" * 2000] * 100
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
note(100)
"""


@forewarn.tool(effect="read")
def look(row: int) -> str:
    return "x" * 2000


@forewarn.tool(effect="write")
def note(row: int) -> int:
    return row


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for the spool."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The spool's clock, to be moved by hand."""
    now = [0.0]
    monkeypatch.setattr(series.time, "monotonic", lambda: now[0])
    return now


def on_record(gateway: Any) -> tuple[set[int], list[dict[str, Any]]]:
    """The numbers of the agent's that arrived, and the loss records."""
    posts = [post for post in gateway.posts if b"\x0a\x05agent" in post.body]
    attributes = [one["attributes"] for post in posts for one in post.records]
    lost = [one for one in attributes if one[OPERATION_NAME] == OPERATION_LOSS]
    return {one["forewarn.sequence"] for one in attributes}, lost


def named(losses: list[dict[str, Any]]) -> set[int]:
    """The numbers that loss records name."""
    found = set[int]()
    for one in losses:
        for part in one["forewarn.lost.sequences"].split(","):
            low, _, high = part.partition("-")
            found |= set(range(int(low), int(high or low) + 1))
    return found


def test_a_disk_that_fills_up_in_the_middle_of_a_segment(small_disk: Path, gateway: Any, clock: list[float]) -> None:
    """
    Calls run on; with room again recording goes on, and the numbers that are missing are those of the loss records.
    """
    forewarn.configure(service="agent", environment="test", spool=small_disk / "spool")
    filler = small_disk / "filler"
    for row in range(20):
        look(row)
    _fill(filler)
    assert [look(row) for row in range(100)] == ["x" * 2000] * 100
    filler.unlink()
    clock[0] += 2
    for row in range(20):
        look(row)
    forewarn.shutdown(0.0)

    forewarn.configure(service="next", endpoint=gateway.url, key=KEY, spool=small_disk / "spool")
    assert forewarn.flush(timeout=30)

    arrived, lost = on_record(gateway)
    missing = set(range(1, max(arrived) + 1)) - arrived
    assert missing
    assert missing == named(lost)
    assert {one[LOST_REASON] for one in lost} == {"spool_unavailable"}
    assert sum(one[LOST_COUNT] for one in lost) == len(missing)


def test_a_long_outage_loses_reads_alone_and_names_each(
    spool: Path, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With the gateway away the bound is reached; when it is back, what is missing is exactly what the losses name.
    """
    monkeypatch.setenv("FOREWARN_SPOOL_MAX_BYTES", str(1 << 20))
    gateway.stop()
    forewarn.configure(service="agent", endpoint=gateway.url, key=KEY, spool=spool)
    note(1)
    for row in range(600):
        look(row)
    note(2)

    gateway.start()
    assert forewarn.flush(timeout=30)
    look(600)
    assert forewarn.flush(timeout=30)

    arrived, lost = on_record(gateway)
    missing = set(range(1, max(arrived) + 1)) - arrived
    notes = [one for one in gateway.taken if one["name"] == "execute_tool note"]
    assert len(missing) > 300
    assert missing <= named(lost)
    assert {one[LOST_REASON] for one in lost} == {"spool_full"}
    assert {one["forewarn.lost.effect"] for one in lost} == {"read"}
    assert len(notes) == 4


def test_a_limit_of_file_sizes_is_a_new_segment(gateway: Any, spool: Path) -> None:
    """
    A file that may not grow any more is a full disk to its writer; the next record begins another file.
    """
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, gateway.url, str(spool)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    arrived, lost = on_record(gateway)
    missing = set(range(1, max(arrived) + 1)) - arrived
    assert missing == named(lost)
    assert len(missing) < 40


def test_a_folder_that_becomes_read_only(small_disk: Path, gateway: Any, clock: list[float]) -> None:
    """
    Nothing can be kept: it is said, calls run, and when the folder can be written again the loss is on record.
    """
    spool = small_disk / "spool"
    spool.mkdir()
    _remount(small_disk, "ro")
    forewarn.configure(service="agent", environment="test", spool=spool)
    assert [look(row) for row in range(5)] == ["x" * 2000] * 5
    _remount(small_disk, "rw")
    clock[0] += 2
    look(5)
    forewarn.shutdown(0.0)

    forewarn.configure(service="next", endpoint=gateway.url, key=KEY, spool=spool)
    assert forewarn.flush(timeout=30)

    arrived, lost = on_record(gateway)
    assert named(lost) == set(range(1, max(arrived) + 1)) - arrived == set(range(1, 11))


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while file.write(b"\0" * size) == size:
                    continue
            except OSError:
                continue


def _remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)
    assert os.access(disk, os.W_OK) == (mode == "rw")
