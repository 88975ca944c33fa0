"""
Three hundred secrets, planted in all that an agent and a foreign sender say, are found in nothing that is kept or sent.
"""

from __future__ import annotations

import ast
import json
import random
import string
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from forewarn.redaction import Redactor, Rules
from forewarn.testing import FIRST_TICK_NS

SECRETS = 300
FALSE_ALARMS = 15
"""Texts of the standard library in which something is replaced; most are examples of credentials."""
_CHOICE = random.Random(4).choice
_DISGUISES: tuple[Callable[[str], str], ...] = (
    lambda s: f"password={s}",
    lambda s: json.dumps({"config": {"api_key": s}}),
    lambda s: json.dumps({"body": json.dumps({"session": {"id": s}})}),
    lambda s: json.dumps([{"name": "X-Auth-Token", "value": s}]),
    lambda s: json.dumps(["deploy", "--client-secret", s]),
    lambda s: f"cannot connect to postgres://app:{s}@db.internal:5432/app",
    lambda s: f"CREATE USER bob IDENTIFIED BY '{s}'",
    lambda s: f"ALTER ROLE bob WITH ENCRYPTED PASSWORD '{s}'",
    lambda s: f"curl -u bob:{s} https://example.com",
    lambda s: f"Authorization: Bearer {s}",
    lambda s: f"backup --access-token {s} --to s3",
    lambda s: f"Config(user='bob', client_secret='{s}')",
    lambda s: f"DSN Server=db;User=sa;Password={s};",
    lambda s: f"the key gh{'p'}_{s}",
    lambda s: f"npm{'_'}{s} was refused",
    lambda s: f"-----BEGIN PRIVATE {'KEY'}-----\n{s}\n-----END PRIVATE {'KEY'}-----",
)


def _planted() -> list[dict[str, str]]:
    """Secrets of letters and digits that occur nowhere else, each in a text that gives it away."""
    letters = string.ascii_letters + string.digits
    secrets = ["".join(_CHOICE(letters) for _ in range(24)) + "9Z" for _ in range(SECRETS)]
    return [{"secret": s, "text": _DISGUISES[place % len(_DISGUISES)](s)} for place, s in enumerate(secrets)]


def _foreign(otlp: Any, planted: list[dict[str, str]]) -> bytes:
    """What a sender that redacts nothing writes of the same secrets."""
    spans = []
    for number, each in enumerate(planted, start=1):
        text, secret = each["text"], each["secret"]
        span: Span = otlp.span(
            number, trace=number, attributes={"input.value": text, "db.password": secret, "a": {"rows": [{"b": text}]}}
        )
        span.start_time_unix_nano = span.end_time_unix_nano = FIRST_TICK_NS
        failed = Span.Event(name="exception", attributes=otlp.span(attributes={"exception.message": text}).attributes)
        span.MergeFrom(Span(events=[failed], status=Status(code=2, message=text)))
        spans.append(span)
    told = {"service.name": "foreign", "process.command_line": planted[0]["text"]}
    request: bytes = otlp.request(*spans, resource=told)
    return request


def _run_agent(
    environment: dict[str, str], planted: list[dict[str, str]], *, flush_s: float
) -> subprocess.CompletedProcess[bytes]:
    lines = "".join(json.dumps(each) + "\n" for each in planted)
    command = [sys.executable, Path(__file__).parent / "agents" / "leaky.py", str(flush_s)]
    return subprocess.run(command, input=lines.encode(), capture_output=True, env=environment, check=False, timeout=120)


def _post(url: str, body: bytes, key: str) -> int:
    headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {key}"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return int(answer.status)


def _found(planted: list[dict[str, str]], *kept: bytes) -> list[str]:
    return [each["text"] for each in planted if any(each["secret"].encode() in one for one in kept)]


def _files(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


def test_no_planted_secret_is_kept_or_sent(serve: Any, pagers: Any, eventually: Any, otlp: Any) -> None:
    """
    Not in the spool, the log, the store, the state, a page, a command's answer, or a line that a process writes.
    """
    planted = _planted()
    key = serve.key("production")

    agent = _run_agent(serve.agent_environment(key), planted, flush_s=60)
    taken = _post(f"http://127.0.0.1:{serve.ports[0]}/v1/traces", _foreign(otlp, planted), key)

    assert (agent.returncode, agent.stdout, taken) == (0, b"done\n", 200), agent.stderr
    eventually(lambda: serve.sql("SELECT count() FROM spans WHERE service = 'foreign'") == [(SECRETS,)], within_s=60)
    drops = "SELECT count() FROM spans WHERE tool = 'drop' AND record = 'end' AND arguments LIKE '%[redacted:%'"
    eventually(lambda: serve.sql(drops) == [(SECRETS,)], within_s=60)
    eventually(lambda: pagers.pagerduty and pagers.slack)
    rows = json.dumps([[str(value) for value in row] for row in serve.sql("SELECT * FROM otel_traces")])
    told = json.dumps([pagers.pagerduty, pagers.slack]) + serve.command("traces", "list") + serve.log()
    assert "[redacted:" in rows
    assert _found(planted, rows.encode(), told.encode(), agent.stdout + agent.stderr, *_files(serve.folder)) == []


def test_without_a_gateway_no_planted_secret_waits_in_the_spool(serve: Any) -> None:
    """
    What is spooled is redacted before it is written; the line that says why a call was refused is clean, too.
    """
    planted = _planted()
    key = serve.key("development")
    serve.stop()

    agent = _run_agent(serve.agent_environment(key, FOREWARN_ACK_TIMEOUT="0.01"), planted[:32], flush_s=0)

    spooled = _files(serve.folder / "spool")
    assert agent.stdout == b"done\n", agent.stderr
    assert any(b"[redacted:" in one for one in spooled)
    assert _found(planted, *spooled, agent.stderr) == []


def test_ordinary_texts_are_left_alone() -> None:
    """
    Of the thousands of docstrings of the standard library hardly one is touched.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = [
        text
        for file in library.glob("*.py")
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node))
    ]
    redactor = Redactor(Rules(b"test"))

    touched = [text for text in texts if redactor.text(text) != text]

    assert len(texts) > 3_000
    assert len(touched) <= FALSE_ALARMS
