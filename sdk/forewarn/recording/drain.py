"""
THE ROAD out of the spool: starts first -> the rest -> remove what has arrived; then the same for what the dead left.

It reads the segment files, never the memory of the calls, so that a live process's records and those of a process that
died take the same way. A segment's acknowledged offset moves only when everything before it has arrived; what a crash
makes it send again has the same span id and is counted once.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from forewarn.conventions import Effect, LossReason
from forewarn.recording.claims import Claim, sender_of, senders_in
from forewarn.recording.gateway import Answer, Transport, Verdict
from forewarn.recording.losses import Lost
from forewarn.recording.outgoing import EmptySegment, Outgoing
from forewarn.recording.scars import leave_scar
from forewarn.recording.segments import Damage
from forewarn.recording.sequences import Numbered, effect_in, hole, numbered
from forewarn.recording.spool import SegmentSpool, tell_nobody
from forewarn.recording.wire import export_request, scope_message, span_field

SCOPE: Final = scope_message("forewarn", metadata.version("forewarn"))
MOST_ADOPTED: Final = 16
"""How many dead senders are adopted at once; each costs an open file."""

_log = logging.getLogger("forewarn")


class NotNow(Exception):
    """The gateway takes nothing at the moment; the records stay where they are."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.said)
        self.answer = answer


class _Adopted(NamedTuple):
    """A dead sender's name, held by this process, and its segments."""

    claim: Claim
    segments: list[Outgoing]


