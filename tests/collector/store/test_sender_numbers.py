"""The store knows of each sender which numbers came, whatever way, order and company they came in."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.conventions import LOST_EFFECT, LOST_REASON, LOST_SEQUENCES, OPERATION_NAME, SENDER_ISSUED, SEQUENCE
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.migrations import packaged_migrations

CHUNK = 65_536
BY_THE_ENGINE = {"filler": "x" * 70_000}
"""Makes a batch too large to be decoded in Python."""
NUMBERS = st.one_of(st.integers(1, 40), st.integers(CHUNK - 3, CHUNK + 3), st.integers(3 * CHUNK, 3 * CHUNK + 5))
_names = itertools.count()


class Sender:
    """One sender whose records go into a store of the present."""

    def __init__(self, store: EmbeddedStore, otlp: Any) -> None:
        self.store = store
        self.name = f"sender-{next(_names)}"
        self.otlp = replace(otlp, start_ns=time.time_ns())
        self.trace = next(_names)

    def send(self, *numbers: int, environment: str = "production", said: Mapping[str, Any] | None = None) -> None:
        spans = [self._span(number, said or {}) for number in numbers]
        told = {"service.name": "janitor", "service.instance.id": self.name, "host.name": "web-3", "process.pid": 42}
        record = self.otlp.record(*spans, environment=environment, resource=told)
        self.store.insert_spans([record], token=f"{self.name}-{next(_names)}")

    def missing(self, **parameters: Any) -> list[tuple[int, int]]:
        return [(row["first"], row["last"]) for row in self.store.query("gaps", parameters | {"sender": self.name})]

    def _span(self, number: int, said: Mapping[str, Any]) -> Any:
        counted = {SEQUENCE: number} if number else {}
        return self.otlp.span(
            number % 1_000_000, trace=self.trace, attributes={OPERATION_NAME: "reason"} | counted | said
        )


@pytest.fixture(scope="module")
def kept(store_home: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(store_home, database="test_sender_numbers")
    store.migrate()
    yield store
    store.query("DROP DATABASE test_sender_numbers SYNC")
    store.close()


@pytest.fixture
def sender(kept: EmbeddedStore, otlp: Any) -> Sender:
    return Sender(kept, otlp)


def ranges_without(received: set[int], issued: int) -> list[tuple[int, int]]:
    """The rule, as simply as it can be said."""
    edges = [0, *sorted(received), max(issued, *received) + 1]
    return [(before + 1, after - 1) for before, after in itertools.pairwise(edges) if after - before > 1]


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.tuples(st.lists(NUMBERS, min_size=1, max_size=30), st.booleans()), min_size=1, max_size=4),
    issued=st.integers(0, 4 * CHUNK),
    merged=st.booleans(),
)
def test_exactly_what_did_not_come_is_missing(
    kept: EmbeddedStore, otlp: Any, *, batches: Sequence[tuple[list[int], bool]], issued: int, merged: bool
) -> None:
    """
    In any order, repeated and batched anyhow, decoded here or by the engine, before or after parts are merged.
    """
    sender = Sender(kept, otlp)
    for numbers, by_the_engine in batches:
        sender.send(*numbers, said=BY_THE_ENGINE if by_the_engine else None)
    last = batches[-1][0][-1]
    sender.send(last, said={OPERATION_NAME: "sender", SENDER_ISSUED: issued, "forewarn.sender.event": "heartbeat"})
    if merged:
        kept.query("OPTIMIZE TABLE senders FINAL")

    missing = sender.missing()

    received = {number for numbers, _ in batches for number in numbers}
    (known,) = kept.query("sender-numbers", {"sender": sender.name})
    assert missing == ranges_without(received, issued)
    assert (known["received"], known["last_number"]) == (len(received), max(received))
    assert known["issued"] == max(issued, *received)


def test_a_full_chunk_is_small(sender: Sender) -> None:
    """
    What is kept of a sender does not grow with what it sends: 8 KiB for 65,536 numbers, and no hole costs more.
    """
    for first in range(1, 2 * CHUNK, 16_384):
        sender.send(*range(first, min(first + 16_384, 2 * CHUNK), 2))

    (size,) = sender.store.query(
        "SELECT max(length(CAST(numbers, 'String'))) AS size FROM senders WHERE sender = {sender:String}",
        {"sender": sender.name},
    ).rows[0]

    assert size < 9 << 10
    assert len(sender.missing()) == CHUNK - 1


def test_what_has_no_number_is_not_counted(sender: Sender) -> None:
    """
    Spans of other instrumentations make no sender.
    """
    sender.send(0)

    assert len(sender.store.query("sender-numbers", {"sender": sender.name})) == 0


def test_what_came_before_numbers_were_kept_is_not_missing(sender: Sender) -> None:
    """
    A store of an earlier version has spans of a sender that goes on: only what is missing from then on is a gap.
    """
    sender.send(2, 3)
    sender.store.query("TRUNCATE TABLE senders")
    (numbering,) = (migration for migration in packaged_migrations() if migration.number == 5)
    for statement in numbering.statements():
        sender.store.query(statement)
    sender.send(6)

    assert sender.missing() == [(4, 5)]


def test_a_loss_told_of_a_dead_sender_counts(sender: Sender) -> None:
    """
    Such a record has no number of its own: it explains, and neither adds to what came nor to what is missing.
    """
    sender.send(1, 2, 5)
    lost = {OPERATION_NAME: "loss", LOST_SEQUENCES: "3-4", LOST_REASON: "spool_full", LOST_EFFECT: "read"}
    sender.send(0, said=lost)
    sender.send(0, said=lost)

    (loss,) = sender.store.query("losses", {"sender": sender.name})
    (known,) = sender.store.query("sender-numbers", {"sender": sender.name})
    assert (loss["numbers"], loss["reason"], loss["effect"], loss["sequence"]) == ("3-4", "spool_full", "read", 0)
    assert (known["received"], known["last_number"], known["host"], known["pid"]) == (3, 5, "web-3", 42)
    assert sender.missing() == [(3, 4)]


def test_another_environment_fills_no_gap(sender: Sender) -> None:
    """
    Whoever has a key of development cannot make a gap of production disappear.
    """
    sender.send(1, 3)
    sender.send(2, environment="development")

    assert sender.missing(environment="production") == [(2, 2)]


@pytest.mark.parametrize(("heard_of_the_first", "expected"), [(True, []), (False, [(1, CHUNK - 1)])])
def test_what_retention_has_dropped_is_not_missing(
    sender: Sender, *, heard_of_the_first: bool, expected: list[tuple[int, int]]
) -> None:
    """
    A sender that outlives the retention of its first records has no gap there; one whose first never came has.
    """
    said = {OPERATION_NAME: "sender", "forewarn.sender.event": "start"}
    spans = sender.otlp
    told = {"service.name": "janitor", "service.instance.id": sender.name}
    old, young = 0, 10**9
    for number, later in ((1, old), (CHUNK, young)):
        if number == CHUNK or heard_of_the_first:
            span = spans.span(
                number % 1000,
                trace=sender.trace,
                start_time_unix_nano=spans.start_ns + later,
                attributes=said | {SEQUENCE: number},
            )
            sender.store.insert_spans([spans.record(span, resource=told)], token=f"{sender.name}-{next(_names)}")
    sender.store.query(
        f"ALTER TABLE senders DELETE WHERE sender = '{sender.name}' AND chunk = 0 SETTINGS mutations_sync = 2"
    )

    assert sender.missing() == expected
