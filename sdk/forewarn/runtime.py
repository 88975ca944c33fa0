"""
The runtime: everything a call needs of its surroundings, handed in, so that a test or a simulation can hand in its own.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from forewarn.conventions import Effect, LossReason
from forewarn.encoding import json_text
from forewarn.recording.drain import SCOPE
from forewarn.recording.interface import Acknowledger, FrameKind, Spool, SpoolUnavailable
from forewarn.recording.losses import Loss, Losses
from forewarn.recording.senders import Lifecycle, SelfPortrait
from forewarn.recording.wire import export_request, span_field
from forewarn.spans import Spans
from forewarn.troubles import told

# Looking a member up on its enum costs as much as a call; every call would pay that several times.
_READ, _WRITE = Effect.READ, Effect.WRITE
_TELL_EVERY: Final = 1000
_log = logging.getLogger("forewarn")


@dataclass(frozen=True, slots=True)
class Policy:
    """What this process does with calls that may be destructive."""

    environment: str
    """Of the key, else claimed; part of every call's digest."""
    strict: bool
    """Refuse what is not acknowledged; True in production, and wherever the environment is not known."""
    acknowledge_writes: bool = False

    def must_be_acknowledged(self, effect: Effect) -> bool:
        """Whether a call with this effect does not start before somebody else has its record."""
        if effect is _READ:
            return False
        return effect is not _WRITE or self.acknowledge_writes


@dataclass(slots=True, eq=False)
class Runtime:
    """One per process; `configure` makes a new one."""

    policy: Policy
    resource: bytes
    spans: Spans
    spool: Spool
    acknowledger: Acknowledger
    clock_ns: Callable[[], int]
    portrait: SelfPortrait
    """Builds this sender's records about itself."""
    next_sequence: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)
    dropped: int = 0
    """How many records could not be kept."""
    losses: Losses = field(init=False)
    begins: Lifecycle | None = None
    """What is to begin with the first record; None once it has."""
    digest_infix: bytes = field(init=False)
    _loss_sequence: int = 0
    """The number of a loss record that no spool has taken yet."""

    def __post_init__(self) -> None:
        self.losses = Losses(self._write_loss)
        self.digest_infix = b',"environment":%b,"tool":' % json_text(self.policy.environment)

    def keep(self, kind: FrameKind, record: bytes, sequence: int, effect: Effect | None = None) -> None:
        """
        Spool a record; `effect` is that of the call whose record it is.

        If that fails the call still runs: the loss is told once, counted, and noted by its number.
        """
        try:
            self.spool.append(kind, record, effect)
        # The boundary between recording and the tool. Mostly this is SpoolUnavailable.
        except Exception as trouble:  # noqa: BLE001
            reason = trouble.reason if isinstance(trouble, SpoolUnavailable) else LossReason.SPOOL_UNAVAILABLE
            self.losses.note(reason, [sequence], effect or _READ)
            self._complain(trouble)
        else:
            if self.begins is not None:
                self._begin()
            if self.losses.are_untold:
                self.losses.tell()

    def keep_built(self, kind: FrameKind, build: Callable[[int], bytes], effect: Effect | None = None) -> None:
        """The same of a record that is yet to be built; if it cannot be, its number is a known loss."""
        sequence = self.next_sequence()
        try:
            record = build(sequence)
        # As above: trouble with a record is not the tool's.
        except Exception as error:  # noqa: BLE001
            self.losses.note(LossReason.NOT_BUILT, [sequence], effect or _READ)
            _log.error("Forewarn could not build a record. %s", told(error))
        else:
            self.keep(kind, record, sequence, effect)

    def _begin(self) -> None:
        lifecycle, self.begins = self.begins, None
        if lifecycle is not None:
            lifecycle.begin()

    def _write_loss(self, loss: Loss) -> None:
        self._loss_sequence = self._loss_sequence or self.next_sequence()
        self.spool.append(FrameKind.OTHER, self.portrait.loss(self._loss_sequence, loss))
        self._loss_sequence = 0

    def _complain(self, trouble: Exception) -> None:
        self.dropped += 1
        if self.dropped == 1 or self.dropped % _TELL_EVERY == 0:
            _log.error("Forewarn could not keep a record (%d so far): %s", self.dropped, trouble)

    def request(self, record: bytes) -> bytes:
        """One record as an ExportTraceServiceRequest of its own."""
        return export_request(self.resource, SCOPE, span_field(record))
