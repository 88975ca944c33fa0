"""
`forewarn spool`: what waits is shown as it is, and sent when asked.
"""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import forewarn
from forewarn import configuration
from forewarn.commands.spool import app
from forewarn.recording.interface import FrameKind
from forewarn.recording.segments import encode_frame, encode_header

KEY = "fwk_test_0a1b_secretsecret"


@forewarn.tool(effect="read")
def look(password: str) -> str:
    return password


@forewarn.tool(effect="write")
def note(text: str) -> str:
    return text


def run(*arguments: object, **environment: str) -> Result:
    given = {"FOREWARN_KEY": KEY, "COLUMNS": "200", **environment}
    return CliRunner().invoke(app, [str(one) for one in arguments], env=given)


@pytest.fixture
def left(spool: Path) -> Path:
    """A dead process left a read and a write; a living one has a read."""
    forewarn.configure(service="dead", environment="test", spool=spool)
    look("hunter2-hunter2")
    note("two")
    forewarn.shutdown(0.0)
    forewarn.configure(service="alive", environment="test", spool=spool, key=KEY)
    look("three")
    return spool


def senders(spool: Path) -> dict[bool, dict[str, Any]]:
    """By whether they live."""
    found = json.loads(run("status", "--spool", spool, "--json").stdout)["senders"]
    return {one["is_alive"]: one for one in found}


def test_status_tells_the_living_from_the_dead(left: Path) -> None:
    """
    How much waits, of whom, since when; asking changes nothing.
    """
    before = sorted(path.name for path in left.rglob("*"))

    found = senders(left)
    printed = run("status", "--spool", left)

    assert {alive: (one["environment"], one["damaged_bytes"]) for alive, one in found.items()} == {
        True: ("test", 0),
        False: ("test", 0),
    }
    assert found[False]["records"] == 6
    assert found[False]["oldest_unix_nano"] < found[True]["oldest_unix_nano"]
    assert printed.exit_code == 0
    assert "dead" in printed.stdout
    assert "lives" in printed.stdout
    assert sorted(path.name for path in left.rglob("*")) == before


def test_inspect_lists_records_without_their_secrets(left: Path) -> None:
    """
    Time, kind, tool, effect and number of each; what was redacted stays so.
    """
    dead = senders(left)[False]["sender"]

    listed = run("inspect", "--spool", left, "--sender", dead[:6], "--json")
    table = run("inspect", "--spool", left, "--sender", dead)

    records = [json.loads(line) for line in listed.stdout.splitlines()]
    calls = [(one["name"], one["kind"], one["effect"]) for one in records if one["operation"] == "execute_tool"]
    assert sorted(calls) == [
        ("look", "end", "read"),
        ("look", "start", "read"),
        ("note", "end", "write"),
        ("note", "start", "write"),
    ]
    assert sorted(one["sequence"] for one in records) == list(range(1, len(records) + 1))
    assert {one["sender"] for one in records} == {dead}
    assert "hunter2" not in listed.stdout + table.stdout
    assert "note" in table.stdout


def test_inspect_keeps_to_what_was_asked_for(left: Path) -> None:
    """
    Another environment has nothing; a limit is kept, and said.
    """
    assert run("inspect", "--spool", left, "--environment", "production").stdout == "nothing waits\n"
    limited = run("inspect", "--spool", left, "--limit", 2, "--json")
    assert len(limited.stdout.splitlines()) == 2
    assert "more than 2 records wait" in limited.stderr


def test_damage_is_bad_news(left: Path) -> None:
    """
    Status 1, and how many bytes.
    """
    dead = senders(left)[False]["sender"]
    segment = max(left.rglob(f"{dead}-*.segment"))
    os.truncate(segment, segment.stat().st_size - 3)

    printed = run("status", "--spool", left)

    assert printed.exit_code == 1
    assert senders(left)[False]["damaged_bytes"] > 0


