"""
Segments that are torn, flipped or gone: told, skipped, and their neighbours arrive.
"""

from __future__ import annotations

import os
import resource as resource_limits
from collections.abc import Iterable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import LOST_SEQUENCES, OPERATION_NAME, SERVICE_INSTANCE_ID, Effect, LossReason
from forewarn.recording.claims import Claim
from forewarn.recording.drain import MOST_ADOPTED, Drain, NotNow
from forewarn.recording.gateway import Answer, Verdict
from forewarn.recording.interface import FrameKind
from forewarn.recording.records import Opening, template
from forewarn.recording.segments import Frame, SegmentReader
from forewarn.recording.spool import SegmentSpool
from forewarn.recording.wire import resource
from forewarn.testing import Record, read_record

SHAPE = template("execute_tool look", {OPERATION_NAME: "execute_tool", "forewarn.effect": "destructive"})
Lost = tuple[LossReason, list[int], Effect]


def record(sequence: int) -> bytes:
    return Opening((b"t" * 16, sequence.to_bytes(8), b""), SHAPE, 1).end_record(sequence, 2)


class Gateway:
    """Takes everything but what `refuses` says, and reads it."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.refused: bytes | None = None
        self.verdict = Verdict.POISON

    def send(self, request: bytes, *, are_starts: bool) -> Answer:
        if self.refused is not None and self.refused in request:
            return Answer(self.verdict, "no")
        self.requests.append(ExportTraceServiceRequest.FromString(request))
        return Answer(Verdict.TAKEN)

    def close(self) -> None: ...

    @property
    def records(self) -> list[Record]:
        spans = (span for one in self.requests for span in one.resource_spans[0].scope_spans[0].spans)
        return [read_record(span.SerializeToString()) for span in spans]

    @property
    def numbers(self) -> list[int]:
        return [one["attributes"].get("forewarn.sequence", 0) for one in self.records]

    @property
    def senders(self) -> set[str]:
        attributes = (pair for one in self.requests for pair in one.resource_spans[0].resource.attributes)
        return {pair.value.string_value for pair in attributes if pair.key == SERVICE_INSTANCE_ID}


def spooled(folder: Path, sender: str, numbers: Iterable[int], effect: Effect | None = None) -> SegmentSpool:
    spool = SegmentSpool(folder, sender, resource({SERVICE_INSTANCE_ID: sender}), max_bytes=1 << 30)
    for number in numbers:
        spool.append(FrameKind.OTHER, record(number), effect)
    return spool


def frames_of(path: Path) -> list[Frame]:
    reader = SegmentReader.open(path)
    assert reader is not None
    found = [one for one in reader.read(reader.first, reader.size()) if isinstance(one, Frame)]
    reader.close()
    return found


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))


def drain(folder: Path, gateway: Gateway, spool: SegmentSpool | None = None) -> list[Lost]:
    lost: list[Lost] = []
    one = Drain(
        spool or spooled(folder, "drainer", []),
        gateway,
        on_lost=lambda reason, numbers, effect: lost.append((reason, list(numbers), effect)),
    )
    one.round()
    while one.adopt():
        one.round()
    one.close()
    return lost


def test_a_flipped_byte_loses_one_record_and_names_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    Its neighbours arrive; the hole between their numbers is the loss, save what stands in another segment.
    """
    spool = spooled(tmp_path, "me", [1, 2, 3, 6, 7])
    spool.append(FrameKind.OTHER, record(4), Effect.READ)
    frames = frames_of(tmp_path / "me-000001.segment")
    flip(tmp_path / "me-000001.segment", frames[3].end - 5)
    gateway = Gateway()

    lost = drain(tmp_path, gateway, spool)

    assert sorted(gateway.numbers) == [1, 2, 3, 4, 7]
    assert lost == [(LossReason.DAMAGED, [5, 6], Effect.UNKNOWN)]
    assert caplog.text.count("unreadable bytes") == 1
    assert "Missing there: 5, 6" in caplog.text
    spool.close()


def test_what_a_dead_sender_lost_is_a_scar_of_its_own(tmp_path: Path) -> None:
    """
    The loss is told under the dead sender's name, not under that of whoever found it.
    """
    spooled(tmp_path, "dead", [1, 2, 3]).drop_copies()
    (segment,) = tmp_path.glob("*.segment")
    flip(segment, frames_of(segment)[1].end - 5)
    gateway = Gateway()

    first = drain(tmp_path, gateway)
    second = drain(tmp_path, gateway)

    assert first == second == []
    assert gateway.numbers == [1, 3, 0]
    assert gateway.senders == {"dead"}
    assert gateway.records[-1]["attributes"][LOST_SEQUENCES] == "2"
    assert list(tmp_path.iterdir()) == []


