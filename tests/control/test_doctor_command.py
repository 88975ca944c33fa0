"""
`forewarn doctor` on setups that are well and on setups that are not.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forewarn_control.commands.doctor import app
from forewarn_control.demo import pagerduty
from forewarn_control.demo.receivers import Receiver
from forewarn_control.doctor.agent import agent
from forewarn_control.doctor.asking import Reply

Examined = tuple[int, dict[str, dict[str, Any]], dict[str, dict[str, Any]]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Examined]:
    """Exit status, checks by name, settings by name."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOREWARN_")]:
        monkeypatch.delenv(name)

    def examine(*arguments: object, **environment: str) -> Examined:
        for name, value in ({"FOREWARN_SPOOL": str(tmp_path / "spool")} | environment).items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(app, ["--json", *map(str, arguments)], catch_exceptions=False)
        said = json.loads(done.stdout)
        return (
            done.exit_code,
            {check["name"]: check for check in said["checks"]},
            {setting["name"]: setting for setting in said["settings"]},
        )

    return examine


def test_a_sound_setup_has_no_fault(server: Any, doctor: Callable[..., Examined]) -> None:
    """
    With a server, a good key and a target that takes connections, nothing is wrong, and nobody was paged.
    """
    with Receiver("PagerDuty", pagerduty.answer) as receiver:
        status, checks, _ = doctor(
            "--data",
            server.data,
            FOREWARN_ENDPOINT=server.ready["http"],
            FOREWARN_KEY=server.ready["keys"]["development"],
            FOREWARN_PAGERDUTY_ROUTING_KEY="0" * 32,
            FOREWARN_PAGERDUTY_URL=receiver.url + pagerduty.PATH,
        )

    assert {name: check["health"] for name, check in checks.items() if check["health"] != "ok"} == {}
    assert status == 0
    assert checks["agent key"]["found"] == "accepted; it records for development"
    assert checks["data folder"]["found"].endswith(f"owned by process {server.process.pid}")
    assert "ClickHouse 2" in checks["store"]["found"]
    assert checks["grpc"]["health"] == "ok"
    assert (receiver.pages, receiver.refused) == ([], [])


def test_a_fresh_machine_is_told_where_to_begin(doctor: Callable[..., Examined]) -> None:
    """
    Nothing served, nothing configured: no fault, but each thing that is missing says what to do.
    """
    status, checks, _ = doctor("--data", "nowhere")

    assert status == 0
    assert {name for name, check in checks.items() if check["health"] == "skipped"} == {
        "data folder",
        "serve",
        "agent endpoint",
    }
    assert checks["serve"]["do"] == "start it: forewarn serve"
    assert checks["targets"]["health"] == "warning"


