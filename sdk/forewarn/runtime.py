"""
The runtime: everything a call needs of its surroundings, handed in, so that a test or a simulation can hand in its own.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from forewarn.encoding import json_text
from forewarn.recording.drain import SCOPE
from forewarn.recording.interface import Acknowledger, FrameKind, Spool, SpoolUnavailable
from forewarn.recording.wire import export_request, span_field
from forewarn.spans import Spans

_log = logging.getLogger("forewarn")


@dataclass(frozen=True, slots=True)
class Policy:
    """What this process does with calls that may be destructive."""

    environment: str
    """Of the key, else claimed; part of every call's digest."""
    strict: bool
    """Refuse what is not acknowledged; True in production, and wherever the environment is not known."""
    acknowledge_writes: bool = False


@dataclass(slots=True, eq=False)
class Runtime:
    """One per process; `configure` makes a new one."""

    policy: Policy
    resource: bytes
    spans: Spans
    spool: Spool
    acknowledger: Acknowledger
    clock_ns: Callable[[], int]
    dropped: int = 0
    """How many records could not be kept."""
    next_sequence: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)
    digest_infix: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.digest_infix = b',"environment":%b,"tool":' % json_text(self.policy.environment)

    def keep(self, kind: FrameKind, record: bytes) -> None:
        """Spool a record. If that fails the call still runs: it is told once, counted, and the sequence has a gap."""
        try:
            self.spool.append(kind, record)
        except SpoolUnavailable as trouble:
            self.dropped += 1
            if self.dropped == 1 or self.dropped % _TELL_EVERY == 0:
                _log.error("Forewarn could not keep a record (%d so far): %s", self.dropped, trouble)

    def request(self, record: bytes) -> bytes:
        """One record as an ExportTraceServiceRequest of its own."""
        return export_request(self.resource, SCOPE, span_field(record))


_TELL_EVERY: Final = 1000