def test_a_torn_tail_is_told_and_what_is_before_it_arrives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    The process died inside a write: what number that had nobody can say.
    """
    spooled(tmp_path, "dead", [1, 2, 3]).drop_copies()
    (segment,) = tmp_path.glob("*.segment")
    os.truncate(segment, segment.stat().st_size - 7)
    gateway = Gateway()

    lost = drain(tmp_path, gateway)

    assert lost == []
    assert gateway.numbers == [1, 2]
    assert "Missing there: not known" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("offset", [2, 17, 21, 30])
def test_a_damaged_header_costs_no_record(tmp_path: Path, offset: int, caplog: pytest.LogCaptureFixture) -> None:
    """
    The frames behind it are sound; they are sent under the sender's name, which the file has, too.
    """
    spooled(tmp_path, "dead", [1, 2, 3]).drop_copies()
    (segment,) = tmp_path.glob("*.segment")
    flip(segment, offset)
    gateway = Gateway()

    drain(tmp_path, gateway)

    assert gateway.numbers == [1, 2, 3]
    assert gateway.senders == {"dead"}
    assert "unreadable bytes at 0" in caplog.text


def test_a_segment_that_was_only_begun_is_removed(tmp_path: Path) -> None:
    """
    A process killed while it wrote the header left nothing behind, and must not be looked at forever.
    """
    spooled(tmp_path, "dead", [1]).drop_copies()
    (tmp_path / "dead-000002.segment").write_bytes(b"FWSEG\0")
    gateway = Gateway()

    drain(tmp_path, gateway)

    assert gateway.numbers == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_never_taken_is_a_known_loss(tmp_path: Path) -> None:
    """
    Its number and the effect of its call are told; its neighbours arrive.
    """
    spool = spooled(tmp_path, "me", range(1, 8))
    gateway = Gateway()
    gateway.refused = record(5)

    lost = drain(tmp_path, gateway, spool)

    assert gateway.numbers == [1, 2, 3, 4, 6, 7]
    assert lost == [(LossReason.NOT_TAKEN, [5], Effect.DESTRUCTIVE)]
    spool.close()


def test_own_files_that_somebody_removed_are_given_up(tmp_path: Path) -> None:
    """
    The drain ends its round, and what is recorded next goes into a file that has a name.
    """
    spool = spooled(tmp_path, "me", [1])
    (tmp_path / "me-000001.segment").unlink()
    gateway = Gateway()

    drain(tmp_path, gateway, spool)
    spool.append(FrameKind.OTHER, record(2))
    drain(tmp_path, gateway, spool)

    assert gateway.numbers == [2]
    spool.close()


def test_adoption_is_by_turns_and_starves_nobody(tmp_path: Path) -> None:
    """
    More dead senders than are adopted at once, and one that the gateway chokes on: all others arrive in two looks.
    """
    count = 3 * MOST_ADOPTED
    for number in range(1, count + 1):
        spooled(tmp_path, f"dead{number:03d}", [number]).drop_copies()
    gateway = Gateway()
    gateway.refused, gateway.verdict = record(2), Verdict.LATER
    one = Drain(spooled(tmp_path, "drainer", []), gateway)

    def look() -> None:
        try:
            while one.adopt():
                one.round()
        except NotNow:
            one.let_go()

    for _ in range(2):
        look()

    assert sorted(set(gateway.numbers)) == [1, *range(3, count + 1)]
    one.close()


def test_while_nothing_can_be_sent_adopted_senders_are_free(tmp_path: Path) -> None:
    """
    What an unlucky process adopted can be sent by a lucky one beside it.
    """
    spooled(tmp_path, "dead", [1]).drop_copies()
    unlucky, lucky = Gateway(), Gateway()
    unlucky.refused, unlucky.verdict = record(1), Verdict.LATER
    first = Drain(spooled(tmp_path, "first", []), unlucky)
    first.adopt()
    with pytest.raises(NotNow):
        first.round()
    first.let_go()

    drain(tmp_path, lucky)

    assert lucky.numbers == [1]


def test_many_segments_cost_few_open_files(tmp_path: Path) -> None:
    """
    A long outage leaves more segments than a process may open files; they are sent all the same.
    """
    for sender in range(30):
        dead = spooled(tmp_path, f"dead{sender:02d}", [])
        dead.segment_bytes = 100
        for number in range(1, 11):
            dead.append(FrameKind.OTHER, record(number))
        dead.drop_copies()
    gateway = Gateway()
    before = resource_limits.getrlimit(resource_limits.RLIMIT_NOFILE)
    in_use = len(list(Path("/proc/self/fd").iterdir()))

    resource_limits.setrlimit(resource_limits.RLIMIT_NOFILE, (in_use + MOST_ADOPTED + 8, before[1]))
    try:
        drain(tmp_path, gateway)
    finally:
        resource_limits.setrlimit(resource_limits.RLIMIT_NOFILE, before)

    assert len(gateway.numbers) == 300
    assert list(tmp_path.iterdir()) == []


def test_a_child_does_not_keep_what_its_parent_adopted(tmp_path: Path) -> None:
    """
    The locks of adopted senders are the parent's alone: a child that lives on does not hold them when the parent dies.
    """
    spooled(tmp_path, "dead", [1]).drop_copies()
    adopter = Drain(spooled(tmp_path, "adopter", []), Gateway())
    assert adopter.adopt()
    begin, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begin[1], b".")
        os.read(end[0], 1)
        os._exit(0)
    os.read(begin[0], 1)
    while_it_is_held = Claim.take(tmp_path, "dead")
    # As the parent's death would: its descriptors close, nothing is unlocked.
    for claim, _ in adopter._adopted.values():
        claim.drop_copy()

    claim = Claim.take(tmp_path, "dead")

    os.write(end[1], b".")
    os.waitpid(child, 0)
    assert while_it_is_held is None
    assert claim is not None
    claim.give_back()
