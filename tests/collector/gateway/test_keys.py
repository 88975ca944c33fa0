"""Who may send: making, checking, listing and revoking ingest keys."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from forewarn_collector.gateway.key_table import Actor, ChangeKind, KeyChange
from forewarn_collector.gateway.keys import (
    BadEnvironmentName,
    KeyFault,
    KeyInfo,
    KeyNotInUse,
    KeyRing,
    KeysUnavailable,
)
from forewarn_collector.state import open_state

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    yield engine
    engine.dispose()


def ring(engine: Engine, monotonic: Seconds | None = None) -> KeyRing:
    numbers = itertools.count(1)
    return KeyRing(
        engine,
        clock=lambda: NOON,
        token=lambda size: f"{next(numbers):0{size * 2}x}",
        monotonic=monotonic or Seconds(),
    )


def test_a_key_says_its_environment_and_its_id(engine: Engine) -> None:
    """So that a process knows offline whether to fail closed."""
    issued = ring(engine).create("Prod", name="billing")

    assert issued.text == f"fwk_production_00000002_{1:064x}"
    assert issued.info == KeyInfo("production_00000002", "production", "billing", NOON, None)


def test_a_key_is_known_by_its_whole_text_only(engine: Engine) -> None:
    """Every part counts."""
    keys = ring(engine)
    text = keys.create("staging").text

    assert keys.verify(text) == keys.list()[0]
    for wrong in (text[:-1], text + "0", text.upper(), text.replace("staging", "production"), f" {text}", ""):
        assert keys.verify(wrong) is None


def test_the_secret_is_not_stored(engine: Engine, tmp_path: Path) -> None:
    """Whoever reads the database cannot send."""
    secret = ring(engine).create("production").text.rsplit("_", 1)[1]
    engine.dispose()

    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())

    assert secret.encode() not in files


@pytest.mark.parametrize("environment", ["", "  ", "eu_west", "a b", "prod\nx", "ünd", "-x", "x" * 64, "a:b"])
def test_an_environment_that_would_break_the_key_is_refused(engine: Engine, environment: str) -> None:
    """The text must stay readable from its start: fwk, environment, id, secret."""
    with pytest.raises(BadEnvironmentName, match="cannot be part of a key"):
        ring(engine).create(environment)


@pytest.mark.parametrize("environment", ["production", "eu-west.1", "7", "qa"])
def test_environments_of_ones_own_are_fine(engine: Engine, environment: str) -> None:
    """Four names are well known; others count as production, and are kept as they are."""
    keys = ring(engine)

    found = keys.verify(keys.create(environment).text)

    assert found is not None
    assert found.environment == environment


def test_a_revoked_key_is_refused_and_still_listed(engine: Engine) -> None:
    """Revoking is on record, and happens once."""
    keys = ring(engine)
    issued = keys.create("production")

    first, second, unknown = keys.revoke(issued.info.id), keys.revoke(issued.info.id), keys.revoke("production_0")

    assert (first, second, unknown) == (True, False, False)
    assert keys.verify(issued.text) is None
    assert keys.list() == [KeyInfo(issued.info.id, "production", "", NOON, NOON)]


def test_a_key_revoked_elsewhere_is_taken_for_a_second_at_most(engine: Engine) -> None:
    """Another process's revocation is seen when the cached keys are a second old."""
    seconds = Seconds()
    here, elsewhere = ring(engine, seconds), ring(engine)
    issued = elsewhere.create("production")
    before = here.verify(issued.text)
    elsewhere.revoke(issued.info.id)

    seconds.now += 0.9
    cached = here.verify(issued.text)
    seconds.now += 0.1
    fresh = here.verify(issued.text)

    assert before is not None
    assert cached is not None
    assert fresh is None


def test_a_key_made_elsewhere_works_at_once(engine: Engine) -> None:
    """Nobody has to wait after `forewarn keys create`: an unknown key makes the ring look again."""
    seconds = Seconds()
    here, elsewhere = ring(engine, seconds), ring(engine)
    here.verify("fwk_production_0_0")
    issued = elsewhere.create("production")

    seconds.now += 0.06

    assert here.verify(issued.text) is not None


def test_guessing_costs_few_queries(engine: Engine) -> None:
    """Unknown keys are answered from memory; the database is looked at once in a while."""
    keys = ring(engine)
    keys.verify("fwk_production_0_0")

    assert not keys.must_read("fwk_production_1_1")


def test_keys_survive_a_restart(engine: Engine) -> None:
    """They are state, like everything else in there."""
    issued = ring(engine).create("test", "ci")

    assert ring(engine).verify(issued.text) == issued.info


def test_a_database_in_trouble_is_not_a_wrong_key(engine: Engine, tmp_path: Path) -> None:
    """Unknown is not the same as refused."""
    seconds = Seconds()
    keys = ring(engine, seconds)
    text = keys.create("production").text
    other = sqlite3.connect(tmp_path / "state.sqlite3")
    other.execute("DROP TABLE ingest_keys")
    other.close()
    seconds.now += 2

    with pytest.raises(KeysUnavailable):
        keys.verify(text)


@given(text=st.text() | st.from_regex(r"fwk_[a-z]*_[0-9a-f]*_.*"))
def test_no_text_breaks_the_check(text: str) -> None:
    """Whatever comes as a key, the answer is no."""
    engine = open_state("sqlite://")
    try:
        assert ring(engine).verify(text) is None
    finally:
        engine.dispose()


# --- rotation and history -------------------------------------------------------------------------