def test_drain_sends_what_the_dead_left(left: Path, gateway: Any) -> None:
    """
    And leaves the living one its own.
    """
    dead, alive = senders(left)[False], senders(left)[True]

    drained = run("drain", "--spool", left, "--endpoint", gateway.url)

    assert drained.exit_code == 0
    assert len(gateway.posts) > 0
    assert f"{dead['records']} records have arrived at {gateway.url}" in drained.stdout
    assert f"{alive['records']} records of {alive['sender']} (test) still wait: its process lives" in drained.stdout
    assert list(senders(left)) == [True]


def test_drain_says_what_is_never_taken(left: Path, gateway: Any) -> None:
    """
    Status 1, with the numbers; everything else has arrived.
    """

    def picky(handler: BaseHTTPRequestHandler, post: Any) -> None:
        if b"note" in post.body:
            gateway.posts.remove(post)
            gateway.answer(handler, 400, b"no notes", "text/plain")
        else:
            gateway.behave(handler, post)

    gateway.react = picky

    drained = run("drain", "--spool", left, "--endpoint", gateway.url, "--json")

    said = json.loads(drained.stdout)
    assert drained.exit_code == 1
    assert len(said["never_taken"]) == 2
    assert said["arrived"] >= 4
    assert said["refusal"] == ""


@pytest.mark.parametrize(("status", "why"), [(503, "answered 503"), (401, "the key is not valid here")])
def test_a_gateway_that_takes_nothing_is_out_of_reach(left: Path, gateway: Any, status: int, why: str) -> None:
    """
    Status 3 with the reason; the records stay where they are.
    """
    gateway.react = lambda handler, _post: gateway.answer(handler, status, b"", "text/plain")
    before = senders(left)

    drained = run("drain", "--spool", left, "--endpoint", gateway.url)

    assert drained.exit_code == 3
    assert why in drained.stderr
    assert senders(left) == before


def test_wrong_use_is_said(left: Path) -> None:
    """
    Without an endpoint there is nowhere to send to; a wrong setting is named.
    """
    missing = run("drain", "--spool", left)
    wrong = run("drain", "--spool", left, "--endpoint", "ftp://gateway")

    assert (missing.exit_code, wrong.exit_code) == (2, 2)
    assert "no endpoint is configured" in missing.stderr
    assert "http://" in wrong.stderr


def test_an_empty_spool_is_fine(tmp_path: Path) -> None:
    """
    A folder that does not exist holds nothing.
    """
    result = run("status", "--spool", tmp_path / "none")

    assert result.exit_code == 0
    assert "nothing waits" in result.stdout
    assert configuration._setup is None


def test_inspect_shows_every_column_and_a_name_does_nothing_to_the_terminal(spool: Path) -> None:
    """
    However narrow it would be, what goes into a pipe is whole; a name is text, not markup, nor a terminal's command.
    """
    forewarn.configure(service="dead", environment="test", spool=spool)
    forewarn.tool(effect="read", name=f"[/bold]{'n' * 60}\x1b[2J\n")(lambda: None)()
    forewarn.shutdown(0.0)

    shown = run("inspect", "--spool", spool, COLUMNS="40")

    assert shown.exit_code == 0
    (line,) = [one for one in shown.stdout.splitlines() if " start " in one and "[/bold]" in one]
    assert f"[/bold]{'n' * 60}?[2J?  read    1       test" in line


def test_a_record_that_is_none_is_damage(left: Path) -> None:
    """
    Bytes with a checksum that holds, and yet no span: they are counted, and what stands beside them is shown.
    """
    frames = encode_header(b"") + encode_frame(FrameKind.OTHER, b"\xff\xff\xff no span")
    (left / "test" / "0123-000001.segment").write_bytes(frames)

    asked = run("status", "--spool", left, "--json")

    assert asked.exit_code == 1
    (one,) = [one for one in json.loads(asked.stdout)["senders"] if one["sender"] == "0123"]
    assert (one["records"], one["damaged_bytes"]) == (0, len(frames) - len(encode_header(b"")))
    assert run("inspect", "--spool", left).exit_code == 0
