"""
Losses: numbers that will never come are on record as soon as a record fits, and nothing of that troubles a tool.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forewarn
from forewarn import calls
from forewarn.conventions import Effect, LossReason
from forewarn.recording.interface import SpoolUnavailable
from forewarn.recording.losses import RANGES_AT_ONCE, Loss, Losses, Ranges
from forewarn.testing import Recorded, record, unreachable

FULL, READ = LossReason.SPOOL_FULL, Effect.READ


def losses_of(recorded: Recorded) -> list[dict[str, Any]]:
    """What the loss records say, by the last part of their attributes' names."""
    return [
        {name.removeprefix("forewarn.lost."): value for name, value in one["attributes"].items() if "lost" in name}
        for one in recorded.records
        if one["attributes"]["gen_ai.operation.name"] == "loss"
    ]


def numbers_of(text: str) -> list[int]:
    """What `17-40,52` stands for."""
    pairs = [part.partition("-")[::2] for part in text.split(",") if part]
    return [number for low, high in pairs for number in range(int(low), int(high or low) + 1)]


@given(st.lists(st.integers(1, 60), max_size=80))
def test_ranges_are_the_numbers(numbers: list[int]) -> None:
    """
    In whatever order they come, and however often: each number once, in ascending ranges that do not touch.
    """
    ranges = Ranges()
    for number in numbers:
        ranges.add(number)

    text, count = ranges.first()
    pairs = [part.partition("-")[::2] for part in text.split(",") if part]
    edges = [int(edge) for low, high in pairs for edge in (low, high or low)]
    assert numbers_of(text) == sorted(set(numbers))
    assert count == len(set(numbers))
    assert all(low - high > 1 for high, low in zip(edges[1::2], edges[2::2], strict=False))
    assert all(int(high) > int(low) for low, high in pairs if high)


def test_ranges_are_bounded() -> None:
    """
    Beyond the bound numbers are counted, not named; the last record counts them.
    """
    ranges = Ranges(most=RANGES_AT_ONCE + 1)
    for number in range(0, 4 * RANGES_AT_ONCE, 2):
        ranges.add(number)

    text, count = ranges.first()
    ranges.drop_first()
    last, rest = ranges.first()
    ranges.drop_first()

    assert numbers_of(text) == list(range(0, 2 * RANGES_AT_ONCE, 2))
    assert (count, last, rest) == (RANGES_AT_ONCE, str(2 * RANGES_AT_ONCE), RANGES_AT_ONCE)
    assert ranges.count == 0


def test_reads_and_writes_that_take_turns_are_all_named() -> None:
    """
    Numbers with gaps between them are told in as many records as it takes, each once.
    """
    told: list[Loss] = []
    losses = Losses(told.append)
    for number in range(1, 6 * RANGES_AT_ONCE):
        losses.note(FULL, [number], READ if number % 2 else Effect.WRITE)

    losses.tell()

    assert sorted(number for loss in told for number in numbers_of(loss.sequences)) == [*range(1, 6 * RANGES_AT_ONCE)]
    assert all(loss.count == len(numbers_of(loss.sequences)) for loss in told)
    assert not losses.are_untold


def test_losses_are_told_by_reason_and_effect() -> None:
    """
    Each reason and effect has a record of its own; what was told is not told again.
    """
    told: list[Loss] = []
    ledger = Losses(told.append)

    ledger.note(FULL, [3, 1, 2], READ)
    ledger.note(FULL, [9], Effect.WRITE)
    ledger.note(FULL, range(5, 8), READ)
    ledger.note(LossReason.DAMAGED, [20], READ)
    ledger.tell()
    ledger.tell()

    assert told == [
        Loss(FULL, READ, "1-3,5-7", 6),
        Loss(FULL, Effect.WRITE, "9", 1),
        Loss(LossReason.DAMAGED, READ, "20", 1),
    ]
    assert not ledger.are_untold


def test_what_is_lost_while_a_loss_is_told_is_told_later() -> None:
    """
    A spool that loses something in the middle of taking a loss record does not end in itself.
    """
    told: list[str] = []

    def write(loss: Loss) -> None:
        told.append(loss.sequences)
        if len(told) == 1:
            ledger.note(FULL, [2], READ)
            ledger.tell()

    ledger = Losses(write)

    ledger.note(FULL, [1], READ)
    ledger.tell()
    ledger.tell()

    assert told == ["1", "2"]


def test_a_signal_in_the_middle_of_a_note_loses_nothing() -> None:
    """
    A handler that notes a loss while one is being noted neither waits for it nor is forgotten.
    """
    told: list[Loss] = []
    ledger = Losses(told.append)

    def interrupted(*_: object) -> None:
        ledger.note(FULL, [1_000_000], READ)

    def numbers() -> Iterator[int]:
        yield 1
        signal.raise_signal(signal.SIGUSR1)
        yield 2

    before = signal.signal(signal.SIGUSR1, interrupted)
    try:
        ledger.note(FULL, numbers(), READ)
        with ledger._turn:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    ledger.tell()

    assert [loss.sequences for loss in told] == ["1-2,1000000"]


