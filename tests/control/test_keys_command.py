"""
`forewarn keys` on the state of a data folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from forewarn_alerts.tables import JOURNAL
from forewarn_collector.gateway.key_table import Actor
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.state import open_state
from forewarn_control.commands.keys import app


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()

    def run(*arguments: str):
        return CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "data")])

    return run


def test_a_created_key_is_taken_by_the_gateway_until_it_is_revoked(keys, tmp_path: Path) -> None:
    """
    What `create` prints is a key of that environment; after `revoke` it is none.
    """
    created = json.loads(keys("create", "--environment", "production", "--name", "janitor", "--json").stdout)
    engine = open_state(f"sqlite:///{tmp_path / 'data' / 'state.sqlite3'}")

    known = KeyRing(engine).verify(created["key"])
    listed = json.loads(keys("list", "--json").stdout)
    revoked = keys("revoke", created["id"])
    after = KeyRing(engine).verify(created["key"])
    engine.dispose()

    assert known is not None
    assert (known.environment, known.id) == ("production", created["id"])
    assert [key["id"] for key in listed] == [created["id"]]
    assert "key" not in listed[0]
    assert revoked.exit_code == 0
    assert after is None


def test_a_created_key_stands_alone_on_standard_output(keys) -> None:
    """
    `export FOREWARN_KEY=$(forewarn keys create ...)` works: advice goes to standard error.
    """
    done = keys("create", "--environment", "staging")

    assert done.stdout.startswith("fwk_staging_")
    assert len(done.stdout.splitlines()) == 1
    assert "once" in done.stderr


def test_the_list_shows_no_secret(keys) -> None:
    """
    The list names keys by their public id and says which are revoked.
    """
    text = keys("create", "--environment", "staging").stdout.strip()
    key_id = json.loads(keys("list", "--json").stdout)[0]["id"]
    keys("revoke", key_id)

    listed = keys("list").stdout

    assert key_id in listed
    assert "revoked" in listed
    assert text.rpartition("_")[2] not in listed


def test_wrong_use_says_what_would_be_right(keys) -> None:
    """
    A name that cannot be an environment and an id that is no key are wrong use.
    """
    bad_name = keys("create", "--environment", "a b")
    bad_id = keys("revoke", "production_0000")

    assert (bad_name.exit_code, bad_id.exit_code) == (2, 2)
    assert "--environment" in bad_name.stderr
    assert "active keys: none" in bad_id.stderr


def test_no_data_folder_is_made_by_looking(tmp_path: Path) -> None:
    """
    A folder that does not exist cannot be reached, and is not created.
    """
    done = CliRunner().invoke(app, ["list", "--data", str(tmp_path / "nowhere")])

    assert done.exit_code == 3
    assert "forewarn serve" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_rotated_key_and_its_successor_are_both_taken(keys, tmp_path: Path) -> None:
    """
    `rotate` prints the new key alone; the old one says until when.
    """
    old = json.loads(keys("create", "--environment", "production", "--name", "janitor", "--json").stdout)

    done = keys("rotate", old["id"], "--overlap", "2h")
    listed = {key["id"]: key for key in json.loads(keys("list", "--json").stdout)}

    engine = open_state(f"sqlite:///{tmp_path / 'data' / 'state.sqlite3'}")
    found = [KeyRing(engine).verify(text) for text in (old["key"], done.stdout.strip())]
    engine.dispose()
    assert all(found)
    assert len(done.stdout.splitlines()) == 1
    assert found[1].name == "janitor"
    assert listed[old["id"]]["expires_at"] is not None
    assert listed[found[1].id]["expires_at"] is None
    assert "until " in keys("list").stdout


def test_a_key_is_rotated_once_and_for_a_time_that_makes_sense(keys) -> None:
    """
    A second rotation of the same key and an overlap that is no duration are wrong use.
    """
    key_id = json.loads(keys("create", "--environment", "staging", "--json").stdout)["id"]
    bad_overlap = keys("rotate", key_id, "--overlap", "soon")
    keys("rotate", key_id)

    again = keys("rotate", key_id)

    assert (bad_overlap.exit_code, again.exit_code) == (2, 2)
    assert "--overlap" in bad_overlap.stderr
    assert "no active key" in again.stderr


def test_the_audit_says_who_did_what(keys) -> None:
    """
    Every change with user and host, for people and for programs, and never a secret.
    """
    nothing = keys("audit").stdout
    old = json.loads(keys("create", "--environment", "production", "--json").stdout)
    new = json.loads(keys("rotate", old["id"], "--json").stdout)
    keys("revoke", old["id"])

    told = json.loads(keys("audit", "--json").stdout)
    lines = keys("audit").stdout

    assert nothing == "nothing was done to a key yet\n"
    assert {(change["kind"], change["key"]) for change in told} == {
        ("key.created", old["id"]),
        ("key.created", new["id"]),
        ("key.rotated", old["id"]),
        ("key.revoked", old["id"]),
    }
    assert {(change["user"], change["host"]) for change in told} == {(Actor.here().user, Actor.here().host)}
    assert len(lines.splitlines()) == 4
    assert old["key"].rpartition("_")[2] not in lines


def test_a_name_forges_no_line(keys) -> None:
    """
    What somebody called a key is shown on the key's own line, and tells the terminal nothing.
    """
    keys("create", "--environment", "test", "--name", "billing\nkey.revoked\x1b[31m ü")

    shown = [keys(verb).stdout for verb in ("list", "audit")]

    assert [len(text.splitlines()) for text in shown] == [1, 1]
    assert all("billing\\nkey.revoked\\x1b[31m ü" in text for text in shown)


def test_a_change_is_written_for_the_log(keys, tmp_path: Path) -> None:
    """
    The event is in the journal from the moment of the change; whoever serves the folder next publishes it.
    """
    key_id = json.loads(keys("create", "--environment", "production", "--json").stdout)["id"]

    engine = open_state(f"sqlite:///{tmp_path / 'data' / 'state.sqlite3'}")
    with engine.connect() as connection:
        (event,) = [json.loads(row.body) for row in connection.execute(select(JOURNAL))]
    engine.dispose()

    assert (event["kind"], event["environment"], event["detail"]["key"]) == ("key.created", "production", key_id)
    assert event["detail"]["user"] == Actor.here().user
