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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, insert, select, true, update

from forewarn.conventions import KEY_PREFIX, environment_name
from forewarn_collector.gateway.key_table import (
    KEYS,
    Actor,
    ChangeKind,
    KeyChange,
    KeysUnavailable,
    OnRecord,
    open_tables,
    read_changes,
    reported,
    time_of,
    time_or_none,
    unix_us,
    write_change,
)
from forewarn_collector.state import READ_ONLY

__all__ = ["BadEnvironmentName", "IssuedKey", "KeyFault", "KeyInfo", "KeyNotInUse", "KeyRing", "KeysUnavailable"]

CACHED_S: Final = 1.0
"""How long a revoked key may still be taken."""
LOOK_AGAIN_S: Final = 0.05
"""How soon an unknown id is looked for again: a new key works at once, and guessing costs twenty small queries."""
_ENVIRONMENT: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_ID_BYTES: Final = 4
_SECRET_BYTES: Final = 32
_CHANGE_BYTES: Final = 16


class BadEnvironmentName(ValueError):
    """The environment's name cannot be part of a key."""


class KeyNotInUse(Exception):
    """There is no such key, or it is revoked, expired, or has a successor already."""


class KeyFault(StrEnum):
    """Why a text is no key that may send."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    WRONG = "wrong"
    """The id is one of ours, the secret is not."""
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key."""

    id: str
    """`<environment>_<id>`, public."""
    environment: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    """When its successor is the only one; None for a key that was not rotated."""

    def fault(self, now: datetime) -> KeyFault | None:
        """Why it may not send, if so."""
        if self.revoked_at is not None:
            return KeyFault.REVOKED
        return KeyFault.EXPIRED if self.expires_at is not None and self.expires_at <= now else None


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
    """Makes, lists, rotates, revokes and checks ingest keys. Safe to use from many threads and processes."""

    def __init__(
        self,
        engine: Engine,
        *,
        by: Actor | None = None,
        on_record: OnRecord | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        token: Callable[[int], str] = secrets.token_hex,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._by = by or Actor.here()
        self._on_record = on_record
        self._clock = clock
        self._token = token
        self._monotonic = monotonic
        self._refreshing = threading.Lock()
        self._held: Mapping[str, _Held] = {}
        self._read_at = self._looked_at = -CACHED_S
        open_tables(engine)

    def create(self, environment: str, name: str = "") -> IssuedKey:
        """Make a key for an environment; known short names are written out (`prod` becomes `production`)."""
        environment = environment_name(environment)
        if not _ENVIRONMENT.fullmatch(environment):
            raise BadEnvironmentName(
                f"The environment {environment!r} cannot be part of a key: "
                "use lower-case letters, digits, '-' and '.', at most 63, beginning with a letter or digit."
            )
        with reported(), self._engine.begin() as connection:
            issued = self._issue(connection, environment, name)
        self._read_at = -CACHED_S
        return issued

    def rotate(self, key_id: str, *, overlap: timedelta) -> IssuedKey:
        """Make its successor, of the same environment and name; both are taken until the overlap is over."""
        now = self._clock()
        with reported(), self._engine.begin() as connection:
            ended = connection.execute(
                update(KEYS)
                .where(KEYS.c.id == key_id, KEYS.c.revoked_unix_us.is_(None), KEYS.c.expires_unix_us.is_(None))
                .values(expires_unix_us=unix_us(now + overlap))
                .returning(KEYS.c.environment, KEYS.c.name)
            ).one_or_none()
            if ended is None:
                raise KeyNotInUse(key_id)
            issued = self._issue(connection, ended.environment, ended.name)
            told = {"successor": issued.info.id, "expires_at": (now + overlap).isoformat()}
            self._record(connection, ChangeKind.ROTATED, (key_id, ended.environment), **told)
        self._read_at = -CACHED_S
        return issued

    def list(self) -> list[KeyInfo]:
        """Every key ever made, oldest first, revoked ones too."""
        return [held.info for held in self._read(true()).values()]

    def audit(self) -> Sequence[KeyChange]:
        """Everything that was done to keys, oldest first."""
        return read_changes(self._engine)

    def revoke(self, key_id: str) -> bool:
        """Refuse the key from now on (elsewhere within `CACHED_S`); False when there is no such key in use."""
        with reported(), self._engine.begin() as connection:
            revoked = connection.execute(
                update(KEYS)
                .where(KEYS.c.id == key_id, KEYS.c.revoked_unix_us.is_(None))
                .values(revoked_unix_us=unix_us(self._clock()))
                .returning(KEYS.c.environment)
            ).one_or_none()
            if revoked is not None:
                self._record(connection, ChangeKind.REVOKED, (key_id, revoked.environment))
        self._read_at = -CACHED_S
        return revoked is not None

    def verify(self, text: str) -> KeyInfo | None:
        """The key with this text, or None when there is none that may send."""
        found = self.check(text)
        return None if isinstance(found, KeyFault) else found

    def check(self, text: str) -> KeyInfo | KeyFault:
        """The key with this text, or why it may not send."""
        key_id, secret = _parts(text)
        held = self._known(key_id).get(key_id)
        # Both are compared even where the id is unknown: how long the answer takes must not tell which ids exist.
        right = hmac.compare_digest(held.secret_sha256 if held else _NO_SHA256, _sha256(secret))
        if held is None:
            return KeyFault.UNKNOWN if text else KeyFault.MISSING
        if not right:
            return KeyFault.WRONG
        return held.info.fault(self._clock()) or held.info

    def must_read(self, text: str) -> bool:
        """Whether `check` would go to the database: then an event loop should have a thread do it."""
        return self._is_old() or self._is_to_look_for(_parts(text)[0])

    def _issue(self, connection: Connection, environment: str, name: str) -> IssuedKey:
        secret = self._token(_SECRET_BYTES)
        info = KeyInfo(f"{environment}_{self._token(_ID_BYTES)}", environment, name, self._clock())
        row = {"id": info.id, "environment": environment, "name": name, "secret_sha256": _sha256(secret)}
        connection.execute(insert(KEYS).values(**row, created_unix_us=unix_us(info.created_at)))
        self._record(connection, ChangeKind.CREATED, (info.id, environment), name=name)
        return IssuedKey(f"{KEY_PREFIX}_{info.id}_{secret}", info)

    def _record(self, connection: Connection, kind: ChangeKind, key: tuple[str, str], **detail: str) -> None:
        """Within the transaction that does it. `key`: its id and environment."""
        change = KeyChange(self._token(_CHANGE_BYTES), self._clock(), kind, *key, self._by, detail)
        write_change(connection, change)
        if self._on_record is not None:
            self._on_record(connection, change)

    def _known(self, key_id: str) -> Mapping[str, _Held]:
        if self._is_old() or self._is_to_look_for(key_id):
            with self._refreshing:
                began = self._monotonic()
                if self._is_old():
                    self._held = self._read(true())
                    self._read_at = self._looked_at = began
                elif self._is_to_look_for(key_id):
                    self._looked_at = began
                    self._held = {**self._held, **self._read(KEYS.c.id == key_id)}
        return self._held

    def _is_old(self) -> bool:
        return self._monotonic() - self._read_at >= CACHED_S

    def _is_to_look_for(self, key_id: str) -> bool:
        unknown = key_id != "" and key_id not in self._held
        return unknown and self._monotonic() - self._looked_at >= LOOK_AGAIN_S

    def _read(self, which: ColumnElement[bool]) -> dict[str, _Held]:
        query = select(KEYS).where(which).order_by(KEYS.c.created_unix_us, KEYS.c.id)
        with reported(), self._engine.connect().execution_options(**READ_ONLY) as connection:
            rows = connection.execute(query).all()
        return {
            row.id: _Held(
                KeyInfo(
                    row.id,
                    row.environment,
                    row.name,
                    time_of(row.created_unix_us),
                    time_or_none(row.revoked_unix_us),
                    time_or_none(row.expires_unix_us),
                ),
                row.secret_sha256,
            )
            for row in rows
        }


_NO_SHA256: Final = hashlib.sha256(b"").hexdigest()


def _parts(text: str) -> tuple[str, str]:
    """The id and the secret of a key's text; empty ones where it is no key."""
    parts = text.split("_", 3)
    if len(parts) != 4 or parts[0] != KEY_PREFIX:
        return "", ""
    return f"{parts[1]}_{parts[2]}", parts[3]


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
