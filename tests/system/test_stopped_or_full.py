"""
What agents notice of a server that stands still, or whose disk is full, and what is on record afterwards.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from forewarn_collector.data_folder import DataFolder

CALLS = 60
BLOCK = 1 << 20


def test_a_server_that_stands_still_loses_and_doubles_nothing(
    serve: Any, eventually: Callable[..., Any], thorough: bool, tmp_path: Path
) -> None:
    """
    SIGSTOP of the server: reads go on, destructive calls are refused within their bound, and with SIGCONT all arrives.
    """
    key = serve.key("production")
    notes = tmp_path / "notes"
    serve.process.send_signal(signal.SIGSTOP)

    try:
        agent = serve.agent("relentless", "waiting", str(notes), str(CALLS if thorough else 10), key=key)
        eventually(lambda: len(_told(notes, "ran")) >= (CALLS if thorough else 10) * 4 // 5, within_s=120)
    finally:
        serve.process.send_signal(signal.SIGCONT)
    _, errors = agent.communicate(timeout=120)

    assert agent.returncode == 0, errors
    assert _told(notes, "refused")
    assert not [each for each in _told(notes, "ran") if each["tool"] == "delete"]
    ended = len(_told(notes, "ran")) + len(_told(notes, "refused"))
    tools = "FROM spans WHERE operation = 'execute_tool'"
    eventually(lambda: serve.sql(f"SELECT count(), uniqExact(span_id) {tools} AND record = 'end'") == [(ended, ended)])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for the data folder: full when it is full, whatever else the machine has."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_refuses_and_keeps_what_it_took(  # noqa: PLR0917 -- fixtures
    small_disk: Path, serve: Any, eventually: Callable[..., Any], tmp_path: Path, otlp: Any
) -> None:
    """
    With the server's disk full, destructive calls are refused and reads wait in the spool; with room again all arrives.
    """
    serve.stop()
    serve.data = small_disk / "data"
    serve.start()
    key = serve.key("production")
    before, during = tmp_path / "before", tmp_path / "during"
    agent = serve.agent("relentless", "before", str(before), "50", key=key)
    assert agent.wait(timeout=60) == 0, agent.stderr.read()
    agent.communicate()

    filler = small_disk / "filler"
    _fill(filler)
    taken = _use_up_the_log(serve.ready["http"], key, otlp)
    agent = serve.agent("relentless", "during", str(during), "20", key=key)
    eventually(lambda: len(_told(during, "refused")) == 4, within_s=60, but="each destructive call is refused")
    filler.unlink()
    _, errors = agent.communicate(timeout=120)
    assert agent.returncode == 0, errors
    if serve.process.poll() is not None:
        serve.start()
    drains = serve.agent("drains", key=key)
    drains.communicate(timeout=60)

    assert len(_told(during, "ran")) == 16
    tools = "FROM spans WHERE operation = 'execute_tool'"
    eventually(
        lambda: serve.sql(f"SELECT count(), uniqExact(span_id) {tools} AND record = 'end'") == [(70, 70)],
        within_s=60,
        but=serve.log()[-2000:],
    )
    assert serve.sql("SELECT count(), countIf(outcome = 'refused') FROM calls") == [(70, 4)]
    assert serve.sql("SELECT count() FROM spans WHERE name = 'filler'")[0][0] >= taken


def test_a_full_disk_is_said_at_the_start(small_disk: Path) -> None:
    """
    A data folder on a full disk is refused with a message that names it, and nothing half made is left behind.
    """
    _fill(small_disk / "filler")

    with pytest.raises(Exception, match=r"(?i)disk|space|write"), DataFolder.open(small_disk / "data"):
        pass


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (BLOCK, 512, 1):
            try:
                while file.write(b"\0" * size) == size:
                    continue
            except OSError:
                continue


def _use_up_the_log(url: str, key: str, otlp: Any) -> int:
    """Send until not even a small body is taken any more: the log has room of its own. How many were taken."""
    taken, numbers = 0, itertools.count(1)
    for size in (1 << 20, 1 << 16, 1 << 10):
        status = 200
        while status == 200:
            span = otlp.span(next(numbers), name="filler", attributes={"filler": "x" * size})
            asked = Request(f"{url}/v1/traces", otlp.request(span))
            asked.add_header("Content-Type", "application/x-protobuf")
            asked.add_header("Authorization", f"Bearer {key}")
            try:
                with urlopen(asked, timeout=30) as answer:
                    status = answer.status
            except HTTPError as refused:
                status = refused.code
            taken += status == 200
    return taken


def _told(notes: Path, what: str) -> list[dict[str, Any]]:
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [told for told in map(json.loads, lines) if told["what"] == what]