class Drain:
    """What one process has to send: its own spool, and those of dead processes beside it. Used by one thread."""

    def __init__(
        self, spool: SegmentSpool, transport: Transport, *, also: Path | None = None, on_lost: Lost = tell_nobody
    ) -> None:
        """`also`: a folder beside the spool's own whose abandoned segments are sent as well."""
        self.on_arrived: Callable[[int], None] | None = None
        """Told how many records have arrived, after each request."""
        self.on_turn: Callable[[], None] | None = None
        """Called between two requests of a round, which may take long."""
        self.on_refused: Callable[[Numbered], None] | None = None
        """Told of each record that is never taken, whoever's it was."""
        self._spool = spool
        self._folders = [spool.folder, *([also] if also else [])]
        self._transport = transport
        self._on_lost = on_lost
        self._own: dict[Path, Outgoing] = {}
        self._adopted: dict[tuple[Path, str], _Adopted] = {}
        self._look: Iterator[tuple[Path, str]] | None = None
        self._stuck_at: tuple[Path, str] | None = None

    def round(self) -> None:
        """Send everything that is there when it begins; raises NotNow if the gateway does not take it."""
        self._look_at_own()
        goals = {one.path: one.end for one in self._outgoing()}
        while unsent := next((one for one in self._outgoing() if not one.has_arrived_to(goals.get(one.path, 0))), None):
            # What this process starts now comes before all that waits, its own and the dead ones'; of the rest a dead
            # one's and its own take turns, so that neither waits for the other's end.
            for one in self._own.values():
                self._send_starts(one)
            self._send_next(unsent)
            if unsent.path not in self._own and (own := self._unsent_own()) is not None:
                self._send_next(own)
            if self.on_turn is not None:
                self.on_turn()
            self._look_at_own()
        self._remove_arrived()

    def adopt(self) -> bool:
        """Take over the next few senders that have died; False, once, when every one in the folders had its turn."""
        self._look = self._look or self._abandoned()
        taken = 0
        while taken < MOST_ADOPTED and (names := list(islice(self._look, 1))):
            taken += self._take(*names[0])
        if not taken:
            self._look = None
        return taken > 0

    def let_go(self) -> None:
        """Give back what was adopted: it may be dropped for room, or sent by a process that is luckier."""
        unsent = (one for claim, many in self._adopted.values() for one in many if not one.has_arrived)
        if (one := next(unsent, None)) is not None:
            self._stuck_at = one.path.parent, sender_of(one.path)
        for claim, _ in self._adopted.values():
            claim.give_back()
        self._adopted, self._look = {}, None

    def close(self) -> None:
        """Let go of everything; what has not arrived can be adopted by another process."""
        self.let_go()
        self._own = {}

    def _abandoned(self) -> Iterator[tuple[Path, str]]:
        """Every sender in the folders, beginning behind the one where the last look got stuck."""
        names = sorted((folder, sender) for folder in self._folders if folder.is_dir() for sender in senders_in(folder))
        at = bisect_right(names, self._stuck_at) if self._stuck_at else 0
        return iter(names[at:] + names[:at])

    def _take(self, folder: Path, sender: str) -> bool:
        claim = Claim.take(folder, sender)
        if claim is None:
            return False
        segments = [one for path in claim.segments() if (one := self._opened(path)) is not None]
        self._adopted[folder, sender] = _Adopted(claim, segments)
        if segments:
            _log.info("Forewarn sends what process %s left behind: %d segments.", sender, len(segments))
        return True

    def _opened(self, path: Path) -> Outgoing | None:
        """None for a segment that is gone, or that holds nothing and never will; that one is removed."""
        try:
            return Outgoing(path, path.stat().st_size, self._damaged)
        except FileNotFoundError:
            return None
        except EmptySegment:
            path.unlink(missing_ok=True)
            return None

    def _outgoing(self) -> list[Outgoing]:
        return [*self._own.values(), *(one for _, many in self._adopted.values() for one in many)]

    def _unsent_own(self) -> Outgoing | None:
        return next((one for one in self._own.values() if not one.has_arrived_to(one.end)), None)

    def _look_at_own(self) -> None:
        known, self._own = self._own, {}
        for segment in self._spool.written():
            one = known.get(segment.path) or self._opened(segment.path)
            if one is None or one.is_gone:
                # Dropped for room, or removed by somebody who should not have: nothing more may go into it.
                self._spool.give_up(segment.path)
                continue
            one.end = segment.size
            self._own[segment.path] = one

    def _send_starts(self, one: Outgoing) -> None:
        while (batch := one.next_starts()) is not None:
            self._deliver(one, batch.records, are_starts=True)
            one.starts_arrived(batch)

    def _send_next(self, one: Outgoing) -> None:
        if (starts := one.next_starts()) is not None:
            self._deliver(one, starts.records, are_starts=True)
            one.starts_arrived(starts)
            return
        batch = one.next_rest()
        if batch.records:
            self._deliver(one, batch.records, are_starts=False)
        one.rest_arrived(batch)

    def _deliver(self, one: Outgoing, records: list[bytes], *, are_starts: bool) -> None:
        request = export_request(one.resource, SCOPE, b"".join(map(span_field, records)))
        answer = self._transport.send(request, are_starts=are_starts)
        match answer.verdict:
            case Verdict.TAKEN:
                if answer.said:
                    _log.error("The Forewarn gateway took a request, but not whole: %s", answer.said)
                if self.on_arrived is not None:
                    self.on_arrived(len(records))
            case Verdict.POISON if len(records) == 1:
                self._never_taken(one.path, records[0], answer)
            case Verdict.POISON:
                half = len(records) // 2
                self._deliver(one, records[:half], are_starts=are_starts)
                self._deliver(one, records[half:], are_starts=are_starts)
            case _:
                raise NotNow(answer)

    def _never_taken(self, path: Path, record: bytes, answer: Answer) -> None:
        _log.error("Forewarn drops one record of %d bytes that is never taken: %s", len(record), answer.said)
        sequence, effect = refused = numbered(record)
        if self.on_refused is not None:
            self.on_refused(refused)
        if sequence is not None:
            self._lost(path, LossReason.NOT_TAKEN, [sequence], effect or Effect.READ)

    def _damaged(self, path: Path, damage: Damage) -> None:
        lost = hole(path, damage)
        _log.error(
            "Forewarn skips %d unreadable bytes at %d of %s: a torn last write, or a bad disk. Missing there: %s",
            damage.end - damage.begin,
            damage.begin,
            path,
            ", ".join(map(str, lost)) or "not known",
        )
        if lost:
            self._lost(path, LossReason.DAMAGED, lost, effect_in(path))

    def _lost(self, path: Path, reason: LossReason, sequences: Iterable[int], effect: Effect) -> None:
        adopted = self._adopted.get((path.parent, sender_of(path)))
        if path in self._own or adopted is None:
            self._on_lost(reason, sequences, effect)
        else:
            leave_scar(adopted.claim, adopted.segments[0].resource, reason=reason, lost=sequences, effect=effect)

    def _remove_arrived(self) -> None:
        for segment in self._spool.written():
            one = self._own.get(segment.path)
            if one is not None and not segment.is_current and one.has_arrived:
                del self._own[segment.path]
                self._spool.forget(segment.path)
        for claim, many in self._adopted.values():
            for one in many:
                one.path.unlink(missing_ok=True)
            claim.give_back()
        self._adopted = {}
