"""
The spool: records appended to this process's own segment files, each by one `write` before its call runs.

Why this survives `kill -9`: the kernel has the bytes when `write` returns; the process is no longer needed. Records of
the effects in `sync_effects` are on the disk, too, when `append` returns (see `commits`); others may be lost by a
machine that loses power. Calls that must not be lost take the acknowledged road. What can go wrong, and what then:

- killed inside a write: a torn last frame; readers skip it by its checksum (see `segments`);
- disk full: a short write is cut off again, the record is refused with SpoolUnavailable, and the next one tries anew;
- killed between sending and remembering it: sent again, and the store counts it once;
- two processes, one folder: each writes its own segments under its own lock (see `claims`);
- the gateway stays away: the folder's total is bounded, and reads go first (see `retention`); then records are refused.

A generator that is garbage collected, or a signal handler, may call `append` in the middle of `append`; then the inner
one writes its frame and leaves rotation to the outer one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from forewarn.conventions import Effect, LossReason
from forewarn.recording.claims import READS_SUFFIX, SEGMENT_SUFFIX, Claim
from forewarn.recording.commits import GroupCommit, Mark
from forewarn.recording.filesystems import network_file_system
from forewarn.recording.interface import FrameKind, SpoolUnavailable
from forewarn.recording.losses import Lost
from forewarn.recording.retention import Retention
from forewarn.recording.segments import encode_frame, encode_header
from forewarn.recording.series import Series, Written, full

SEGMENT_BYTES: Final = 1 << 20
"""What is dropped when the bound is reached is a segment at once, so they are small."""
_SEGMENTS_AT_LEAST: Final = 8
_READ: Final = Effect.READ

_log = logging.getLogger("forewarn")


def tell_nobody(reason: LossReason, sequences: Iterable[int], effect: Effect) -> None:
    """For a spool without a ledger: the log says it all the same."""


class SegmentSpool:
    """This process's segments in the folder of one environment. Nothing is created before the first record."""

    def __init__(
        self,
        folder: Path,
        sender: str,
        resource: bytes,
        *,
        max_bytes: int,
        sync_effects: frozenset[Effect] = frozenset(),
        on_lost: Lost = tell_nobody,
    ) -> None:
        self.folder = folder
        self.sender = sender
        self.segment_bytes = min(SEGMENT_BYTES, max_bytes // _SEGMENTS_AT_LEAST)
        self.on_append: Callable[[], None] | None = None
        """Told of every record, after it was written."""
        self._header = encode_header(resource)
        self._max_bytes = max_bytes
        self._retention = Retention(folder, max_bytes, on_lost)
        self._sync_effects = sync_effects
        self._lock = threading.RLock()
        self._claim: Claim | None = None
        self._reads = self._series(READS_SUFFIX, is_synced=_READ in sync_effects)
        self._others = self._series(SEGMENT_SUFFIX, is_synced=bool(sync_effects - {_READ}))
        self._segments = 0
        self._full: list[Written] = []
        self._is_opening = False
        self._is_closed = False
        self._has_looked_at_disk = False

    def append(self, kind: FrameKind, record: bytes, effect: Effect | None = None) -> None:
        frame = encode_frame(kind, record)
        series = self._reads if effect is _READ else self._others
        with self._lock:
            if series.size + len(frame) > series.room:
                self._make_room(series, len(frame))
            series.write(frame)
            mark = series.mark if series.commit is not None else None
        if mark is not None and effect in self._sync_effects:
            series.sync(mark)
        if self.on_append is not None:
            self.on_append()

    def written(self) -> list[Written]:
        """This process's segments, oldest first; between two writes, so that each ends with a whole frame."""
        with self._lock:
            return [*self._full, *self._others.current(), *self._reads.current()]

    def give_up(self, path: Path) -> None:
        """Write no more into a segment that is gone or about to be, and know it no longer."""
        with self._lock:
            for series in (self._others, self._reads):
                if series.path == path:
                    self._seal(series)
            self._full = [segment for segment in self._full if segment.path != path]

    def forget(self, path: Path) -> None:
        """Remove a segment that has arrived whole."""
        with self._lock:
            self.give_up(path)
            path.unlink(missing_ok=True)

    def seal(self) -> None:
        """Append to the current segments no more, so that they can be removed when they have arrived."""
        with self._lock:
            self._seal(self._others)
            self._seal(self._reads)

    def rest(self) -> None:
        """Leave nothing open; what has not arrived is for the next process. A later record begins anew."""
        with self._lock:
            self.seal()
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
        self._others.let_go()
        self._reads.let_go()
        if self._claim is not None:
            self._claim.drop_copy()
            self._claim = None

    def _series(self, suffix: str, *, is_synced: bool) -> Series:
        return Series(suffix, GroupCommit(lambda: self._copy(suffix)) if is_synced else None)

    def _copy(self, suffix: str) -> tuple[Mark, int]:
        """How far a series is written, with a descriptor that stays valid when its segment is sealed meanwhile."""
        with self._lock:
            series = self._reads if suffix == READS_SUFFIX else self._others
            return series.mark, os.dup(series.descriptor) if series.descriptor >= 0 else -1

    def _make_room(self, series: Series, needed: int) -> None:
        """Have a segment open that may take so much more, or raise what is in the way."""
        if self._is_opening:
            if series.descriptor < 0:
                raise SpoolUnavailable("it was being opened when another record came from inside of that")
            return
        if self._is_closed:
            raise SpoolUnavailable("it was closed by forewarn.shutdown()")
        series.raise_if_troubled()
        self._is_opening = True
        try:
            self._open_next(series, needed)
        except SpoolUnavailable as trouble:
            series.remember(trouble)
            raise
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                # Somebody removed the folder, and our lock with it: begin anew.
                self.rest()
            unwritable = SpoolUnavailable(f"cannot write to {self.folder}: {error.strerror}")
            series.remember(unwritable)
            raise unwritable from error
        finally:
            self._is_opening = False

    def _open_next(self, series: Series, needed: int) -> None:
        """Begin a segment if the current one is full and the folder has room."""
        claim = self._claim = self._claim or self._make_claim()
        for_reads = series is self._reads
        left = self._retention.make_room(needed, for_reads=for_reads, own=claim.sender, give_up=self.give_up)
        if left < needed:
            raise full(self.folder, self._retention.limit(for_reads=for_reads), left)
        if series.descriptor < 0 or series.is_spent or series.size + needed > self.segment_bytes:
            self._seal(series)
            self._segments += 1
            path = self.folder / f"{claim.sender}-{self._segments:06d}{series.suffix}"
            series.begin(path, self._segments, self._header)
            if series.commit is not None:
                _sync_folder(self.folder)
        # Others write into the folder, too: who takes little of what is left looks again before it is gone.
        share = max(left // _SEGMENTS_AT_LEAST, needed, self._max_bytes >> 12)
        series.room = max(min(self.segment_bytes, series.size + min(left, share)), series.size + needed)

    def _make_claim(self) -> Claim:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._has_looked_at_disk:
            self._has_looked_at_disk = True
            if (kind := network_file_system(self.folder)) is not None:
                _log.error(
                    "Forewarn's spool %s is on a network file system (%s): locks and writes are not to be trusted "
                    "there, and records can be lost or sent twice. Set FOREWARN_SPOOL to a folder on a local disk.",
                    self.folder,
                    kind,
                )
        return Claim.make(self.folder, self.sender)

    def _seal(self, series: Series) -> None:
        self._full += series.seal()


def _sync_folder(folder: Path) -> None:
    """A file whose name is not on the disk is lost with it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
