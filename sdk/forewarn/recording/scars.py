"""
Scars: a loss record that a living process leaves among the segments of a dead one, whose ledger died with it.

It says what any loss record says, under the dead sender's own resource, but has no number: who is dead issues none.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from forewarn.conventions import OPERATION_LOSS, Effect, LossReason
from forewarn.recording.claims import SEGMENT_SUFFIX, Claim
from forewarn.recording.interface import FrameKind
from forewarn.recording.losses import Loss, Ranges
from forewarn.recording.records import Opening, template
from forewarn.recording.segments import encode_frame, encode_header
from forewarn.recording.wire import fixed64, status_error

_END_TIME: Final = b"\x41"


def leave_scar(claim: Claim, resource: bytes, *, reason: LossReason, lost: Iterable[int], effect: Effect) -> None:
    """Write the loss into a segment of its own, to be sent like the rest of what that sender left."""
    ranges = Ranges()
    for number in lost:
        ranges.add(number)
    frames: list[bytes] = []
    while ranges.count:
        frames.append(encode_frame(FrameKind.OTHER, _record(Loss(reason, effect, *ranges.first()))))
        ranges.drop_first()
    for number in itertools.count(1):
        with suppress(FileExistsError):
            # Behind everything that the sender wrote itself.
            path = claim.folder / f"{claim.sender}-x{number:06d}{SEGMENT_SUFFIX}"
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(encode_header(resource) + b"".join(frames))
            return


def _record(loss: Loss) -> bytes:
    at_ns = time.time_ns()
    ids = os.urandom(16), os.urandom(8), b""
    span = Opening(ids, template(OPERATION_LOSS, loss.attributes), at_ns)
    return b"".join((span.head, _END_TIME, fixed64(at_ns), span.body, status_error(loss.message)))
