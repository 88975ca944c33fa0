"""`forewarn gaps`, and what `forewarn traces show` says of it, against a served store."""

from __future__ import annotations

import json
import re
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forewarn.conventions import OPERATION_NAME, SENDER_EVENT, SENDER_HEARTBEAT, SENDER_ISSUED, SEQUENCE
from forewarn_collector.commands import gaps, traces

PAGE = (Path(__file__).parents[3] / "docs/commands.md").read_text()
COMMANDS = re.findall(r"^\$ forewarn gaps(.*)$", PAGE, re.MULTILINE)
CALL = {OPERATION_NAME: "execute_tool", "gen_ai.tool.name": "list_tables"}
TRACE, OWN = 0xDA << 120, 0xDB << 120


@pytest.fixture(scope="module")
def gappy(served: Any, otlp: Any) -> Any:
    """Of the sender `gappy` 3 and 4 are missing in the midst of a trace, and it fell silent; of `whole`, nothing."""
    now = time.time_ns()
    long_ago = replace(otlp, start_ns=now - 600 * 10**9)
    heartbeat = {OPERATION_NAME: "sender", SENDER_EVENT: "heartbeat", SENDER_ISSUED: 7, SENDER_HEARTBEAT: 30}
    spans = [
        *(long_ago.span(number, trace=TRACE, attributes=CALL | {SEQUENCE: number}) for number in (1, 2, 5)),
        long_ago.span(7, trace=OWN, attributes=heartbeat | {SEQUENCE: 7}),
    ]
    told = {"service.name": "billing", "service.instance.id": "gappy", "host.name": "web-3", "process.pid": 42}
    served.store.insert_spans([long_ago.record(*spans, resource=told)], token="gappy")
    recent = replace(otlp, start_ns=now)
    whole = [recent.span(number, trace=TRACE + 1, attributes=CALL | {SEQUENCE: number}) for number in (1, 2)]
    told |= {"service.instance.id": "whole"}
    served.store.insert_spans([recent.record(*whole, resource=told)], token="whole")
    return served


@pytest.fixture
def run(gappy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FOREWARN_STORE", f"{gappy.url}/{gappy.store._database}")
    monkeypatch.setenv("FOREWARN_STORE_USER", gappy.user)
    monkeypatch.setenv("FOREWARN_STORE_PASSWORD", gappy.password)
    return lambda app, *arguments: CliRunner().invoke(app, arguments)


def test_gaps_are_told_to_programs(run: Any) -> None:
    """
    One document of every sender asked for; the status says whether anything is missing.
    """
    result = run(gaps.app, "--sender", "gap", "--json")

    (sender,) = json.loads(result.stdout)["senders"]
    assert result.exit_code == 1
    assert (sender["sender"], sender["host"], sender["pid"], sender["life"]) == ("gappy", "web-3", 42, "silent")
    assert [(each["verdict"], each["first"], each["last"]) for each in sender["findings"]] == [
        ("missing", 3, 4),
        ("missing", 6, 6),
        ("silent", 8, None),
    ]


def test_gaps_are_told_to_people(run: Any) -> None:
    """
    Who, which, whose fault, what to do.
    """
    result = run(gaps.app, "--service", "billing")

    assert result.exit_code == 1
    assert "sender gappy" in result.stdout
    assert "On host web-3: `forewarn spool drain`" in result.stdout
    assert "whole" not in result.stdout


def test_no_gap_is_good_news(run: Any) -> None:
    """
    Exit status 0, for one sender and for none.
    """
    whole, nobody = run(gaps.app, "--sender", "whole"), run(gaps.app, "--environment", "test")

    assert (whole.exit_code, nobody.exit_code) == (0, 0)
    assert whole.stdout.startswith("No gap: every record of 1 sender")


def test_wrong_use_is_no_gap(run: Any) -> None:
    """
    A period that is none ends with 2.
    """
    assert run(gaps.app, "--since", "yesterday").exit_code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run(run: Any, command: str) -> None:
    """
    Each ends with an answer.
    """
    assert run(gaps.app, *shlex.split(command)).exit_code in (0, 1)


def test_a_trace_says_that_records_of_its_sender_are_missing(run: Any) -> None:
    """
    What is missing between its first and its last number; what is missing later is no matter of this trace.
    """
    shown, whole = run(traces.app, "show", "da" + "0" * 30), run(traces.app, "show", "da" + "0" * 29 + "1")

    assert shown.stdout.rstrip().endswith("2 records of this sender are missing: forewarn gaps --sender gappy")
    assert "missing" not in whole.stdout
    assert json.loads(run(traces.app, "show", "da" + "0" * 30, "--json").stdout)["holes"] == [
        {"sender": "gappy", "records": 2}
    ]


def test_traces_of_senders_themselves_are_not_listed(run: Any) -> None:
    """
    Starts, heartbeats and stops are no work of agents; their trace can still be shown.
    """
    listed = {row["trace_id"] for row in json.loads(run(traces.app, "list", "--json").stdout)}

    assert f"{TRACE:032x}" in listed
    assert f"{OWN:032x}" not in listed
    assert run(traces.app, "show", f"{OWN:032x}").exit_code == 0
