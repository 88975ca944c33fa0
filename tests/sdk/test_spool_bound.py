"""
The spool's bound: the oldest reads go first, nothing goes silently, and nobody's spool is touched while he lives.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from forewarn.conventions import OPERATION_NAME, SEQUENCE, Effect, LossReason
from forewarn.recording.interface import FrameKind, SpoolUnavailable
from forewarn.recording.records import Opening, template
from forewarn.recording.segments import Frame, SegmentReader
from forewarn.recording.sequences import Numbered, numbered
from forewarn.recording.spool import SegmentSpool
from forewarn.testing import read_record

BOUND = 1 << 20
RECORD_BYTES = 4096


class Ledger:
    """What was told to be lost."""

    def __init__(self) -> None:
        self.notes: list[tuple[LossReason, list[int], Effect]] = []

    def __call__(self, reason: LossReason, sequences: Iterable[int], effect: Effect) -> None:
        self.notes.append((reason, list(sequences), effect))

    @property
    def numbers(self) -> list[int]:
        return [number for _, sequences, _ in self.notes for number in sequences]


def record(sequence: int, effect: Effect = Effect.READ) -> bytes:
    name = "x" * RECORD_BYTES
    shape = template(name, {OPERATION_NAME: "execute_tool", "forewarn.effect": effect.value})
    return Opening((b"t" * 16, b"s" * 8, b""), shape, 1).start_record(sequence)


def make(folder: Path, sender: str = "me") -> tuple[SegmentSpool, Ledger]:
    ledger = Ledger()
    return SegmentSpool(folder, sender, b"\x0a\x00", max_bytes=BOUND, on_lost=ledger), ledger


def fill(spool: SegmentSpool, numbers: Iterable[int], effect: Effect | None) -> None:
    for number in numbers:
        spool.append(FrameKind.OTHER, record(number, effect or Effect.READ), effect)


def held(folder: Path) -> list[Numbered]:
    found = []
    for path in sorted(folder.glob("*.segment")):
        reader = SegmentReader.open(path)
        assert reader is not None
        at, end = reader.first, reader.size()
        while at < end:
            frames = reader.read(at, end)
            found += [numbered(one.record) for one in frames if isinstance(one, Frame)]
            at = frames[-1].end
        reader.close()
    return found


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.segment"))


def test_the_oldest_reads_go_and_each_number_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    Ten times what fits: the folder stays within its bound, the newest are there, and the ledger has all others.
    """
    spool, ledger = make(tmp_path)

    fill(spool, range(1, 2501), Effect.READ)

    kept = [one.sequence for one in held(tmp_path)]
    assert size(tmp_path) <= BOUND
    assert kept == list(range(kept[0] or 0, 2501))
    assert ledger.numbers == list(range(1, kept[0] or 0))
    assert {(reason, effect) for reason, _, effect in ledger.notes} == {(LossReason.SPOOL_FULL, Effect.READ)}
    assert "has dropped" in caplog.text
    assert len(caplog.records) < 15
    spool.close()


@pytest.mark.parametrize("effect", [Effect.DESTRUCTIVE, Effect.UNKNOWN, Effect.WRITE, None])
def test_others_push_reads_out_and_are_never_pushed_out(tmp_path: Path, effect: Effect | None) -> None:
    """
    Grave records, reasoning and agents find room as long as one read is there; then they are refused, aloud.
    """
    spool, ledger = make(tmp_path)
    fill(spool, range(1, 100), Effect.READ)
    taken = 99

    for number in range(100, 1000):
        try:
            fill(spool, [number], effect)
        except SpoolUnavailable as trouble:
            refusal = trouble
            break
        taken = number

    assert refusal.reason is LossReason.SPOOL_FULL
    assert "the bound is" in str(refusal)
    assert [one.sequence for one in held(tmp_path)] == list(range(100, taken + 1))
    assert ledger.numbers == list(range(1, 100))
    assert BOUND * 7 // 8 < size(tmp_path) <= BOUND
    spool.close()


