"""What this room keeps in the data folder beside log, store and state: the endpoints of the process that serves it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from forewarn_alerts.tables import create_tables
from forewarn_collector.data_folder import DataFolder
from forewarn_collector.gateway.keys import KeyRing, KeysUnavailable
from forewarn_collector.state import open_state
from forewarn_control.errors import CannotServe
from forewarn_control.key_events import key_event

READER: Final = "reader"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a reader of the store shows."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a serving process listens. The file of it holds a password, so only its owner may read it."""

    http: str
    grpc: str
    store: str
    reader: Credentials

    def write(self, file: Path) -> None:
        """Replace the file in one step, readable by its owner alone from the first byte."""
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(json.dumps(asdict(self)) + "\n")
        fresh.replace(file)

    @classmethod
    def read(cls, file: Path) -> Endpoints | None:
        """None where nothing has served there yet, or the file is not one of ours."""
        try:
            found = json.loads(file.read_text())
            return cls(found["http"], found.get("grpc", ""), found["store"], Credentials(**found["reader"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def reader_credentials(file: Path) -> Credentials:
    """Those of the last time, so that a dashboard's settings stay right; new ones for a new folder."""
    before = Endpoints.read(file)
    return before.reader if before else Credentials(READER, secrets.token_urlsafe(18))


@contextmanager
def key_ring(path: Path) -> Iterator[KeyRing]:
    """The keys of a data folder, whoever serves it; raise CannotServe where there is no such folder."""
    folder = DataFolder(path.absolute())
    if not folder.path.is_dir():
        raise CannotServe(
            f"{folder.path} is no data folder", "start `forewarn serve` there once, or name another folder with --data"
        )
    engine = open_state(folder.state_url)
    try:
        create_tables(engine)
        yield KeyRing(engine, on_record=key_event)
    except (KeysUnavailable, SQLAlchemyError) as fault:
        raise CannotServe(f"the keys in {folder.path} cannot be used: {fault}", "check the folder's rights") from fault
    finally:
        engine.dispose()