def test_nothing_reached_is_status_3(doctor: Callable[..., Examined]) -> None:
    """
    An endpoint that nobody listens at is a fault of reach.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        status, checks, _ = doctor("--data", "nowhere", FOREWARN_ENDPOINT=f"http://127.0.0.1:{free.getsockname()[1]}")

    assert status == 3
    assert checks["agent endpoint"]["health"] == "fault"
    assert "forewarn serve" in checks["agent endpoint"]["do"]


def test_a_key_that_is_refused_is_a_fault_and_nothing_is_recorded(server: Any, doctor: Callable[..., Examined]) -> None:
    """
    The key is tried against the gateway, with a request that could never be recorded.
    """
    status, checks, settings = doctor(
        "--data", server.data, FOREWARN_ENDPOINT=server.ready["http"], FOREWARN_KEY="fwk_production_0000_s3cret"
    )

    assert status == 1
    assert checks["agent key"]["health"] == "fault"
    assert "forewarn keys create" in checks["agent key"]["do"]
    assert "s3cret" not in json.dumps([checks, settings])


def test_a_claim_beside_the_key_is_a_warning(server: Any, doctor: Callable[..., Examined]) -> None:
    """
    A process that says it is in another environment than its key will surprise somebody.
    """
    _, checks, _ = doctor(
        FOREWARN_ENDPOINT=server.ready["http"],
        FOREWARN_KEY=server.ready["keys"]["development"],
        FOREWARN_ENVIRONMENT="staging",
    )

    assert checks["agent key"]["health"] == "warning"
    assert "claims staging" in checks["agent key"]["found"]


def test_faulty_rules_targets_and_variables_are_named(doctor: Callable[..., Examined], tmp_path: Path) -> None:
    """
    Each fault comes with its place or its name, and with what to do.
    """
    (tmp_path / "broken.yaml").write_text("title: Broken\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        status, checks, _ = doctor(
            FOREWARN_RULES="broken.yaml",
            FOREWARN_SLACK_WEBHOOK_URL=f"http://127.0.0.1:{free.getsockname()[1]}/services/T0/B0/s3cret",
            FOREWARN_ENDPONT="http://127.0.0.1:1",
        )

    assert status == 1
    assert checks["rules"]["health"] == "fault"
    assert "broken.yaml:1:1" in checks["rules"]["found"]
    assert checks["target slack"]["health"] == "fault"
    assert checks["target slack"]["do"].endswith("forewarn notify test slack")
    assert checks["environment"]["do"] == "did you mean FOREWARN_ENDPOINT?"
    assert "s3cret" not in json.dumps(checks)


def test_a_spool_that_cannot_be_written_is_a_fault(doctor: Callable[..., Examined], tmp_path: Path) -> None:
    """
    An agent that could not spool would lose its reads; the doctor says so first.
    """
    (tmp_path / "file").write_text("")

    status, checks, _ = doctor("--data", "nowhere", FOREWARN_SPOOL=str(tmp_path / "file" / "spool"))

    assert status == 1
    assert checks["agent spool"]["health"] == "fault"
    assert checks["agent spool"]["do"] == "set FOREWARN_SPOOL to a folder on a local disk"


def test_a_person_reads_the_same_as_a_program(doctor: Callable[..., Examined]) -> None:
    """
    Without --json each check is a line, and what to do stands below it.
    """
    doctor("--data", "nowhere")

    done = CliRunner().invoke(app, ["--data", "nowhere"], catch_exceptions=False)

    assert done.exit_code == 0
    assert "ok       extra collector  installed" in done.stdout
    assert "-> start it: forewarn serve" in done.stdout


def test_settings_say_where_they_came_from(doctor: Callable[..., Examined], tmp_path: Path) -> None:
    """
    Each setting is shown with its source, those of an agent started here too.
    """
    (tmp_path / "forewarn.toml").write_text('retention = "1d"\nservice = "janitor"\n')

    _, _, settings = doctor("--data", "nowhere", FOREWARN_STORE_HTTP="127.0.0.1:1")

    assert [
        (settings[name]["value"], settings[name]["origin"]) for name in ("data", "store_http", "agent service")
    ] == [
        ("nowhere", "--data"),
        ("127.0.0.1:1", "FOREWARN_STORE_HTTP"),
        ("janitor", str(tmp_path / "forewarn.toml")),
    ]
    assert settings["retention"] == {
        "name": "retention",
        "value": "1 day, 0:00:00",
        "origin": str(tmp_path / "forewarn.toml"),
    }


def test_clocks_that_differ_are_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    More than a few seconds between the two clocks is said in seconds.
    """
    reply = Reply(200, "", {"date": "Tue, 01 Sep 2026 02:14:07 GMT"})
    monkeypatch.setattr("forewarn_control.doctor.agent.ask", lambda *_arguments, **_options: reply)
    monkeypatch.setenv("FOREWARN_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("FOREWARN_SPOOL", str(tmp_path))

    checks = {check.name: check for check in agent(clock=lambda: 1788228847.0 + 90)}

    assert checks["clocks"].health == "warning"
    assert checks["clocks"].found == "90 s apart from the gateway's"


def test_an_agents_machine_is_examined_without_the_other_extras(tmp_path: Path) -> None:
    """
    Where only the SDK is installed, the agent's side is still looked at.
    """
    code = (
        "import sys\nfor name in ('sqlalchemy', 'httpx', 'cel_expr_python'):\n    sys.modules[name] = None\n"
        "from forewarn.__main__ import main\nmain()"
    )
    environment = {"PATH": "", "FOREWARN_SPOOL": str(tmp_path / "spool")}

    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path, env=environment,
    )  # fmt: skip

    checks = {check["name"]: check["health"] for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0
    assert checks["serving side"] == "skipped"
    assert checks["agent spool"] == "ok"


def test_a_misspelt_key_of_an_agent_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The SDK reads over what it does not know; the doctor does not.
    """
    for name in [name for name in os.environ if name.startswith("FOREWARN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOREWARN_SPOOL", str(tmp_path / "spool"))
    (tmp_path / "forewarn.toml").write_text('end_point = "http://h"\nhttp = "127.0.0.1:4318"\n')

    said = [(check.found, check.do) for check in agent() if check.name == "agent settings"]

    assert said == [("forewarn.toml: nothing reads the key end_point", "did you mean `endpoint`?")]
