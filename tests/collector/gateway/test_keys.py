"""Who may send: making, checking, listing and revoking ingest keys."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from forewarn_collector.gateway.keys import BadEnvironmentName, KeyInfo, KeyRing, KeysUnavailable
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