def test_reads_leave_room_for_what_matters(tmp_path: Path) -> None:
    """
    A crowd of a living process's reads does not keep another process's destructive record out, and is left alone.
    """
    crowd, _ = make(tmp_path, "crowd")
    fill(crowd, range(1, 1000), Effect.READ)
    before = sorted(path.name for path in tmp_path.glob("crowd*"))
    spool, ledger = make(tmp_path)

    fill(spool, range(1, 31), Effect.DESTRUCTIVE)

    assert [one.sequence for one in held(tmp_path) if one.effect is Effect.DESTRUCTIVE] == list(range(1, 31))
    assert sorted(path.name for path in tmp_path.glob("crowd*")) == before
    assert ledger.notes == []
    crowd.close()
    spool.close()


def test_a_dead_senders_reads_go_and_leave_a_scar(tmp_path: Path) -> None:
    """
    Its grave records stay, and a loss record under its own resource names what went.
    """
    dead = SegmentSpool(tmp_path, "dead", b"\x0a\x04dead", max_bytes=BOUND)
    fill(dead, range(1, 11), Effect.DESTRUCTIVE)
    fill(dead, range(11, 200), Effect.READ)
    dead.drop_copies()
    spool, ledger = make(tmp_path)

    fill(spool, range(1, 150), Effect.WRITE)

    scars = sorted(tmp_path.glob("dead-x*"))
    told = []
    for path in scars:
        reader = SegmentReader.open(path)
        assert reader is not None
        assert reader.resource == b"\x0a\x04dead"
        (frame,) = reader.read(reader.first, reader.size())
        assert isinstance(frame, Frame)
        told.append(read_record(frame.record)["attributes"])
        reader.close()
    left = {one.sequence for path in [tmp_path] for one in held(path) if one.effect is Effect.READ}
    assert told
    assert all(one["forewarn.lost.reason"] == "spool_full" and SEQUENCE not in one for one in told)
    assert told[0]["forewarn.lost.sequences"].startswith("11-")
    assert sum(one["forewarn.lost.count"] for one in told) + len(left) == 189
    assert [one.sequence for one in held(tmp_path) if one.effect is Effect.DESTRUCTIVE] == list(range(1, 11))
    assert ledger.notes == []
    spool.close()


def test_a_dropped_segment_with_a_damaged_header_is_a_known_loss(tmp_path: Path) -> None:
    """
    Its frames still have their numbers.
    """
    spool, ledger = make(tmp_path)
    fill(spool, range(1, 31), Effect.READ)
    with min(tmp_path.glob("*.segment")).open("r+b") as segment:
        segment.write(b"damaged!")

    fill(spool, range(31, 300), Effect.READ)

    assert ledger.numbers[:30] == list(range(1, 31))
    spool.close()


def test_what_has_arrived_is_not_reported_lost(tmp_path: Path) -> None:
    """
    Only records behind the acknowledged offset are lost with a segment.
    """
    spool, ledger = make(tmp_path)
    fill(spool, range(1, 31), Effect.READ)
    first = min(tmp_path.glob("*.segment"))
    reader = SegmentReader.open(first)
    assert reader is not None
    frames = reader.read(reader.first, reader.size())
    reader.acknowledge(frames[9].end)
    reader.close()

    fill(spool, range(31, 400), Effect.READ)

    assert ledger.numbers[0] == 11
    spool.close()


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Somebody clears the spool of a running process: it says so, and records into a new one.
    """
    from forewarn.recording import series

    clock = [0.0]
    monkeypatch.setattr(series.time, "monotonic", lambda: clock[0])
    folder = tmp_path / "spool"
    spool, _ = make(folder)
    fill(spool, [1], Effect.READ)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(SpoolUnavailable, match="No such file"):
        fill(spool, range(2, 100), Effect.READ)
    clock[0] += 2

    fill(spool, [100], Effect.READ)

    assert [one.sequence for one in held(folder)] == [100]
    spool.close()
