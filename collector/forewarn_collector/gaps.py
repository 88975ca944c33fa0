"""
What is missing of each sender's numbering, and by whose fault.

Rows of the store in (`sender-numbers`, `gaps`, `losses`, `rejected-records`), findings out; how they look on a terminal
is `gaps_view`. All times are of the gateway's clock except `last_ts`, the sender's own; they are compared only to tell
records that a dead sender left from those that a living one sends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from forewarn.conventions import LossReason, SenderEvent
from forewarn_collector.numbers import Explained, Range, explain, read_ranges, without_overlap

Row = Mapping[str, Any]
Key = tuple[str, str, str]
"""Environment, service, sender: who a number belongs to."""

ON_THE_WAY: Final = timedelta(seconds=10)
"""Records of one sender overtake each other between gateway and store by less than this."""
_MISSED_HEARTBEATS: Final = 2


class Verdict(StrEnum):
    """What became of records that are not in the store."""

    LOST = "lost"
    """They will never come, their sender says."""
    REFUSED = "refused"
    """They came, and the gateway or the store did not take them."""
    LATE = "late"
    """They may still come."""
    MISSING = "missing"
    """They should be here, and nobody explains why they are not."""
    SILENT = "silent"
    """Nothing is known of what the sender did after its last number."""


class Life(StrEnum):
    """What is known of a sender's process."""

    ALIVE = "alive"
    STOPPED = "stopped"
    SILENT = "silent"
    """No stop, and its heartbeat is overdue."""
    GONE = "gone"
    """The same; but what it had spooled came later, so somebody has emptied its spool."""
    UNKNOWN = "unknown"
    """It sends no heartbeats."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why some records are not there. `last` None: whatever was numbered from `first` on."""

    verdict: Verdict
    first: int
    last: int | None
    reason: str
    effect: str = ""
    dead_letter: str = ""

    @property
    def records(self) -> int | None:
        return None if self.last is None else self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Account:
    """One sender: who it is, what is known of it, what is missing of it."""

    environment: str
    service: str
    sender: str
    host: str
    pid: int
    life: Life
    received: int
    last_number: int
    last_received_at: datetime
    waiting_bytes: int
    findings: tuple[Finding, ...]


_AT_THE_AGENT: Final = {
    LossReason.SPOOL_FULL: "the agent's machine: its spool was full",
    LossReason.SPOOL_UNAVAILABLE: "the agent's machine: the disk of its spool did not take them",
    LossReason.DAMAGED: "the agent's machine: its disk returned something else than it was given",
    LossReason.NOT_BUILT: "the agent's process: they could not be made",
    LossReason.NOT_TAKEN: "the gateway does not take them",
}


@dataclass(frozen=True, slots=True)
class _Why:
    verdict: Verdict
    reason: str
    effect: str = ""
    dead_letter: str = ""


def accounts(
    senders: Iterable[Row], missing: Iterable[Row], losses: Iterable[Row], rejected: Iterable[Row]
) -> list[Account]:
    """One account per sender, in their order, those without a finding included."""
    ranges: dict[Key, list[Range]] = defaultdict(list)
    for row in missing:
        ranges[_key(row)].append(Range(row["first"], row["last"]))
    known: dict[Key, list[Explained[_Why]]] = defaultdict(list)
    for row in rejected:
        known[_key(row)] += [Explained(each, _refused(row)) for each in read_ranges(row["numbers"])]
    for row in losses:
        known[_key(row)] += [Explained(each, _lost(row)) for each in read_ranges(row["numbers"])]
    return [_account(row, ranges[_key(row)], without_overlap(known[_key(row)])) for row in senders]


def _beyond(known: Sequence[Explained[_Why]], number: int) -> list[Range]:
    """What is told of numbers that nobody has heard of otherwise: the last that a process gave out before it died."""
    return [Range(max(each.range.first, number + 1), each.range.last) for each in known if each.range.last > number]


def _key(row: Row) -> Key:
    return row["environment"], row["service"], row["sender"]


def _lost(row: Row) -> _Why:
    verdict = Verdict.REFUSED if row["reason"] == LossReason.NOT_TAKEN else Verdict.LOST
    reason = _AT_THE_AGENT.get(row["reason"]) or f"the agent's process: {row['reason'] or 'it does not say why'}"
    return _Why(verdict, reason, effect=row["effect"])


def _refused(row: Row) -> _Why:
    return _Why(Verdict.REFUSED, f"the store: {row['reason']}", dead_letter=row["dead_letter"])


def _account(sender: Row, missing: Sequence[Range], known: Sequence[Explained[_Why]]) -> Account:
    life = _life(sender)
    findings = [
        Finding(why.verdict, part.first, part.last, why.reason, why.effect, why.dead_letter)
        if why
        else _unexplained(part, sender, life)
        for each in (*missing, *_beyond(known, sender["issued"]))
        for part, why in explain(each, known)
    ]
    if life is Life.SILENT:
        findings.append(_silence(sender, after=max([sender["issued"], *(each.range.last for each in known[-1:])])))
    return Account(
        environment=sender["environment"],
        service=sender["service"],
        sender=sender["sender"],
        host=sender["host"],
        pid=sender["pid"],
        life=life,
        received=sender["received"],
        last_number=sender["last_number"],
        last_received_at=sender["last_received_at"],
        waiting_bytes=sender["waiting_bytes"],
        findings=tuple(findings),
    )


def _life(sender: Row) -> Life:
    if sender["said"] == SenderEvent.STOP:
        return Life.STOPPED
    if not sender["heartbeat_seconds"]:
        return Life.UNKNOWN
    heartbeat = timedelta(seconds=min(sender["heartbeat_seconds"], timedelta.max.days))
    if sender["asked_at"] - sender["last_received_at"] <= _MISSED_HEARTBEATS * heartbeat + ON_THE_WAY:
        return Life.ALIVE
    return Life.GONE if sender["last_received_at"] - sender["last_ts"] > heartbeat else Life.SILENT


def _unexplained(part: Range, sender: Row, life: Life) -> Finding:
    """What a sender says with nothing waiting, or in the end, comes after all that it sent before."""
    settled = sender["asked_at"] - sender["said_received_at"] > ON_THE_WAY
    if not (sender["said"] and settled and sender["said_number"] > part.last):
        return Finding(Verdict.LATE, part.first, part.last, _where(sender, life))
    if life is Life.STOPPED:
        reason = "the pipeline: it stopped cleanly, and what it sent later came"
        if sender["waiting_bytes"]:
            reason += f"; unless they wait in the spool on host {sender['host'] or 'unknown'}"
        return Finding(Verdict.MISSING, part.first, part.last, reason)
    if sender["waiting_bytes"]:
        return Finding(Verdict.LATE, part.first, part.last, _where(sender, life))
    return Finding(Verdict.MISSING, part.first, part.last, "the pipeline: they left the spool, and are not here")


def _where(sender: Row, life: Life) -> str:
    place = f"in the spool on host {sender['host'] or 'unknown'}"
    if life is Life.ALIVE:
        return f"they wait {place} or are on their way"
    if life is Life.STOPPED:
        return "they are on their way: it has just stopped"
    return f"they wait {place}, if they were made"


def _silence(sender: Row, *, after: int) -> Finding:
    since = f"{sender['last_received_at']:%Y-%m-%d %H:%M:%S} UTC"
    reason = (
        f"silent since {since}, last number {sender['last_number']}: the process is gone or cut off; "
        f"what it spooled waits on host {sender['host'] or 'unknown'}"
    )
    return Finding(Verdict.SILENT, after + 1, None, reason)
