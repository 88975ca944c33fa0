"""
Moves what is in the write-ahead file into the database file, beside the writer, so that no append waits for it.

A checkpoint beside a busy writer never reaches the end, and the write-ahead file starts over only after one that did.
So when the file has grown too far the writer is asked to finish the rest itself, once, which by then is little.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path
from typing import Final

from forewarn_collector.log.sqlite_file import PAGE_BYTES, WAL_RESERVED_BYTES, open_for_checkpoints, unavailable

_log = logging.getLogger(__name__)

CHECKPOINT: Final = "PRAGMA wal_checkpoint(PASSIVE)"
AFTER_BYTES: Final = WAL_RESERVED_BYTES // 2
_PAGES_BESIDE: Final = 3
"""What a transaction writes beside its records: the page it begins on, the next offset, the root of the tree."""
FINISH_BEYOND_BYTES: Final = 64 << 20


class Checkpointer:
    """One thread with its own connection; `wrote` and `asks_writer` are the writer's two words with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._grown = threading.Event()
        self._stopping = False
        self._bytes = 0
        self.asks_writer = False
        self._thread = threading.Thread(target=self._run, name="forewarn-log-checkpoint", daemon=True)
        self._thread.start()

    def wrote(self, size: int) -> None:
        """Count what a transaction with so many bytes of records added to the write-ahead file, about."""
        self._bytes += size + _PAGES_BESIDE * PAGE_BYTES
        if self._bytes >= AFTER_BYTES:
            self._bytes = 0
            self._grown.set()

    def finish(self, connection: sqlite3.Connection) -> None:
        """Do the rest on the writer's own connection, between two transactions."""
        connection.execute(CHECKPOINT).fetchone()
        self.asks_writer = False

    def close(self) -> None:
        self._stopping = True
        self._grown.set()
        self._thread.join()

    def _run(self) -> None:
        while self._grown.wait() and not self._stopping:
            self._grown.clear()
            if self.asks_writer:
                continue
            try:
                self._checkpoint()
            except sqlite3.Error as error:
                _log.warning("A checkpoint failed; it is tried again: %s", unavailable(self._path, error))

    def _checkpoint(self) -> None:
        connection = open_for_checkpoints(self._path)
        try:
            _, frames, _ = connection.execute(CHECKPOINT).fetchone()
            self.asks_writer = frames * PAGE_BYTES > FINISH_BEYOND_BYTES
        finally:
            connection.close()
