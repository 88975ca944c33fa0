"""The two ways to make a record durable, in memory: for tests and simulations; they pass the real ones' contract."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias

from forewarn.conventions import Effect
from forewarn.recording.interface import Acknowledgement, FrameKind, SpoolUnavailable, Unacknowledged

Reply: TypeAlias = Acknowledgement | Unacknowledged
Script: TypeAlias = Callable[[bytes], Reply]
"""What to answer to an ExportTraceServiceRequest."""


class MemorySpool:
    """Keeps records in a list; `full` makes it refuse them."""

    def __init__(self) -> None:
        self.records: list[tuple[FrameKind, bytes]] = []
        self.full = False
        self._is_closed = False

    def append(self, kind: FrameKind, record: bytes, effect: Effect | None = None) -> None:  # noqa: ARG002  the seam's
        if self._is_closed or self.full:
            raise SpoolUnavailable("it was closed" if self._is_closed else "it is full")
        self.records.append((kind, record))

    def close(self) -> None:
        self._is_closed = True


class ScriptedAcknowledger:
    """Answers at once what its script says, and keeps the requests."""

    patience_s = 5.0

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self._script = script
        self._is_closed = False

    def submit(self, request: bytes) -> Future[Acknowledgement]:
        answer: Future[Acknowledgement] = Future()
        self.requests.append(request)
        reply = Unacknowledged("it was closed", "set it up again.") if self._is_closed else self._script(request)
        if isinstance(reply, Acknowledgement):
            answer.set_result(reply)
        else:
            answer.set_exception(reply)
        return answer

    def close(self) -> None:
        self._is_closed = True
