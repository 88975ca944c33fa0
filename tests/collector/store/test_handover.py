"""The engine gets the bytes of its insert, and none of another's."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from forewarn_collector.store.handover import as_file

MIB = 1 << 20


def handed(pieces: Iterable[bytes]) -> bytes:
    with as_file(pieces) as path:
        return Path(path).read_bytes()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def on_a_thread(run: Callable[[], None]) -> None:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_a_file_that_is_written_again_holds_nothing_of_before() -> None:
    """
    Longer, shorter, empty, in pieces: each time exactly the bytes that were given.
    """
    for pieces in ([b"x" * 3 * MIB], [b"ab", b"", b"c"], [], [b"y" * 20 * MIB, b"z"], [b"d"]):
        assert handed(pieces) == b"".join(pieces)


def test_two_at_once_on_one_thread_are_two() -> None:
    """
    The inner file is not the outer one.
    """
    with as_file([b"outer"]) as outer:
        assert handed([b"in"]) == b"in"
        assert Path(outer).read_bytes() == b"outer"


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory files are Linux's")
def test_a_file_is_used_again_and_gone_with_its_thread() -> None:
    """
    A thread has one, however often it inserts; none is left when it has ended.
    """
    before, meanwhile = open_files(), []

    def insert() -> None:
        for _ in range(10):
            handed([b"x"])
            meanwhile.append(open_files())

    on_a_thread(insert)

    assert set(meanwhile) == {before + 1}
    assert open_files() == before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory files are Linux's")
def test_what_has_failed_is_not_written_over() -> None:
    """
    The engine may still read from the file of an insert that has failed.
    """
    engine: list[int] = []

    def fail() -> None:
        with as_file([b"old"]) as path:
            engine.append(os.open(path, os.O_RDONLY))
            raise ConnectionError("the insert failed")

    def insert() -> None:
        with pytest.raises(ConnectionError):
            fail()
        handed([b"new"])

    on_a_thread(insert)

    assert os.read(engine[0], 10) == b"old"
    os.close(engine[0])


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory files are Linux's")
def test_a_large_insert_does_not_hold_its_memory() -> None:
    """
    Sixteen mebibytes are kept for the next one, not what the largest ever took.
    """
    kept: list[int] = []

    def insert() -> None:
        with as_file([b"x" * 40 * MIB]) as path:
            descriptor = os.open(path, os.O_RDONLY)
        kept.append(os.fstat(descriptor).st_blocks * 512)
        os.close(descriptor)

    on_a_thread(insert)

    assert kept == [16 * MIB]
