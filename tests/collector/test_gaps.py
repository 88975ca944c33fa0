"""What became of each missing number, and by whose fault: decided from rows alone."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from forewarn_collector.gaps import Account, Finding, Life, Verdict, accounts
from forewarn_collector.gaps_view import GapsView
from forewarn_collector.numbers import Explained, Range, explain, ranges_text, read_ranges, without_overlap

PAGE = (Path(__file__).parents[2] / "docs/commands.md").read_text()
NOW = datetime(2026, 11, 22, 12, 0, 0)  # noqa: DTZ001 - as the store answers: UTC without saying so
KEY = {"environment": "production", "service": "janitor", "sender": "one"}


def sender(**known: Any) -> dict[str, Any]:
    """A living sender whose latest heartbeat, the record 100, came 20 s ago with nothing waiting."""
    return KEY | {
        "host": "web-3",
        "pid": 42,
        "received": 90,
        "last_number": 100,
        "issued": 100,
        "last_received_at": NOW - timedelta(seconds=20),
        "last_ts": NOW - timedelta(seconds=20),
        "said": "heartbeat",
        "said_number": 100,
        "said_received_at": NOW - timedelta(seconds=20),
        "waiting_bytes": 0,
        "heartbeat_seconds": 30,
        "asked_at": NOW,
    } | known  # fmt: skip


def account(known: Mapping[str, Any], *missing: tuple[int, int], **explained: list[dict[str, Any]]) -> Account:
    gaps = [KEY | {"first": first, "last": last} for first, last in missing]
    losses, rejected = explained.get("losses", []), explained.get("rejected", [])
    (found,) = accounts([known], gaps, [KEY | each for each in losses], [KEY | each for each in rejected])
    return found


def verdicts(found: Account) -> list[tuple[Verdict, int, int | None]]:
    return [(each.verdict, each.first, each.last) for each in found.findings]


def lost(numbers: str, reason: str = "spool_full") -> dict[str, Any]:
    return {"numbers": numbers, "reason": reason, "effect": "read"}


@pytest.mark.parametrize(
    ("known", "life", "found"),
    [
        ({}, Life.ALIVE, [(Verdict.MISSING, 17, 18)]),
        ({"waiting_bytes": 10}, Life.ALIVE, [(Verdict.LATE, 17, 18)]),
        ({"said_number": 16}, Life.ALIVE, [(Verdict.LATE, 17, 18)]),
        ({"said_received_at": NOW}, Life.ALIVE, [(Verdict.LATE, 17, 18)]),
        ({"said": "stop"}, Life.STOPPED, [(Verdict.MISSING, 17, 18)]),
        ({"said": "stop", "waiting_bytes": 10}, Life.STOPPED, [(Verdict.MISSING, 17, 18)]),
        ({"said": "stop", "said_received_at": NOW}, Life.STOPPED, [(Verdict.LATE, 17, 18)]),
        ({"heartbeat_seconds": 0, "said": "start", "said_number": 1}, Life.UNKNOWN, [(Verdict.LATE, 17, 18)]),
        ({"heartbeat_seconds": 0, "said": "", "said_number": 0}, Life.UNKNOWN, [(Verdict.LATE, 17, 18)]),
    ],
)
def test_what_nobody_explains_is_late_or_missing(
    known: dict[str, Any], life: Life, found: list[tuple[Verdict, int, int]]
) -> None:
    """
    It is missing once the sender has said, after it and a while ago, that it has nothing left to send.
    """
    one = account(sender(**known), (17, 18))

    assert (one.life, verdicts(one)) == (life, found)


@pytest.mark.parametrize(
    ("known", "life"),
    [
        ({"last_received_at": NOW - timedelta(seconds=69)}, Life.ALIVE),
        ({"last_received_at": NOW - timedelta(seconds=71)}, Life.SILENT),
        ({"last_received_at": NOW - timedelta(seconds=71), "said": "stop"}, Life.STOPPED),
        ({"last_received_at": NOW - timedelta(seconds=71), "heartbeat_seconds": 0}, Life.UNKNOWN),
        ({"last_received_at": NOW - timedelta(hours=1), "last_ts": NOW - timedelta(hours=2)}, Life.GONE),
    ],
)
def test_silence_is_an_overdue_heartbeat_without_a_stop(known: dict[str, Any], life: Life) -> None:
    """
    It is a gap without an end, and over once what the dead process had spooled has come.
    """
    one = account(sender(**({"last_ts": known["last_received_at"]} | known)))

    assert one.life is life
    assert verdicts(one) == ([(Verdict.SILENT, 101, None)] if life is Life.SILENT else [])


def test_silence_says_since_when_and_where_the_rest_is() -> None:
    """
    Its edges are the last number and the last time; the host is where to look.
    """
    one = account(sender(last_received_at=NOW - timedelta(hours=1), last_ts=NOW - timedelta(hours=1), issued=120))

    assert one.findings == (
        Finding(
            Verdict.SILENT,
            121,
            None,
            "silent since 2026-11-22 11:00:00 UTC, last number 100: the process is gone or cut off; "
            "what it spooled waits on host web-3",
        ),
    )


def test_a_range_is_cut_where_its_explanation_changes() -> None:
    """
    What the sender says is lost, what the store refused and what nobody explains stand side by side.
    """
    refused = {"numbers": "15-16", "reason": "no OTLP", "dead_letter": "otlp_spans.dead_letters:0:3"}

    one = account(sender(), (10, 20), losses=[lost("8-12,20"), lost("13", "not_taken")], rejected=[refused])

    assert verdicts(one) == [
        (Verdict.LOST, 10, 12),
        (Verdict.REFUSED, 13, 13),
        (Verdict.MISSING, 14, 14),
        (Verdict.REFUSED, 15, 16),
        (Verdict.MISSING, 17, 19),
        (Verdict.LOST, 20, 20),
    ]
    by_the_store = one.findings[3]
    assert (by_the_store.reason, by_the_store.dead_letter) == ("the store: no OTLP", "otlp_spans.dead_letters:0:3")
    assert one.findings[0].reason == "the agent's machine: its spool was full"
    assert one.findings[1].reason == "the gateway does not take them"


def test_what_came_is_no_gap_whatever_is_said_of_it() -> None:
    """
    A loss that was told, and then did not happen, is none.
    """
    assert account(sender(), losses=[lost("1-100")]).findings == ()


def test_losses_beyond_the_last_known_number_are_gaps() -> None:
    """
    A process may die before it says how far it came; who cleaned up behind it says it.
    """
    assert verdicts(account(sender(), losses=[lost("99-105")])) == [(Verdict.LOST, 101, 105)]


def test_every_reason_of_the_contract_has_words() -> None:
    """
    A reason that is unknown here is told as it came.
    """
    reasons = ["spool_full", "spool_unavailable", "damaged", "not_built", "not_taken", "moths"]

    found = [account(sender(), (5, 5), losses=[lost("5", reason)]).findings[0].reason for reason in reasons]

    assert len(set(found)) == 6
    assert found[-1] == "the agent's process: moths"
    assert all(reason not in text for reason, text in zip(reasons[:-1], found[:-1], strict=True))


@given(st.sets(st.integers(1, 60)))
def test_ranges_are_read_as_they_are_written(numbers: set[int]) -> None:
    """
    Text and numbers say the same, as short as it goes.
    """
    read = read_ranges(ranges_text(numbers))

    assert {number for each in read for number in range(each.first, each.last + 1)} == numbers
    assert all(before.last + 1 < after.first for before, after in itertools.pairwise(read))


@pytest.mark.parametrize("text", ["", "x", "3-", "-3", "9-3", "1-2-3", "²", "1.5", "9" * 5000])
def test_what_is_no_range_is_left_out(text: str) -> None:
    """
    Senders write these texts; a broken part takes no other with it.
    """
    assert read_ranges(text) == []
    assert read_ranges(f"{text},7-8") == [Range(7, 8)]


RANGES = st.tuples(st.integers(1, 40), st.integers(0, 10)).map(lambda pair: Range(pair[0], pair[0] + pair[1]))


@given(RANGES, st.lists(st.tuples(RANGES, st.sampled_from("abc"))))
def test_explaining_loses_and_invents_no_number(missing: Range, said: list[tuple[Range, str]]) -> None:
    """
    The parts are the range again, in order, and each part is explained by somebody who spoke of all of it, if anybody.
    """
    parts = list(explain(missing, without_overlap(Explained(of, why) for of, why in said)))

    numbers = [number for part, _ in parts for number in range(part.first, part.last + 1)]
    assert numbers == list(range(missing.first, missing.last + 1))
    for part, why in parts:
        for number in range(part.first, part.last + 1):
            told = {known for of, known in said if of.first <= number <= of.last}
            assert why in told if told else why is None


def shown(*found: Account, width: int = 100) -> str:
    out = io.StringIO()
    Console(width=width, file=out).print(GapsView(found, unreadable=2))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_people_read_who_what_why_and_what_to_do() -> None:
    """
    Senders without a gap take no room; what to do stands once, below.
    """
    silent = {"last_received_at": NOW - timedelta(hours=1), "last_ts": NOW - timedelta(hours=1)}
    gappy = account(sender(**silent), (17, 40), (52, 52), losses=[lost("17-40")])

    text = shown(account(sender()), gappy)

    assert text.partition("\nAlso")[0] in PAGE
    assert text == (
        "janitor  production  host web-3  pid 42  sender one  (silent, last heard 2026-11-22 11:00:00 UTC)\n"
        "  17-40  24 records  lost     the agent's machine: its spool was full (gravest effect: read)\n"
        "     52    1 record  missing  the pipeline: they left the spool, and are not here\n"
        "   101-              silent   silent since 2026-11-22 11:00:00 UTC, last number 100: the process is\n"
        "                              gone or cut off; what it spooled waits on host web-3\n"
        "\n"
        "On host web-3: `forewarn spool drain` sends what a process left there.\n"
        "lost: nothing brings them back; why it happened stands beside them (docs/commands.md).\n"
        "missing: ask where `forewarn serve` runs: `forewarn doctor`, and its log, for that time.\n"
        "Also 2 refused requests of unknown senders: `forewarn query run rejected-records`."
    )


def test_no_gap_is_one_line() -> None:
    """
    It says of how many it speaks, and of those that went without a word.
    """
    gone = {"last_received_at": NOW - timedelta(hours=1), "last_ts": NOW - timedelta(hours=2)}

    assert shown(account(sender()), account(sender(**gone))) == (
        "No gap: every record of 2 senders that is known of is here.\n"
        "1 sender ended without saying so; what was left in the spool came later."
    )


def test_nobody_heard_of_is_not_a_clean_bill() -> None:
    """
    Where no sender is known there is nothing to call complete.
    """
    assert shown().startswith("No sender of numbered records was heard of")


def test_many_gaps_are_cut_and_strange_names_shown_as_they_are() -> None:
    """
    Twenty lines are enough to see what it is; a sender's name moves nobody's cursor.
    """
    many = account(sender(host="web\x1b[2J-3"), *((number, number) for number in range(1, 60, 2)))

    text = shown(many)

    assert "10 more; all of them: --json" in text
    assert "host web\\x1b[2J-3" in text
