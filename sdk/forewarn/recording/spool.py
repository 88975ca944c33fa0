"""
The spool: records appended to this process's own segment files, each by one `write` before its call runs.

Why this survives `kill -9`: the kernel has the bytes when `write` returns; the process is no longer needed. (It is not
synced to disk: a machine that loses power may lose the last seconds. Calls that must not be lost take the acknowledged
road.) What can go wrong, and what then:

- killed inside a write: a torn last frame; readers skip it by its checksum (see `segments`);
- disk full: a short write is cut off again, the record is refused with SpoolUnavailable, and the next one tries anew;
- killed between sending and remembering it: sent again, and the store counts it once;
- two processes, one folder: each writes its own segments under its own lock (see `claims`);
- the gateway stays away: the folder's total is bounded; beyond it records are refused, so that the disk is not filled.

A generator that is garbage collected, or a signal handler, may call `append` in the middle of `append`; then the inner
one writes its frame and leaves rotation to the outer one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from forewarn.conventions import Effect
from forewarn.recording.claims import SEGMENT_SUFFIX, Claim
from forewarn.recording.interface import FrameKind, SpoolUnavailable
from forewarn.recording.segments import encode_frame, encode_header

SEGMENT_BYTES: Final = 8 << 20
_RETRY_AFTER_S: Final = 1.0
"""How long trouble with the folder is taken for granted before it is tried again."""


class Written(NamedTuple):
    """A segment of this process, and up to where it holds whole frames."""

    path: Path
    size: int
    is_current: bool


class SegmentSpool:
    """This process's segments in the folder of one environment. Nothing is created before the first record."""

    def __init__(
        self,
        folder: Path,
        sender: str,
        resource: bytes,
        *,
        max_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.folder = folder
        self.sender = sender
        self._header = encode_header(resource)
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self.on_append: Callable[[], None] | None = None
        """Told of every record, after it was written."""
        self._lock = threading.RLock()
        self._claim: Claim | None = None
        self._descriptor = -1
        self._path = folder
        self._segments = 0
        self._size = 0
        self._full: list[Written] = []
        self._room = -1
        self._trouble = ""
        self._try_again_at = 0.0
        self._is_opening = False
        self._is_closed = False

    def append(self, kind: FrameKind, record: bytes, effect: Effect | None = None) -> None:  # noqa: ARG002
        frame = encode_frame(kind, record)
        with self._lock:
            if self._size + len(frame) > self._room:
                self._make_room(len(frame))
            try:
                written = os.write(self._descriptor, frame)
            except OSError as error:
                raise SpoolUnavailable(f"cannot write to {self._path}: {error.strerror}") from error
            if written < len(frame):
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
                raise SpoolUnavailable(f"cannot write to {self._path}: the disk is full")
            self._size += written
        if self.on_append is not None:
            self.on_append()

    def written(self) -> list[Written]:
        """This process's segments, oldest first; between two writes, so that each ends with a whole frame."""
        with self._lock:
            current = [Written(self._path, os.fstat(self._descriptor).st_size, True)] if self._descriptor >= 0 else []
            return [*self._full, *current]

    def forget(self, path: Path) -> None:
        """Remove a segment that has arrived whole."""
        with self._lock:
            self._full = [segment for segment in self._full if segment.path != path]
            path.unlink(missing_ok=True)

    def seal(self) -> None:
        """Append to the current segment no more, so that it can be removed when it has arrived."""
        with self._lock:
            self._seal()

    def rest(self) -> None:
        """Leave nothing open; what has not arrived is for the next process. A later record begins anew."""
        with self._lock:
            self._seal()
            self._full = []
            if self._claim is not None:
                self._claim.give_back()
                self._claim = None

    def close(self) -> None:
        with self._lock:
            self.rest()
            self._is_closed = True

    def drop_copies(self) -> None:
        """In a forked child: close the inherited descriptors; the files are the parent's."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._size, self._room = -1, 0, -1
        if self._claim is not None:
            self._claim.drop_copy()
            self._claim = None

    def _make_room(self, needed: int) -> None:
        """Have a segment open that may take so much more, or raise what is in the way."""
        if self._is_opening:
            if self._descriptor < 0:
                raise SpoolUnavailable("it was being opened when another record came from inside of that")
            return
        if self._is_closed:
            raise SpoolUnavailable("it was closed by forewarn.shutdown()")
        if self._trouble and time.monotonic() < self._try_again_at:
            raise SpoolUnavailable(self._trouble)
        self._is_opening = True
        try:
            self._trouble = self._open_next(needed)
        except OSError as error:
            self._trouble = f"cannot write to {self.folder}: {error.strerror}"
        finally:
            self._is_opening = False
        if self._trouble:
            self._try_again_at = time.monotonic() + _RETRY_AFTER_S
            raise SpoolUnavailable(self._trouble)

    def _open_next(self, needed: int) -> str:
        """Begin a segment if the current one is full and the folder has room; else say what is in the way."""
        if self._claim is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._claim = Claim.make(self.folder, self.sender)
        held = sum(path.stat().st_size for path in self.folder.glob(f"*{SEGMENT_SUFFIX}"))
        left = self._max_bytes - held
        if left < needed:
            return f"{self.folder} holds {held} bytes that are not delivered; the bound is {self._max_bytes}"
        if self._descriptor < 0 or self._size + needed > self._segment_bytes:
            self._seal()
            self._segments += 1
            self._path = self.folder / f"{self._claim.sender}-{self._segments:06d}{SEGMENT_SUFFIX}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            self._size = os.write(self._descriptor, self._header)
            if self._size < len(self._header):
                self._discard()
                return f"cannot write to {self.folder}: the disk is full"
        self._room = min(self._segment_bytes, self._size + left)
        return ""

    def _discard(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        self._size, self._room = 0, -1
        self._path.unlink(missing_ok=True)

    def _seal(self) -> None:
        if self._descriptor >= 0:
            # A finalizer may append from inside of this, and must not find a closed descriptor.
            descriptor, self._descriptor = self._descriptor, -1
            self._full.append(Written(self._path, os.fstat(descriptor).st_size, is_current=False))
            os.close(descriptor)
            self._size, self._room = 0, -1
