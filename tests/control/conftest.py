"""
A real `forewarn serve` in a process of its own: chDB opens one folder per process, so a test cannot have two inside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FREE_PORTS = ("--http", "127.0.0.1:0", "--store-http", "127.0.0.1:0")


def clean_environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FOREWARN_")} | more


def forewarn(*arguments: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "forewarn", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60, cwd=folder, env=clean_environment(**environment),
    )  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return forewarn(*arguments, folder=tmp_path, **environment)

    return run


@dataclass
class Server:
    """`forewarn serve --json` that has said it is ready."""

    process: subprocess.Popen[str]
    data: Path
    ready: dict[str, Any]

    def stop(self) -> tuple[int, str]:
        """The exit status and everything on standard error."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


def serve(folder: Path, **environment: str) -> Server:
    data = folder / "data"
    command = [sys.executable, "-m", "forewarn", "serve", "--json", "--data", str(data), *FREE_PORTS]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=clean_environment(**environment),
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(process.communicate()[1])
    return Server(process, data, json.loads(line))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on one data folder, one after the other; each is ended with the test."""
    servers: list[Server] = []

    def one(**environment: str) -> Server:
        servers.append(serve(tmp_path, **environment))
        return servers[-1]

    yield one
    for server in servers:
        server.process.kill()
        server.process.communicate()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only look at it."""
    one = serve(tmp_path_factory.mktemp("serve"))
    yield one
    one.process.kill()
    one.process.communicate()
