"""
The spool: what was appended is there after whatever happened to its process or its disk.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.recording import series
from forewarn.recording.claims import Claim
from forewarn.recording.interface import FrameKind, Spool, SpoolUnavailable
from forewarn.recording.memory import MemorySpool
from forewarn.recording.segments import Damage, Frame, SegmentReader, encode_frame, encode_header
from forewarn.recording.spool import SegmentSpool

START, OTHER = FrameKind.START, FrameKind.OTHER


def make(folder: Path, sender: str = "a", *, max_bytes: int = 1 << 30, segment_bytes: int = 0) -> SegmentSpool:
    spool = SegmentSpool(folder, sender, b"resource", max_bytes=max_bytes)
    spool.segment_bytes = segment_bytes or spool.segment_bytes
    return spool


def read(path: Path) -> list[tuple[FrameKind, bytes]]:
    reader = SegmentReader.open(path)
    assert reader is not None
    found = reader.read(reader.acknowledged, reader.size())
    reader.close()
    return [(one.kind, one.record) for one in found if isinstance(one, Frame)]


def contents(folder: Path) -> list[tuple[FrameKind, bytes]]:
    return [frame for path in sorted(folder.glob("*.segment")) for frame in read(path)]


@pytest.fixture(params=["files", "memory"])
def any_spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Spool, Callable[[], Any]]]:
    """Each implementation of the seam, and how to read it back."""
    if request.param == "memory":
        memory = MemorySpool()
        yield memory, lambda: memory.records
    else:
        files = make(tmp_path)
        yield files, lambda: contents(tmp_path)
        files.close()


def test_contract_records_come_back_in_order(any_spool: tuple[Spool, Callable[[], Any]]) -> None:
    """
    Every record is there, whole, once, of its kind, in the order of appending.
    """
    spool, back = any_spool
    written = [(START if n % 3 else OTHER, bytes([n]) * n) for n in range(50)]

    for kind, record in written:
        spool.append(kind, record)

    assert back() == written


def test_contract_nothing_is_taken_after_close(any_spool: tuple[Spool, Callable[[], Any]]) -> None:
    """
    A closed spool refuses, and keeps what it has.
    """
    spool, back = any_spool
    spool.append(START, b"x")

    spool.close()

    with pytest.raises(SpoolUnavailable):
        spool.append(START, b"y")
    assert back() == [(START, b"x")]


def test_contract_threads_lose_nothing(any_spool: tuple[Spool, Callable[[], Any]]) -> None:
    """
    Eight threads append at once; each one's records are all there, in its order.
    """
    spool, back = any_spool

    def work(number: int) -> None:
        for row in range(200):
            spool.append(OTHER, bytes([number, row]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(8):
        assert [record[1] for _, record in back() if record[0] == number] == list(range(200))


def test_nothing_is_created_before_the_first_record(tmp_path: Path) -> None:
    """
    A process that records nothing leaves nothing.
    """
    make(tmp_path / "spool").close()

    assert list(tmp_path.iterdir()) == []


def test_one_write_per_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A record is one call of `write`, made before `append` returns: the kernel has it all or none of it.
    """
    spool = make(tmp_path)
    spool.append(START, b"first opens the segment")
    writes: list[int] = []
    real = os.write
    monkeypatch.setattr(series.os, "write", lambda fd, data: writes.append(len(data)) or real(fd, data))

    spool.append(START, b"x" * 100)

    assert writes == [len(encode_frame(START, b"x" * 100))]
    spool.close()


def test_segments_are_rotated_by_size(tmp_path: Path) -> None:
    """
    A full segment is followed by a new one, and no record is lost between them.
    """
    spool = make(tmp_path, segment_bytes=1000)
    for number in range(100):
        spool.append(OTHER, b"%03d" % number * 10)
    spool.close()

    sizes = [path.stat().st_size for path in tmp_path.glob("*.segment")]
    assert len(sizes) == 5
    assert max(sizes) <= 1000
    assert [record[:3] for _, record in contents(tmp_path)] == [b"%03d" % number for number in range(100)]


