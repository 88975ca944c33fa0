"""
The folder that holds everything of an embedded Forewarn, owned by one process at a time.

* DataFolderError
  + NotWritable     choose another folder, or give this user the right to write
  + OtherVersion    use the Forewarn that wrote it, or another folder
  + InUse           stop the process that owns it, or use another folder
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from forewarn.recording.filesystems import network_file_system

_log = logging.getLogger(__name__)

FORMAT: Final = 1
_FORMAT_FILE: Final = "forewarn.json"
_LOCK_FILE: Final = "owner.lock"


class DataFolderError(Exception):
    """Base of what opening a data folder raises."""


class NotWritable(DataFolderError):
    """The folder cannot be made or written to."""


class OtherVersion(DataFolderError):
    """The folder holds data of another format."""


class InUse(DataFolderError):
    """Another process owns the folder. `pid` is None where it could not be read."""

    def __init__(self, path: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is in use by {who}: stop it, or choose another folder with --data.")
        self.pid = pid


class DataFolder:
    """Where each part keeps its files. `DataFolder(path)` only names them; `DataFolder.open(path)` owns them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def log(self) -> Path:
        return self.path / "log.sqlite3"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def state_url(self) -> str:
        return f"sqlite:///{self.path / 'state.sqlite3'}"

    @property
    def endpoints(self) -> Path:
        """Written by the process that serves, for commands on the same machine: addresses and the reader's password."""
        return self.path / "endpoints.json"

    @property
    def redaction_key(self) -> Path:
        """What the gateway's marks are made with."""
        return self.path / "redaction.key"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make the folder if need be and own it until `close`; raises `DataFolderError` with what to do."""
        folder = cls(path.absolute())
        try:
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder._own()
            folder._check_format()
            folder.store.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            folder.close()
            raise NotWritable(
                f"{folder.path} cannot be written to ({error.strerror}): "
                "give this user the right to, or choose another folder with --data."
            ) from error
        except DataFolderError:
            folder.close()
            raise
        if kind := network_file_system(folder.path):
            _log.warning(
                "%s is on a network file system (%s), where neither locks nor syncs promise what is durable here; "
                "choose a folder on a local disk with --data.",
                folder.path,
                kind,
            )
        return folder

    def close(self) -> None:
        """Let another process own it; the lock's file stays, only its lock goes."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _own(self) -> None:
        self._lock = os.open(self.path / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 32).decode("ascii", "replace").strip()
            raise InUse(self.path, int(owner) if owner.isdecimal() else None) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _check_format(self) -> None:
        file = self.path / _FORMAT_FILE
        try:
            found = json.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            self._start_format(file)
            return
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            version = found.get("format") if isinstance(found, dict) else "unreadable"
            raise OtherVersion(
                f"{file} says format {version}, this Forewarn writes format {FORMAT}: "
                "use the Forewarn that wrote it, or choose another folder with --data."
            )

    def _start_format(self, file: Path) -> None:
        if self.log.exists() or self.store.exists():
            raise OtherVersion(
                f"{self.path} holds data but no {_FORMAT_FILE}, so its version is unknown: "
                "choose another folder with --data, or put that file back."
            )
        fresh = file.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps({"format": FORMAT}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
