"""
What a sender says of itself: it starts, lives and stops, each said once and in its time.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import forewarn
from forewarn.conventions import OPERATION_SENDER, SENDER_EVENT, SENDER_HEARTBEAT, SENDER_ISSUED, SENDER_WAITING_BYTES
from forewarn.recording.drain import Drain
from forewarn.recording.gateway import Answer, Verdict
from forewarn.recording.interface import FrameKind
from forewarn.recording.senders import Lifecycle, SelfPortrait, waiting_bytes
from forewarn.recording.spool import SegmentSpool
from forewarn.testing import counted_bytes, read_record, ticking_clock


class Keeper:
    """Keeps what a lifecycle says."""

    def __init__(self) -> None:
        self.portrait = SelfPortrait(ticking_clock(), counted_bytes())
        self.said: list[dict[str, Any]] = []

    def keep_built(self, kind: FrameKind, build: Callable[[int], bytes]) -> None:
        assert kind is FrameKind.OTHER
        self.said.append(read_record(build(len(self.said) + 1)))


def test_a_life() -> None:
    """
    One start, a heartbeat when it is time, one stop, nothing after it; all in one trace, without duration.
    """
    keeper, now = Keeper(), [100.0]
    life = Lifecycle(keeper, heartbeat_s=30, waiting_bytes=lambda: 7, clock=lambda: now[0])

    before_begin = life.beat()
    life.begin()
    life.begin()
    waits = [life.beat()]
    for at in (129.9, 130.0, 140.0):
        now[0] = at
        waits.append(life.beat())
    life.end()
    life.end()
    now[0] = 1000.0
    after_end = life.beat()

    events = [one["attributes"][SENDER_EVENT] for one in keeper.said]
    assert events == ["start", "heartbeat", "stop"]
    assert before_begin == after_end == math.inf
    assert [round(wait, 1) for wait in waits] == [30.0, 0.1, 30.0, 20.0]
    assert [one["name"] for one in keeper.said] == [f"{OPERATION_SENDER} {event}" for event in events]
    assert len({one["trace_id"] for one in keeper.said}) == 1
    assert all(one["start_ns"] == one["end_ns"] > 0 and one["record"] == "end" for one in keeper.said)
    assert [one["attributes"][SENDER_ISSUED] for one in keeper.said] == [1, 2, 3]
    assert {one["attributes"][SENDER_WAITING_BYTES] for one in keeper.said} == {7}
    assert {one["attributes"][SENDER_HEARTBEAT] for one in keeper.said} == {30}


def test_a_sender_that_never_began_has_no_end() -> None:
    """
    A process that recorded nothing and sends nothing says nothing.
    """
    keeper = Keeper()

    Lifecycle(keeper, heartbeat_s=0, waiting_bytes=lambda: 0).end()

    assert keeper.said == []


def test_what_waits_is_what_was_not_acknowledged(tmp_path: Path) -> None:
    """
    Whole frames behind the acknowledged offset, over all segments; a segment that has arrived counts nothing.
    """
    spool = SegmentSpool(tmp_path, "me", b"resource", max_bytes=1 << 20)
    spool.segment_bytes = 200
    sizes = []

    for record in (b"x" * 90, b"y" * 90, b"z" * 90):
        sizes.append(waiting_bytes(spool))
        spool.append(FrameKind.OTHER, record)
    spool.forget(spool.written()[0].path)
    sizes.append(waiting_bytes(spool))
    spool.close()

    frame = sizes[1]
    assert frame > 90
    assert sizes == [0, frame, 2 * frame, 2 * frame]


def test_a_configured_process_says_that_it_starts_and_stops(gateway: Any, spool: Path) -> None:
    """
    The start is the first record of a process that sends, before any call; the stop is its last.
    """
    forewarn.configure(service="app", endpoint=gateway.url, key=gateway.KEY, spool=spool)
    with forewarn.agent("janitor"):
        pass
    assert forewarn.shutdown()

    told = [(one["attributes"][SENDER_EVENT], one["attributes"]["forewarn.sequence"]) for one in gateway.of_senders]
    assert told == [("start", 1), ("stop", 4)]
    assert [one["attributes"][SENDER_HEARTBEAT] for one in gateway.of_senders] == [30, 30]


def test_a_living_process_gives_signs_of_life(gateway: Any, spool: Path, monkeypatch: Any, eventually: Any) -> None:
    """
    With nothing else to do, a heartbeat comes from the sender's thread, and says how far the numbers went.
    """
    monkeypatch.setenv("FOREWARN_HEARTBEAT", "1")
    forewarn.configure(service="app", endpoint=gateway.url, key=gateway.KEY, spool=spool)

    eventually(lambda: len(gateway.of_senders) >= 3)

    told = [(one["attributes"][SENDER_EVENT], one["attributes"][SENDER_ISSUED]) for one in gateway.of_senders]
    assert told[:3] == [("start", 1), ("heartbeat", 2), ("heartbeat", 3)]


def test_a_process_that_only_spools_says_it_with_its_first_record(gateway: Any, spool: Path) -> None:
    """
    Nobody beats for it, and it says so; its stop is there when its program ended by itself.
    """
    program = f"""
import forewarn
forewarn.configure(service="app", environment="test", spool={str(spool)!r})
with forewarn.agent("janitor"):
    pass
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)

    forewarn.configure(endpoint=gateway.url, key="fwk_test_0a_0b", spool=spool)
    assert forewarn.flush()

    told = [
        (one["attributes"][SENDER_EVENT], one["attributes"]["forewarn.sequence"], one["attributes"][SENDER_HEARTBEAT])
        for one in gateway.of_senders
        if one["attributes"][SENDER_HEARTBEAT] == 0
    ]
    assert told == [("start", 2, 0), ("stop", 4, 0)]


def test_a_dead_senders_backlog_holds_up_no_sign_of_life(tmp_path: Path) -> None:
    """
    While a long backlog is sent, the living one's own records take turns with it, and its pulse is felt.
    """

    class Wire:
        sent: ClassVar[list[bytes]] = []

        def send(self, request: bytes, *, are_starts: bool) -> Answer:
            self.sent.append(request)
            return Answer(Verdict.TAKEN)

        def close(self) -> None: ...

    def spooled(sender: str) -> SegmentSpool:
        return SegmentSpool(tmp_path, sender, b"resource", max_bytes=1 << 30)

    dead = spooled("dead")
    for _ in range(6):
        dead.append(FrameKind.OTHER, b"backlog" + b"x" * 700_000)
    dead.drop_copies()
    spool, wire = spooled("me"), Wire()
    drain = Drain(spool, wire)
    drain.adopt()
    turns: list[int] = []

    def beat() -> None:
        turns.append(len(wire.sent))
        spool.append(FrameKind.OTHER, b"alive %d" % len(turns))

    drain.on_turn = beat
    drain.round()

    order = ["own" if b"alive" in body else "dead" for body in wire.sent]
    assert len(turns) >= 6
    assert order.index("own") < 3
    assert order[-1] == "dead" or order.count("own") >= 4
    spool.close()