def test_threads_lose_no_loss() -> None:
    """
    Whatever eight threads note at the same time is told, each number once.
    """
    told: list[Loss] = []
    ledger = Losses(told.append)
    barrier = threading.Barrier(8)

    def work(first: int) -> None:
        barrier.wait()
        for number in range(first, first + 500):
            ledger.note(FULL, [number], READ)
            ledger.tell()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 4_000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.tell()

    assert sorted(number for loss in told for number in numbers_of(loss.sequences)) == list(range(4_000))


def test_a_loss_record_is_tried_until_the_spool_takes_it() -> None:
    """
    Its own number is not used up by attempts: the only gap in the sequence is the one that it names.
    """

    @forewarn.tool(effect="write")
    def note(text: str) -> str:
        return text

    with record() as recorded:
        recorded.spool.full = True
        note("a")
        recorded.spool.full = False
        take, recorded.append = recorded.append, _only_calls(recorded.append)  # type: ignore[method-assign]
        note("b")
        recorded.append = take  # type: ignore[method-assign]
        note("c")

    sequences = {one["attributes"]["forewarn.sequence"] for one in recorded.records}
    assert losses_of(recorded) == [
        {"sequences": "1-2", "count": 2, "reason": "spool_unavailable", "effect": "write"},
    ]
    assert sorted({*sequences, 1, 2}) == list(range(1, max(sequences) + 1))


def _only_calls(append: Callable[..., None]) -> Callable[..., None]:
    def refuse_losses(kind: Any, span: bytes, effect: Effect | None = None) -> None:
        if effect is None:
            raise SpoolUnavailable("no room for this one")
        append(kind, span, effect)

    return refuse_losses


@pytest.mark.parametrize(
    ("broken", "sequences"),
    [("ended_ok", "2"), ("Opening", "1")],
)
def test_a_record_that_cannot_be_built_leaves_its_number(
    broken: str, sequences: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The tool runs, its result is returned, and the number is a known loss, with the effect of the call.
    """

    @forewarn.tool(effect="read")
    def look() -> str:
        return "seen"

    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("ours")

    with record() as recorded:
        with monkeypatch.context() as patched:
            patched.setattr(calls, broken, fail)
            answer = look()
        look()

    assert answer == "seen"
    assert losses_of(recorded) == [
        {"sequences": sequences, "count": 1, "reason": "not_built", "effect": "read"},
    ]


def test_an_agent_and_a_reasoning_that_cannot_be_recorded_trouble_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What happens within them happens; their numbers are known losses.
    """

    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("ours")

    monkeypatch.setattr("forewarn.agents.Closing", fail)
    monkeypatch.setattr("forewarn.reasoning.Closing", fail)
    with record() as recorded:
        with forewarn.agent("a"):
            forewarn.reason("b")
        with forewarn.agent("c"):
            pass

    assert [one["sequences"] for one in losses_of(recorded)] == ["2-3"]


def test_a_destructive_call_whose_record_cannot_be_built_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nobody could vouch for it, so in production it does not run; elsewhere it does.
    """
    ran: list[str] = []

    @forewarn.tool(effect="destructive")
    def purge() -> None:
        ran.append("purge")

    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("ours")

    monkeypatch.setattr(calls, "Opening", fail)
    with record(environment="production"), pytest.raises(forewarn.NotRecorded, match="ArithmeticError"):
        purge()
    assert ran == []
    with record(unreachable, environment="test"):
        purge()

    assert ran == ["purge"]


def test_what_is_lost_while_the_process_ends_is_told(gateway: Any, spool: Path) -> None:
    """
    A record that the gateway never takes is on record as lost, though it was sent after the sender's last record.
    """

    def dislike(handler: Any, post: Any) -> None:
        is_bad = any(one["attributes"].get("gen_ai.tool.name") == "bad" for one in post.records)
        gateway.answer(handler, 400 if is_bad else 200, b"", "application/x-protobuf")

    gateway.react = dislike
    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    forewarn.tool(effect="write", name="bad")(lambda: None)()

    assert forewarn.shutdown()

    (loss,) = [one for one in gateway.all_taken if one["attributes"]["gen_ai.operation.name"] == "loss"]
    assert loss["attributes"]["forewarn.lost.sequences"] == "2-3"


def test_an_interrupt_while_losses_are_told_forgets_none() -> None:
    """
    What was not on record when Ctrl-C came is tried again.
    """
    interrupts = [KeyboardInterrupt()]
    told: list[Loss] = []

    def write(loss: Loss) -> None:
        if interrupts:
            raise interrupts.pop()
        told.append(loss)

    losses = Losses(write)
    losses.note(LossReason.NOT_BUILT, [7], Effect.READ)
    with pytest.raises(KeyboardInterrupt):
        losses.tell()

    assert losses.are_untold
    losses.tell()

    assert [loss.sequences for loss in told] == ["7"]
    assert not losses.are_untold
