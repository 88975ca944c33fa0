"""
`forewarn rules` and `forewarn notify`, as a person or a script uses them.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forewarn_alerts.commands import notify, rules

GOOD = """\
title: Payout
severity: error
on: start
when: call.tool == "payout"
tests:
  - fires: {tool: payout}
  - silent: {tool: other}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a forewarn.toml, and no variable of the caller's."""
    for name in ("PAGERDUTY_ROUTING_KEY", "SLACK_WEBHOOK_URL", "SLACK_TOKEN", "WEBHOOK_URL", "RULES", "PUBLIC_URL"):
        monkeypatch.delenv(f"FOREWARN_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(app: Any, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_list_shows_shipped_and_own_rules(elsewhere: Path) -> None:
    """
    JSON says where each comes from.
    """
    (elsewhere / "payout.yaml").write_text(GOOD)

    status, out, _ = run(rules.app, "list", "--rules", "payout.yaml", "--json")

    found = {rule["id"]: rule["shipped"] for rule in json.loads(out)}
    assert status == 0
    assert found["payout"] is False
    assert found["destructive-in-production"] is True
    assert run(rules.app, "list")[0] == 0


def test_check_names_every_fault_and_exits_with_1(elsewhere: Path) -> None:
    """
    One line a fault, as compilers write them.
    """
    (elsewhere / "payout.yaml").write_text(GOOD.replace("call.tool ==", "call.tol ==").replace("error", "eror"))

    status, _, err = run(rules.app, "check", "payout.yaml")

    assert status == 1
    assert err.splitlines() == [
        "payout.yaml:2:11: `severity` cannot be 'eror'; write 'critical', 'error', 'warning' or 'info'",
        "payout.yaml:4:11: `when`: `call.tol` is not a name of the record; did you mean `call.tool`?",
        "2 faults; no rule was loaded",
    ]


def test_check_tells_faults_as_json_too(elsewhere: Path) -> None:
    """
    For editors and pipelines.
    """
    (elsewhere / "payout.yaml").write_text(GOOD.replace("on: start", "on: never"))

    status, out, _ = run(rules.app, "check", "payout.yaml", "--json")

    assert status == 1
    assert json.loads(out)["faults"][0] | {"do": ""} == {
        "file": "payout.yaml",
        "line": 3,
        "column": 5,
        "message": "`on` cannot be 'never'",
        "do": "",
    }


def test_a_route_that_is_not_configured_is_a_fault(elsewhere: Path) -> None:
    """
    A rule that would tell nobody is found before it matters.
    """
    (elsewhere / "payout.yaml").write_text(f"{GOOD}notify: [nights]\n")

    status, _, err = run(rules.app, "check", "payout.yaml")

    assert status == 1
    assert "payout.yaml:8:10: `nights` is not a route; known routes: oncall" in err


def test_test_runs_the_embedded_tests(elsewhere: Path) -> None:
    """
    A test that fails is named with its line, and the status is 1.
    """
    (elsewhere / "payout.yaml").write_text(GOOD.replace("fires: {tool: payout}", "fires: {tool: payment}"))

    failed = run(rules.app, "test", "payout.yaml")
    passed = run(rules.app, "test", "--json")

    assert failed[:2] == (1, "payout.yaml:6: it was silent and should fire\n1 passed, 1 failed\n")
    assert passed[0] == 0
    assert json.loads(passed[1])["failed"] == 0


def test_notify_list_shows_targets_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is configured, and which routes lead there.
    """
    monkeypatch.setenv("FOREWARN_SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/hush")

    status, out, _ = run(notify.app, "list", "--json")

    assert status == 0
    assert json.loads(out) == {"targets": [{"name": "slack", "type": "slack"}], "routes": {"oncall": ["slack"]}}
    assert "hush" not in run(notify.app, "list")[1]


def test_notify_test_sends_a_labelled_page_to_the_console() -> None:
    """
    The first thing a new user can try.
    """
    status, out, err = run(notify.app, "test", "console")

    assert (status, out) == (0, "console (console): delivered: written\n")
    assert err.startswith("[TEST] INFO")


def test_notify_test_of_a_route_tries_each_of_its_targets(elsewhere: Path) -> None:
    """
    Each is tried and told, whatever became of the one before; the status is that of the worst.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    (elsewhere / "forewarn.toml").write_text(f"""
        targets = {{ here = {{ type = "console" }}, there = {{ type = "webhook", url = "{url}" }} }}
        notify = {{ oncall = ["there", "here"], nights = ["here"] }}
    """)

    worst, best = run(notify.app, "test", "oncall"), run(notify.app, "test", "nights", "--json")

    assert worst[0] == 3
    assert [line.partition(":")[0] for line in worst[1].splitlines()] == ["there (webhook)", "here (console)"]
    assert best[0] == 0
    assert [(one["target"], one["outcome"]) for one in json.loads(best[1])] == [("here", "delivered")]


def test_notify_test_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No such target: 2; not to be reached: 3.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("FOREWARN_WEBHOOK_URL", f"http://127.0.0.1:{port}/hush")

    unknown, unreachable = run(notify.app, "test", "pager"), run(notify.app, "test", "webhook", "--json")

    assert unknown[0] == 2
    assert "there is no target or route pager; targets: webhook; routes: oncall" in unknown[2]
    assert unreachable[0] == 3
    assert [one["outcome"] for one in json.loads(unreachable[1])] == ["not delivered"]
    assert "hush" not in unreachable[1]


def test_a_broken_configuration_is_wrong_use(elsewhere: Path) -> None:
    """
    Status 2, and the file is named.
    """
    (elsewhere / "forewarn.toml").write_text("targets = [")

    for app in (rules.app, notify.app):
        status, _, err = run(app, "list")
        assert status == 2
        assert "forewarn.toml: not TOML" in err


@pytest.mark.parametrize("app", [rules.app, notify.app], ids=["rules", "notify"])
def test_help_has_examples(app: Any) -> None:
    """
    Each command shows one way to use it.
    """
    for command in app.registered_commands:
        assert "Example" in (command.callback.__doc__ or "")


@pytest.mark.parametrize("verb", ["rules", "notify"])
def test_listing_loads_no_sender(verb: str) -> None:
    """
    What is only needed to send a page is loaded where one is sent: the HTTP client costs more than the whole command.
    """
    code = f"import sys; from forewarn_alerts.commands.{verb} import app; app(['list'], standalone_mode=False); "

    done = subprocess.run(
        [sys.executable, "-c", code + "print('httpx' in sys.modules)"], check=True, capture_output=True, text=True
    )

    assert done.stdout.endswith("False\n")