def test_the_bound_refuses_new_records_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is in the spool of an environment is bounded, other processes' segments included.
    """
    clock = [0.0]
    monkeypatch.setattr(series.time, "monotonic", lambda: clock[0])
    (tmp_path / "other-000001.segment").write_bytes(b"x" * 3000)
    spool = make(tmp_path, segment_bytes=1000, max_bytes=4000)
    for _ in range(7):
        spool.append(OTHER, b"y" * 120)
    with pytest.raises(SpoolUnavailable, match="the bound is 4000"):
        spool.append(OTHER, b"one too many" * 10)
    (tmp_path / "other-000001.segment").unlink()
    with pytest.raises(SpoolUnavailable):
        spool.append(OTHER, b"still within the second" * 10)

    clock[0] += 2
    spool.append(OTHER, b"room again")

    assert contents(tmp_path)[-1] == (OTHER, b"room again")
    spool.close()


def test_a_disk_that_is_full_is_told_and_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A short write is cut off again, so that what follows it can be read; after a second another file is tried.
    """
    clock = [0.0]
    monkeypatch.setattr(series.time, "monotonic", lambda: clock[0])
    spool = make(tmp_path)
    spool.append(OTHER, b"before")
    real = os.write
    monkeypatch.setattr(series.os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
    with pytest.raises(SpoolUnavailable, match="disk is full"):
        spool.append(OTHER, b"lost")

    def no_space(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(series.os, "write", no_space)
    with pytest.raises(SpoolUnavailable, match="No space left"):
        spool.append(OTHER, b"lost too")
    monkeypatch.setattr(series.os, "write", real)
    clock[0] += 2

    spool.append(OTHER, b"after")

    assert contents(tmp_path) == [(OTHER, b"before"), (OTHER, b"after")]
    spool.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """
    The text names the folder and the reason.
    """
    (tmp_path / "file").write_text("in the way")
    spool = make(tmp_path / "file" / "spool")

    with pytest.raises(SpoolUnavailable, match=f"cannot write to {tmp_path}/file/spool: Not a directory"):
        spool.append(OTHER, b"x")


def test_a_record_from_inside_of_append_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A finalizer or signal handler that appends in the middle of an append does not deadlock, and both are there.
    """
    spool = make(tmp_path, segment_bytes=400)
    spool.append(OTHER, b"opens it")
    real, nested = os.write, [False]

    def write(descriptor: int, data: bytes) -> int:
        if not nested[0]:
            nested[0] = True
            spool.append(OTHER, b"inner" * 50)
        return real(descriptor, data)

    monkeypatch.setattr(series.os, "write", write)
    spool.append(OTHER, b"outer" * 10)
    monkeypatch.setattr(series.os, "write", real)
    spool.append(OTHER, b"next" * 30)

    assert [record[:5] for _, record in contents(tmp_path)] == [b"opens", b"inner", b"outer", b"nextn"]
    spool.close()


@given(
    records=st.lists(st.tuples(st.sampled_from(FrameKind), st.binary(max_size=300)), min_size=1, max_size=12),
    data=st.data(),
)
def test_a_torn_tail_loses_only_the_torn_record(
    records: list[tuple[FrameKind, bytes]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Cut anywhere, a segment still gives every record that was whole, and reports the rest as damage.
    """
    header = encode_header(b"resource")
    frames = [encode_frame(kind, record) for kind, record in records]
    whole = header + b"".join(frames)
    cut = data.draw(st.integers(len(header), len(whole)))
    path = tmp_path_factory.mktemp("torn") / "a-1.segment"
    path.write_bytes(whole[:cut])
    ends = [len(header) + sum(map(len, frames[: n + 1])) for n in range(len(frames))]

    reader = SegmentReader.open(path)
    assert reader is not None
    found = reader.read(reader.acknowledged, reader.size())
    reader.close()

    kept = sum(end <= cut for end in ends)
    assert [(one.kind, one.record) for one in found if isinstance(one, Frame)] == records[:kept]
    assert any(isinstance(one, Damage) for one in found) == (cut not in [len(header), *ends])


@given(records=st.lists(st.binary(min_size=1, max_size=200), min_size=2, max_size=10), data=st.data())
def test_a_damaged_byte_loses_only_its_record(
    records: list[bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Whatever byte of a frame is wrong, its length included, the records around it are read.
    """
    header = encode_header(b"resource")
    frames = [encode_frame(OTHER, record) for record in records]
    victim = data.draw(st.integers(0, len(records) - 1))
    spot = data.draw(st.integers(0, len(frames[victim]) - 1))
    damaged = bytearray(frames[victim])
    damaged[spot] ^= data.draw(st.integers(1, 255))
    frames[victim] = bytes(damaged)
    path = tmp_path_factory.mktemp("damaged") / "a-1.segment"
    path.write_bytes(header + b"".join(frames))

    kept = [record for _, record in read(path)]

    assert kept == records[:victim] + records[victim + 1 :]


@pytest.mark.parametrize("length", [0, 5, 30])
def test_a_header_that_was_never_completed_holds_nothing(tmp_path: Path, length: int) -> None:
    """
    A process killed while it began a segment has written no record into it.
    """
    path = tmp_path / "a-1.segment"
    path.write_bytes(encode_header(b"a resource that is longer than that")[:length])

    assert SegmentReader.open(path) is None


def test_an_unbelievable_offset_means_from_the_beginning(tmp_path: Path) -> None:
    """
    An acknowledged offset beyond the file sends everything again rather than nothing.
    """
    path = tmp_path / "a-1.segment"
    path.write_bytes(encode_header(b"r") + encode_frame(OTHER, b"x"))
    reader = SegmentReader.open(path)
    assert reader is not None
    reader.acknowledge(10_000)
    reader.close()

    assert read(path) == [(OTHER, b"x")]


def test_large_segments_are_read_in_blocks(tmp_path: Path) -> None:
    """
    A record larger than a read block is found, and what follows it.
    """
    spool = make(tmp_path, segment_bytes=64 << 20)
    sizes = [10, 3 << 20, 20, 600_000, 600_000, 30]
    for size in sizes:
        spool.append(OTHER, b"z" * size)
    spool.close()

    reader = SegmentReader.open(next(tmp_path.glob("*.segment")))
    assert reader is not None
    found, at, end = [], reader.acknowledged, reader.size()
    while at < end:
        found += reader.read(at, end)
        at = found[-1].end
    reader.close()

    assert [len(one.record) for one in found if isinstance(one, Frame)] == sizes


def test_a_name_has_one_owner(tmp_path: Path) -> None:
    """
    A live sender's segments cannot be claimed; a dead one's can, once.
    """
    spool = make(tmp_path, "alive")
    spool.append(OTHER, b"x")
    assert Claim.take(tmp_path, "alive") is None
    spool.close()

    first = Claim.take(tmp_path, "alive")
    second = Claim.take(tmp_path, "alive")

    assert first is not None
    assert second is None
    first.give_back()
    assert [path.name for path in tmp_path.glob("*.lock")] == ["alive.lock"]


def test_names_are_never_taken_over(tmp_path: Path) -> None:
    """
    A sender whose name is still in use, by itself or by whoever adopted it, gets another one.
    """
    claims = [Claim.make(tmp_path, "me") for _ in range(3)]

    assert [claim.sender for claim in claims] == ["me", "me.2", "me.3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["me.2.lock", "me.3.lock", "me.lock"]
    for claim in claims:
        claim.give_back()


def test_a_removed_lock_is_not_held(tmp_path: Path) -> None:
    """
    Whoever waited with a lock that its last owner removed does not believe to own the name.
    """
    claim = Claim.make(tmp_path, "gone")
    stale = os.open(tmp_path / "gone.lock", os.O_RDWR)
    claim.give_back()
    os.close(stale)

    again = Claim.take(tmp_path, "gone")

    assert again is not None
    again.give_back()
    assert list(tmp_path.iterdir()) == []
