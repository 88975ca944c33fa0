"""
`forewarn demo` as anyone runs it: a process of its own, no terminal, no network beyond this machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HOSTILE = {
    "FOREWARN_PAGERDUTY_ROUTING_KEY": "1" * 32,
    "FOREWARN_PAGERDUTY_URL": "http://127.0.0.1:1/v2/enqueue",
    "FOREWARN_HTTP": "127.0.0.1:1",
    "FOREWARN_ENDPOINT": "http://127.0.0.1:1",
    "FOREWARN_KEY": "fwk_development_0_0",
    "FOREWARN_ENVIRONMENT": "development",
}
"""What a person who already uses Forewarn may have set; the demo must neither use nor page any of it."""


def demo(folder: Path, *arguments: str, code: str = "", **environment: str) -> subprocess.Popen[str]:
    temporary = folder / "tmp"
    temporary.mkdir()
    start = ["-c", code] if code else ["-m", "forewarn"]
    return subprocess.Popen(
        [sys.executable, *start, "demo", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=folder, env=os.environ | {"TMPDIR": str(temporary)} | environment, start_new_session=True,
    )  # fmt: skip


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "tmp").iterdir())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The one JSON object of a run, with what is left of it afterwards."""
    folder = tmp_path_factory.mktemp("demo")
    process = demo(folder, "--json", **HOSTILE)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert left_behind(folder) == []
    return json.loads(out)


def test_the_record_is_durable_before_the_first_row_goes(shown: dict[str, Any]) -> None:
    """
    The log's time and the acknowledgement lie before the tool's start; the page and the store come after the record.
    """
    assert shown["recorded_at_ns"] < shown["acknowledged_at_ns"] <= shown["tool_started_at_ns"]
    assert set(shown["page_received_at_ns"]) == {"pagerduty", "slack"}
    assert all(received > shown["recorded_at_ns"] for received in shown["page_received_at_ns"].values())
    assert shown["stored_at_ns"] > shown["tool_ended_at_ns"] > shown["tool_started_at_ns"]


def test_the_call_is_what_the_environment_and_the_tool_say(shown: dict[str, Any]) -> None:
    """
    The verified environment comes from the key, whatever this machine is configured with.
    """
    assert {name: shown[name] for name in ("tool", "effect", "environment", "outcome")} == {
        "tool": "drop_table",
        "effect": "destructive",
        "environment": "production",
        "outcome": "ok",
    }
    assert shown["arguments"] == {"name": "customers", "cascade": True}


def test_the_rows_are_really_gone(shown: dict[str, Any]) -> None:
    """
    Thousands of rows were there, none is left, and the tables that refer to them went along.
    """
    assert shown["table"] == "customers"
    assert (shown["rows_before"], shown["rows_after"]) == (4200, 0)
    assert shown["rows"]["customers_old"] == {"before": 1900, "after": 1900}
    assert all(shown["rows"][table]["before"] > shown["rows"][table]["after"] == 0 for table in ("orders", "sessions"))


@pytest.mark.parametrize("receiver", ["pagerduty", "slack"])
@pytest.mark.parametrize(
    "needed",
    [
        "janitor > cleaner", "drop_table", "customers", "cascade", "customers_old looks stale", "production",
        "billing-janitor", "destructive-in-production", "docs/rules/destructive-in-production.md",
        "forewarn traces show", "forewarn keys revoke production_",
    ],
)  # fmt: skip
def test_each_page_is_enough_to_act_on(shown: dict[str, Any], receiver: str, needed: str) -> None:
    """
    Who, what, with which arguments, why, where, which rule, its runbook, and what to do next.
    """
    page = json.dumps(shown["pages"][receiver]).replace("&gt;", ">")

    assert needed in page
    assert shown["trace_id"] in page


def test_the_receivers_are_labelled_as_local(shown: dict[str, Any]) -> None:
    """
    Nobody can take the stand-ins for the real services.
    """
    assert all("not the real service" in label for label in shown["receivers"].values())


def test_the_timeline_tells_reasoning_call_and_page_in_order(shown: dict[str, Any]) -> None:
    """
    Read from the store: the reasoning, the call it led to, and who was told.
    """
    told = [json.dumps(entry) for entry in shown["timeline"]]
    why = next(place for place, entry in enumerate(told) if "customers_old looks stale" in entry)
    call = next(place for place, entry in enumerate(told) if "drop_table" in entry and place > why)

    assert why < call
    assert "unknown_outcome" not in {entry["kind"] for entry in shown["timeline"]}
    assert any("PagerDuty" in entry or "pagerduty" in entry for entry in told)
    assert any("Slack" in entry or "slack" in entry for entry in told)


def test_it_reads_without_a_terminal_and_without_colour(tmp_path: Path) -> None:
    """
    In a log of CI every chapter is there, as plain text.
    """
    process = demo(tmp_path, NO_COLOR="1")
    out, errors = process.communicate(timeout=120)

    assert process.returncode == 0, errors
    assert "\x1b" not in out
    for said in (
        'is told: "clean up stale records"',
        "calls drop_table(",
        "(a local receiver, not the real service)",
        "the call of drop_table was put on record",
        "ms after the record (local receiver)",
        "acknowledged as durable",
        "4,200 rows -> 0",
        "first line of the tool ran",
    ):
        assert said in out
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(number: int, tmp_path: Path) -> None:
    """
    Ctrl-C in the middle ends every process of it, and removes its folder.
    """
    process = demo(tmp_path)
    assert process.stdout is not None
    while "is told" not in process.stdout.readline():
        assert process.poll() is None

    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in errors
    assert left_behind(tmp_path) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_staying_keeps_the_urls_up_until_interrupted(tmp_path: Path) -> None:
    """
    With --stay the report comes first, and the pipeline answers until Ctrl-C, which is a fine end.
    """
    process = demo(tmp_path, "--stay", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    report = json.loads(process.stdout.readline())
    lines = []
    while "/metrics" not in (line := process.stderr.readline()):
        lines.append(line)
        assert line, process.communicate()

    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)

    assert report["tool"] == "drop_table"
    assert "Still up, until Ctrl-C" in "".join(lines)
    assert process.returncode == 0
    assert left_behind(tmp_path) == []


def test_a_failed_step_is_named(tmp_path: Path) -> None:
    """
    A page that the service would refuse fails the demo, which says which step and why.
    """
    code = (
        "from forewarn_control.demo import slack\nslack.PATH = '/services/gone'\n"
        "from forewarn.__main__ import main\nmain()"
    )

    process = demo(tmp_path, "--json", code=code)
    out, errors = process.communicate(timeout=120)

    assert process.returncode == 1
    assert out == ""
    assert "forewarn: no page reached the local Slack receiver" in errors
    assert "no such webhook" in errors
    assert left_behind(tmp_path) == []