class Days:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_two_keys_are_valid_while_one_replaces_the_other(engine: Engine) -> None:
    """Both are taken during the overlap, then the new one alone; name and environment stay."""
    clock = Days()
    keys = KeyRing(engine, clock=clock)
    old = keys.create("staging", "billing")
    new = keys.rotate(old.info.id, overlap=timedelta(hours=24))

    during = [keys.check(key.text) for key in (old, new)]
    clock.now += timedelta(hours=24)
    after = [keys.check(key.text) for key in (old, new)]

    assert (new.info.environment, new.info.name) == ("staging", "billing")
    assert during == [replace(old.info, expires_at=NOON + timedelta(hours=24)), new.info]
    assert after == [KeyFault.EXPIRED, new.info]


@pytest.mark.parametrize("spoilt", ["unknown", "revoked", "rotated"])
def test_only_a_key_in_use_is_rotated(engine: Engine, spoilt: str) -> None:
    """A key has one successor; what is over has none, and nothing is on record of the attempt."""
    keys = ring(engine)
    key_id = keys.create("production").info.id
    if spoilt == "revoked":
        keys.revoke(key_id)
    if spoilt == "rotated":
        keys.rotate(key_id, overlap=timedelta(hours=1))
    before = keys.audit()

    with pytest.raises(KeyNotInUse):
        keys.rotate("production_none" if spoilt == "unknown" else key_id, overlap=timedelta(hours=1))

    assert keys.audit() == before


def test_every_change_is_on_record_with_who_did_it(engine: Engine) -> None:
    """Creating, rotating, revoking: what, when, which user on which host; no secret. Told in the same transaction."""
    told: list[KeyChange] = []
    keys = KeyRing(
        engine, by=Actor("ada", "host1"), clock=Days(), on_record=lambda connection, change: told.append(change)
    )
    old = keys.create("production", "janitor")
    new = keys.rotate(old.info.id, overlap=timedelta(hours=1))
    keys.revoke(old.info.id)
    keys.revoke(old.info.id)

    changes = keys.audit()

    assert {(change.kind, change.key_id) for change in changes} == {
        (ChangeKind.CREATED, old.info.id),
        (ChangeKind.CREATED, new.info.id),
        (ChangeKind.ROTATED, old.info.id),
        (ChangeKind.REVOKED, old.info.id),
    }
    assert len(changes) == 4
    assert {(change.by, change.at, change.environment) for change in changes} == {
        (Actor("ada", "host1"), NOON, "production")
    }
    assert sorted(told, key=str) == sorted(changes, key=str)
    (rotated,) = (change for change in changes if change.kind is ChangeKind.ROTATED)
    assert rotated.detail == {"successor": new.info.id, "expires_at": (NOON + timedelta(hours=1)).isoformat()}
    assert old.text.rpartition("_")[2] not in str(changes)


def test_a_change_that_cannot_be_told_does_not_happen(engine: Engine) -> None:
    """Key and record are one transaction."""

    def broken(*_: object) -> None:
        raise RuntimeError("no record")

    with pytest.raises(RuntimeError, match="no record"):
        KeyRing(engine, on_record=broken).create("production")

    assert ring(engine).list() == []
    assert ring(engine).audit() == []


def test_the_actor_is_who_the_system_says(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that anybody may set changes it."""
    before = Actor.here()
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")

    assert Actor.here() == before


def test_a_state_of_the_version_before_opens(engine: Engine) -> None:
    """Its keys are taken, and can be rotated, though their table lacked a column."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE ingest_keys (id VARCHAR(128) NOT NULL PRIMARY KEY, environment VARCHAR(64) NOT NULL, "
            "name VARCHAR NOT NULL, secret_sha256 VARCHAR(64) NOT NULL, created_unix_us BIGINT NOT NULL, "
            "revoked_unix_us BIGINT)"
        )
        connection.exec_driver_sql(
            "INSERT INTO ingest_keys VALUES ('production_1', 'production', 'old', ?, 1777636800000000, NULL)",
            (hashlib.sha256(b"secret").hexdigest(),),
        )

    keys, again = ring(engine), ring(engine)
    found = keys.verify("fwk_production_1_secret")
    keys.rotate("production_1", overlap=timedelta(hours=1))

    assert found == KeyInfo("production_1", "production", "old", NOON)
    assert {key.id: key.expires_at for key in again.list()} == {
        "production_1": NOON + timedelta(hours=1),
        "production_00000002": None,
    }


def test_why_a_key_may_not_send_is_told_apart(engine: Engine) -> None:
    """For the metric; the sender hears no difference."""
    keys = ring(engine)
    good, revoked = keys.create("production"), keys.create("production")
    keys.revoke(revoked.info.id)

    found = [keys.check(text) for text in ("", "nonsense", "fwk_production_9_9", good.text + "x", revoked.text)]

    assert found == [KeyFault.MISSING, KeyFault.UNKNOWN, KeyFault.UNKNOWN, KeyFault.WRONG, KeyFault.REVOKED]


def test_guessing_reads_one_key_at_a_time(engine: Engine) -> None:
    """A thousand guesses a second are twenty look-ups of one row, and one of all of them."""
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    seconds = Seconds()
    keys = ring(engine, seconds)
    statements.clear()

    for number in range(1, 1000):
        seconds.now = 100 + number / 1000
        keys.check(f"fwk_production_{number:08x}_0")

    reads = [statement for statement in statements if "FROM ingest_keys" in statement]
    assert len([statement for statement in reads if "WHERE ingest_keys.id" in statement]) <= 20
    assert len(reads) <= 22
