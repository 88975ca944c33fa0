"""
`forewarn serve` as a process: what it says, what it refuses, how it ends.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from urllib3.util import make_headers

from forewarn.conventions import EFFECT, OPERATION_EXECUTE_TOOL, OPERATION_NAME, RECORD, TOOL_NAME
from forewarn_control.demo import slack
from forewarn_control.demo.receivers import Receiver

FREE_PORTS = ("--http", "127.0.0.1:0", "--store-http", "127.0.0.1:0")


def fetched(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.status, response.read().decode()


def test_it_is_ready_when_it_says_so(server: Any) -> None:
    """
    The line of JSON comes once both doors answer, and names everything a program needs.
    """
    health = fetched(f"{server.ready['http']}/readyz")

    assert health[0] == 200
    assert json.loads(health[1])["checks"] == {"log": "ok", "doors": "ok", "roles": "ok"}
    assert set(server.ready) == {"http", "grpc", "store", "reader", "keys"}
    assert {key.partition("_")[0] for key in server.ready["keys"].values()} == {"fwk"}
    assert set(server.ready["keys"]) == {"production", "development"}
    metrics = fetched(f"{server.ready['http']}/metrics")[1]
    for name in ("forewarn_gateway_requests_total", "forewarn_watcher_records_total", "forewarn_pages_total"):
        assert f"# TYPE {name} counter" in metrics


def test_the_endpoints_are_for_the_owner_only(server: Any) -> None:
    """
    The file with the reader's password is readable by its owner alone, and agrees with what was printed.
    """
    file = server.data / "endpoints.json"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {name: server.ready[name] for name in ("http", "grpc", "store", "reader")}


def test_an_unknown_path_is_404_in_the_gateways_words(server: Any) -> None:
    """
    What neither room knows is answered by the gateway.
    """
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(f"{server.ready['http']}/nothing")
    refused.value.close()

    assert refused.value.code == 404


def test_the_store_answers_readers_with_the_password_only(server: Any) -> None:
    """
    The store's door asks for the credentials that were printed.
    """
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(f"{server.ready['store']}/?query=SELECT+1")
    refused.value.close()

    assert refused.value.code == 401
    assert asked(server, "SELECT count() FROM spans") == "0\n"


@pytest.mark.parametrize("trace", ["0" * 32, "0", "../metrics"])
def test_a_trace_is_shown_to_the_reader_only(server: Any, trace: str) -> None:
    """
    The page behind a link asks for the reader's password before it looks at anything; what is not there is 404.
    """
    url = f"{server.ready['http']}/traces/{trace}"

    with pytest.raises(urllib.error.HTTPError) as stranger:
        fetched(url)
    stranger.value.close()
    with pytest.raises(urllib.error.HTTPError) as reader:
        opened(server, url)
    reader.value.close()

    assert stranger.value.code == 401
    assert stranger.value.headers["www-authenticate"].startswith("Basic ")
    assert reader.value.code == 404


def test_the_first_start_tells_how_to_point_an_agent_at_it(tmp_path: Path) -> None:
    """
    A person gets lines to copy, once. SIGTERM, Ctrl-C and the end of the terminal end it in order; its keys and its
    reader outlive it.
    """
    endings = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    first, second, third = (_told(tmp_path, ended_by=number) for number in endings)

    assert (first.status, second.status, third.status) == (0, 0, 0)
    assert (first.errors, second.errors) == ("", "")
    assert re.search(r"^  export FOREWARN_ENDPOINT=http://127\.0\.0\.1:\d+$", first.said, re.MULTILINE)
    assert re.search(r"^  export FOREWARN_KEY=fwk_production_\w+$", first.said, re.MULTILINE)
    assert re.search(r"^  export FOREWARN_KEY=fwk_development_\w+$", first.said, re.MULTILINE)
    assert re.search(r"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20fwk_production_\w+$", first.said, re.MULTILINE)
    assert "fwk_" not in second.said
    assert "forewarn keys create --environment production" in second.said
    assert re.findall(r"curl -u (\S+)", first.said) == re.findall(r"curl -u (\S+)", second.said)


@dataclass
class Told:
    said: str
    errors: str
    status: int


def _told(folder: Path, *, ended_by: int) -> Told:
    """What a person reads from start to end."""
    command = [sys.executable, "-m", "forewarn", "serve", "--data", "data", *FREE_PORTS]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOREWARN_")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment
    ) as process:
        lines = []
        while (line := process.stdout.readline()) and "curl" not in line:
            lines.append(line)
        process.send_signal(ended_by)
        _, errors = process.communicate(timeout=30)
    return Told("".join([*lines, line]), errors, process.returncode)


def test_what_was_answered_is_stored_and_paged_before_it_ends(start: Callable[..., Any], tmp_path: Path) -> None:
    """
    A stop right after the answer leaves nothing for the next start: the record is stored, the page is out.
    """
    with Receiver("Slack", slack.answer) as receiver:
        first = start(FOREWARN_SLACK_WEBHOOK_URL=receiver.url + slack.PATH)
        request = urllib.request.Request(
            f"{first.ready['http']}/v1/intents",
            destructive_start(),
            {
                "Content-Type": "application/x-protobuf",
                "Authorization": f"Bearer {first.ready['keys']['production']}",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            cleared = json.loads(response.read())
        status, errors = first.stop()
        pages = list(receiver.pages)
        second = start()

    assert (status, errors) == (0, "")
    assert cleared["environment"] == "production"
    assert len(pages) == 1
    assert asked(second, "SELECT tool, environment, record FROM spans") == "drop_table\tproduction\tstart\n"
    assert asked(second, "SELECT count() FROM events WHERE kind = 'delivery.sent'") == "1\n"
    assert asked(second, "SELECT DISTINCT kind, environment FROM events WHERE kind LIKE 'key.%' ORDER BY 2") == (
        "key.created\tdevelopment\nkey.created\tproduction\n"
    )
    linked = opened(second, f"{second.ready['http']}/traces/{(b't' * 16).hex()}")
    assert "drop_table()" in linked
    assert "outcome unknown" in linked
    assert "paged" in linked


def test_a_role_that_dies_ends_the_process(tmp_path: Path) -> None:
    """
    Rather than to live half dead, it says which role died, and ends with status 1.
    """
    code = (
        "from forewarn_collector.sink import Sink\nSink.run = lambda self, stop: 1 / 0\n"
        "from forewarn.__main__ import main\nmain()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--data", "data", *FREE_PORTS],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 1
    assert "CRITICAL sink" in done.stderr
    assert "stopped, because a role died: sink: ZeroDivisionError" in done.stderr


def destructive_start() -> bytes:
    """A start record as an SDK sends it."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"t" * 16, b"s" * 8, f"{OPERATION_EXECUTE_TOOL} drop_table"
    span.start_time_unix_nano = time.time_ns()
    said = {RECORD: "start", OPERATION_NAME: OPERATION_EXECUTE_TOOL, TOOL_NAME: "drop_table", EFFECT: "destructive"}
    for name, value in said.items():
        attribute = span.attributes.add()
        attribute.key, attribute.value.string_value = name, value
    return request.SerializeToString()


