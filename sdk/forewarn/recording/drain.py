"""
THE ROAD out of the spool: adopt what dead processes left -> starts first -> the rest -> remove what has arrived.

It reads the segment files, never the memory of the calls, so that a live process's records and those of a process that
died take the same way. A segment's acknowledged offset moves only when everything before it has arrived; what a crash
makes it send again has the same span id and is counted once.
"""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path
from typing import Final

from forewarn.recording.claims import Claim, take_abandoned
from forewarn.recording.gateway import Answer, Transport, Verdict
from forewarn.recording.outgoing import Outgoing
from forewarn.recording.segments import SegmentReader
from forewarn.recording.spool import SegmentSpool
from forewarn.recording.wire import export_request, scope_message, span_field

SCOPE: Final = scope_message("forewarn", metadata.version("forewarn"))

_log = logging.getLogger("forewarn")


class NotNow(Exception):
    """The gateway takes nothing at the moment; the records stay where they are."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.said)
        self.answer = answer


class Drain:
    """What one process has to send: its own spool, and those of dead processes beside it. Used by one thread."""

    def __init__(self, spool: SegmentSpool, transport: Transport, *, also: Path | None = None) -> None:
        """`also`: a folder beside the spool's own whose abandoned segments are sent as well."""
        self._spool = spool
        self._folders = [spool.folder, *([also] if also else [])]
        self._transport = transport
        self._own: dict[str, Outgoing] = {}
        self._adopted: list[tuple[Claim, list[Outgoing]]] = []

    def round(self) -> None:
        """Send everything that is there when it begins; raises NotNow if the gateway does not take it."""
        self._look_at_own()
        goals = [(one, one.end) for one in self._outgoing()]
        while unsent := [one for one, goal in goals if not one.has_arrived_to(goal)]:
            for one in self._outgoing():
                self._send_starts(one)
            self._send_rest(unsent[0])
            # So that a start record that comes meanwhile overtakes what else is waiting.
            self._look_at_own()
        self._remove_arrived()

    def adopt(self) -> None:
        """Take over the segments of every process that died since the last look."""
        for claim in (one for folder in self._folders if folder.is_dir() for one in take_abandoned(folder)):
            readers = [reader for path in claim.segments() if (reader := _opened(path)) is not None]
            self._adopted.append((claim, [Outgoing(reader, reader.size()) for reader in readers]))
            if readers:
                _log.info("Forewarn sends what process %s left behind: %d segments.", claim.sender, len(readers))

    def close(self) -> None:
        """Let go of every file; what has not arrived can be adopted by another process."""
        for one in self._own.values():
            one.close()
        for claim, many in self._adopted:
            for one in many:
                one.close()
            claim.give_back()
        self._own, self._adopted = {}, []

    def _outgoing(self) -> list[Outgoing]:
        return [*(one for _, many in self._adopted for one in many), *self._own.values()]

    def _look_at_own(self) -> None:
        for segment in self._spool.written():
            if (known := self._own.get(segment.path.name)) is not None:
                known.end = segment.size
            elif (reader := _opened(segment.path)) is not None:
                self._own[segment.path.name] = Outgoing(reader, segment.size)

    def _send_starts(self, one: Outgoing) -> None:
        while (batch := one.next_starts()) is not None:
            self._deliver(one.resource, batch.records, are_starts=True)
            one.starts_arrived(batch)

    def _send_rest(self, one: Outgoing) -> None:
        batch = one.next_rest()
        if batch.records:
            self._deliver(one.resource, batch.records, are_starts=False)
        one.rest_arrived(batch)

    def _deliver(self, resource: bytes, records: list[bytes], *, are_starts: bool) -> None:
        request = export_request(resource, SCOPE, b"".join(map(span_field, records)))
        answer = self._transport.send(request, are_starts=are_starts)
        match answer.verdict:
            case Verdict.TAKEN:
                if answer.said:
                    _log.error("The Forewarn gateway took a request, but not whole: %s", answer.said)
            case Verdict.POISON if len(records) == 1:
                _log.error(
                    "Forewarn drops one record of %d bytes that is never taken: %s", len(records[0]), answer.said
                )
            case Verdict.POISON:
                half = len(records) // 2
                self._deliver(resource, records[:half], are_starts=are_starts)
                self._deliver(resource, records[half:], are_starts=are_starts)
            case _:
                raise NotNow(answer)

    def _remove_arrived(self) -> None:
        for segment in self._spool.written():
            one = self._own.get(segment.path.name)
            if one is not None and not segment.is_current and one.has_arrived:
                self._own.pop(segment.path.name).close()
                self._spool.forget(segment.path)
        for claim, many in self._adopted:
            for one in many:
                one.close()
                one.path.unlink(missing_ok=True)
            claim.give_back()
        self._adopted = []


def _opened(path: Path) -> SegmentReader | None:
    """None for a segment that vanished, or whose header was never completed: it holds nothing."""
    try:
        reader = SegmentReader.open(path)
    except FileNotFoundError:
        return None
    if reader is None:
        _log.warning("Forewarn finds no readable record in %s and leaves it alone.", path)
    return reader
