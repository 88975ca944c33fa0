"""
Ingest keys: who may send, and for which environment. The environment of a record is what its key says, nothing else.

A key reads `fwk_<environment>_<id>_<secret>`. Only the SHA-256 of the secret is kept: the secret is 256 random bits, so
a slow hash would protect nothing, and would be paid on every request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import BigInteger, Column, Engine, String, Table, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from forewarn.conventions import KEY_PREFIX, environment_name
from forewarn_collector.state import READ_ONLY, metadata

CACHED_S: Final = 1.0
"""How long a revoked key may still be taken."""
LOOK_AGAIN_S: Final = 0.05
"""How soon an unknown key makes us look again: a new key works at once, and guessing costs few queries."""
_ENVIRONMENT: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_ID_BYTES: Final = 4
_SECRET_BYTES: Final = 32

keys_table = Table(
    "ingest_keys",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("environment", String(64), nullable=False),
    Column("name", String, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_unix_us", BigInteger, nullable=False),
    Column("revoked_unix_us", BigInteger),
)


class BadEnvironmentName(ValueError):
    """The environment's name cannot be part of a key."""


class KeysUnavailable(Exception):
    """The keys cannot be read or written now: nothing is known about any key; try again."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key."""

    id: str
    """`<environment>_<id>`, public."""
    environment: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key; its text exists here and nowhere else."""

    text: str
    info: KeyInfo


@dataclass(frozen=True, slots=True)
class _Held:
    info: KeyInfo
    secret_sha256: str


class KeyRing:
    """Makes, lists, revokes and checks ingest keys. Safe to use from many threads and processes."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        token: Callable[[int], str] = secrets.token_hex,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._token = token
        self._monotonic = monotonic
        self._refreshing = threading.Lock()
        self._held: Mapping[str, _Held] = {}
        self._read_at = -CACHED_S
        with _reported():
            metadata.create_all(engine, tables=[keys_table])

    def create(self, environment: str, name: str = "") -> IssuedKey:
        """Make a key for an environment; known short names are written out (`prod` becomes `production`)."""
        environment = environment_name(environment)
        if not _ENVIRONMENT.fullmatch(environment):
            raise BadEnvironmentName(
                f"The environment {environment!r} cannot be part of a key: "
                "use lower-case letters, digits, '-' and '.', at most 63, beginning with a letter or digit."
            )
        secret = self._token(_SECRET_BYTES)
        info = KeyInfo(f"{environment}_{self._token(_ID_BYTES)}", environment, name, self._clock())
        with _reported(), self._engine.begin() as connection:
            connection.execute(
                insert(keys_table).values(
                    id=info.id,
                    environment=environment,
                    name=name,
                    secret_sha256=_sha256(secret),
                    created_unix_us=_unix_us(info.created_at),
                )
            )
        self._read_at = -CACHED_S
        return IssuedKey(f"{KEY_PREFIX}_{info.id}_{secret}", info)

    def list(self) -> list[KeyInfo]:
        """Every key ever made, oldest first, revoked ones too."""
        return [held.info for held in self._read().values()]

    def revoke(self, key_id: str) -> bool:
        """Refuse the key from now on (elsewhere within `CACHED_S`); False when there is no such key in use."""
        with _reported(), self._engine.begin() as connection:
            result = connection.execute(
                update(keys_table)
                .where(keys_table.c.id == key_id, keys_table.c.revoked_unix_us.is_(None))
                .values(revoked_unix_us=_unix_us(self._clock()))
            )
        self._read_at = -CACHED_S
        return result.rowcount == 1

    def verify(self, text: str) -> KeyInfo | None:
        """The key with this text, or None when there is none or it is revoked."""
        key_id, secret = _parts(text)
        held = self._known(key_id).get(key_id)
        # Both are compared even where the id is unknown: how long the answer takes must not tell which ids exist.
        right = hmac.compare_digest(held.secret_sha256 if held else _NO_SHA256, _sha256(secret))
        return held.info if held and right and held.info.revoked_at is None else None

    def must_read(self, text: str) -> bool:
        """Whether `verify` would go to the database: then an event loop should have a thread do it."""
        return self._is_stale_for(_parts(text)[0])

    def _known(self, key_id: str) -> Mapping[str, _Held]:
        if self._is_stale_for(key_id):
            with self._refreshing:
                if self._is_stale_for(key_id):
                    began = self._monotonic()
                    self._held = self._read()
                    self._read_at = began
        return self._held

    def _is_stale_for(self, key_id: str) -> bool:
        age = self._monotonic() - self._read_at
        return age >= CACHED_S or (key_id not in self._held and age >= LOOK_AGAIN_S)

    def _read(self) -> dict[str, _Held]:
        query = select(keys_table).order_by(keys_table.c.created_unix_us, keys_table.c.id)
        with _reported(), self._engine.connect().execution_options(**READ_ONLY) as connection:
            rows = connection.execute(query).all()
        return {
            row.id: _Held(
                KeyInfo(
                    row.id, row.environment, row.name, _time(row.created_unix_us), _time_or_none(row.revoked_unix_us)
                ),
                row.secret_sha256,
            )
            for row in rows
        }


@contextmanager
def _reported() -> Iterator[None]:
    """Turn the database's errors into ours."""
    try:
        yield
    except SQLAlchemyError as error:
        raise KeysUnavailable(f"The ingest keys cannot be read or written: {error}") from error


_NO_SHA256: Final = hashlib.sha256(b"").hexdigest()


def _parts(text: str) -> tuple[str, str]:
    """The id and the secret of a key's text; empty ones where it is no key."""
    parts = text.split("_", 3)
    if len(parts) != 4 or parts[0] != KEY_PREFIX:
        return "", ""
    return f"{parts[1]}_{parts[2]}", parts[3]


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _unix_us(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def _time(unix_us: int) -> datetime:
    return datetime.fromtimestamp(unix_us / 1_000_000, UTC)


def _time_or_none(unix_us: int | None) -> datetime | None:
    return None if unix_us is None else _time(unix_us)