def asked(server: Any, sql: str) -> str:
    return opened(server, f"{server.ready['store']}/?query={quote(sql)}")


def opened(server: Any, url: str) -> str:
    """As the reader, with the password."""
    reader = server.ready["reader"]
    request = urllib.request.Request(url, headers=make_headers(basic_auth=f"{reader['user']}:{reader['password']}"))
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


def test_a_port_in_use_is_named_with_the_way_out(command: Callable[..., Any]) -> None:
    """
    The message says which address, how to find who has it, and how to take another.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command("serve", "--data", "data", "--http", address, "--store-http", "127.0.0.1:0")

    assert done.returncode == 3
    assert f"forewarn: {address} is in use by another process" in done.stderr
    assert "--http 127.0.0.1:0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_in_use_names_its_owner(server: Any, command: Callable[..., Any]) -> None:
    """
    A second process on the same folder is told who owns it, and touches nothing.
    """
    done = command("serve", "--data", server.data, *FREE_PORTS)

    assert done.returncode == 3
    assert f"in use by process {server.process.pid}" in done.stderr
    assert fetched(f"{server.ready['http']}/healthz")[0] == 200


def test_a_data_folder_of_another_version_is_left_alone(command: Callable[..., Any], tmp_path: Path) -> None:
    """
    Data of another format is neither read nor migrated by guess.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "forewarn.json").write_text('{"format": 99}')

    done = command("serve", "--data", "data", *FREE_PORTS)

    assert done.returncode == 3
    assert "format 99" in done.stderr
    assert not (tmp_path / "data" / "log.sqlite3").exists()


def test_a_data_folder_that_cannot_be_written_is_named(command: Callable[..., Any], tmp_path: Path) -> None:
    """
    A path that cannot be made into a folder is a clear answer, not a traceback.
    """
    (tmp_path / "file").write_text("")

    done = command("serve", "--data", "file/data", *FREE_PORTS)

    assert done.returncode == 3
    assert "cannot be written to" in done.stderr
    assert "--data" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_fault_of_a_rule_file_is_reported_with_its_place(command: Callable[..., Any], tmp_path: Path) -> None:
    """
    A faulty rule stops the start, before anything is opened.
    """
    (tmp_path / "bad.yaml").write_text("title: Bad\nseverity: fatal\non: start\nwhen: call.efect ==\n")

    done = command("serve", "--data", "data", "--rules", "bad.yaml", *FREE_PORTS)

    assert done.returncode == 2
    assert re.search(r"bad\.yaml:2:\d+: ", done.stderr)
    assert re.search(r"bad\.yaml:4:\d+: ", done.stderr)
    assert "forewarn rules check" in done.stderr
    assert not (tmp_path / "data").exists()


def test_every_fault_of_the_settings_is_reported_at_once(command: Callable[..., Any], tmp_path: Path) -> None:
    """
    File, environment and flags are checked together; a secret that is in the way is not shown.
    """
    (tmp_path / "forewarn.toml").write_text(
        'retension = "1d"\n[targets.pager]\ntype = "pagerduty"\nrouting_kee = "s3cret"\n'
    )

    done = command("serve", "--store-http", "nowhere", FOREWARN_HTTP="4318")

    assert done.returncode == 2
    for name in ("retension", "targets.pager", "store_http", "http"):
        assert re.search(rf"^(forewarn: )?{name}[. (]", done.stderr, re.MULTILINE), name
    assert "did you mean `retention`?" in done.stderr
    assert "s3cret" not in done.stderr
