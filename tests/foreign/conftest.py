"""
What other packages send, each in a process of its own: instrumentation is global state.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

SENDERS = Path(__file__).parent / "senders"
LANGSMITH = {
    "LANGSMITH_TRACING": "true",
    "LANGSMITH_OTEL_ENABLED": "true",
    "LANGSMITH_OTEL_ONLY": "true",
    "LANGSMITH_API_KEY": "none",
    "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
}
"""Its export to OpenTelemetry alone; its own server is nowhere."""


@cache
def _sent(script: str, *arguments: str) -> bytes:
    command = [sys.executable, "-W", "ignore", str(SENDERS / f"{script}.py"), *arguments, "stdout"]
    environment = os.environ | (LANGSMITH if script == "langsmith_runs" else {})
    return subprocess.run(command, check=True, capture_output=True, timeout=120, env=environment).stdout


@pytest.fixture(scope="session")
def sent() -> Callable[..., bytes]:
    """The OTLP request that a sender of `senders/` writes, given its arguments."""
    return _sent
