"""
One contestant of `synced_record.py`, in the Python of its own environment: calls that are on the disk before they run.

Each is used as its own documents say, with its own defaults. It reads one command a line and answers each with one line
of JSON: `{"fill": 100}` makes calls until it has made so many in all, `{"calls": 400, "threads": 8}` makes more and
tells the time of each.

    <python of the environment> benchmarks/guarded_calls.py gove-zone FOLDER
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from measuring import timed

Call = Callable[[], object]
Caller = Callable[[int], list[Call]]
"""Makes so many calls ready to be made: what a caller would have at hand is not part of the time."""

ARGUMENTS = {
    "path": "/srv/app/reports/2026/quarterly-summary.md",
    "content": "The quarter closed above plan in two of three regions. Costs were flat; the third moved its launch. "
    * 2,
    "mode": "overwrite",
}
_FILLED_AT_ONCE = 1000


def write_report(path: str, content: str, mode: str) -> int:
    return len(path) + len(content) + len(mode)


def forewarn(folder: Path) -> Caller:
    from opentelemetry.sdk.trace import TracerProvider

    import forewarn as sdk

    os.environ["FOREWARN_SPOOL_MAX_BYTES"] = str(8 << 30)  # nothing is sent, so all of it stays
    # The application's provider exports nowhere; the call is an SDK span all the same, as by default.
    provider = TracerProvider()
    sdk.configure("benchmark", environment="test", spool=folder, tracer_provider=provider, sync_effects=["write"])
    tool = sdk.tool(effect="write")(write_report)
    return lambda count: [partial(tool, **ARGUMENTS)] * count


def bare(folder: Path) -> Caller:
    """The least that two synced records can cost: a write of 800 bytes and an fdatasync, twice."""
    descriptor = os.open(folder / "records", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    record = os.urandom(800)

    def call() -> None:
        for _ in range(2):
            os.write(descriptor, record)
            os.fdatasync(descriptor)

    return lambda count: [call] * count


def gove_zone(folder: Path) -> Caller:
    from gove_zone.audit import ChainHashAuditStore
    from gove_zone.kernel import Kernel
    from gove_zone.policy import BoundaryPolicy

    policy = BoundaryPolicy(forbidden_keywords=["~/.ssh"])
    kernel = Kernel(policy=policy, audit=ChainHashAuditStore(folder / "audit.jsonl"))
    kernel.tool("write_report")(write_report)
    return lambda count: [partial(kernel.dispatch, "write_report", ARGUMENTS)] * count


def guardledger(folder: Path) -> Caller:
    from sentinel import Sentinel

    policy = folder / "policy.yaml"
    policy.write_text("default: deny\nrules:\n  - {id: reports, match: {tool: write_report}, action: allow}\n")
    guarded = Sentinel.from_files(policy=str(policy), db=str(folder / "sentinel.db")).guard(write_report)
    return lambda count: [partial(guarded, **ARGUMENTS)] * count


def kiff_guard(folder: Path) -> Caller:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from kiff_guard.permit import Adapter, Outcome, PinnedKey, PinnedKeys, SQLiteStore, Verifier

    key = Ed25519PrivateKey.generate()
    pinned = PinnedKey("bench", key.public_key().public_bytes_raw(), time.time() + 86_400)
    whom = {"issuer": "https://issuer.example", "audience": "https://tool.example", "tenant": "bench"}
    verifier = Verifier(**whom, keys=PinnedKeys([pinned]), store=SQLiteStore(str(folder / "permits.db")))

    class Report(Adapter):
        def execute(self, op: str, prepared: Any) -> Outcome:  # noqa: ARG002
            return Outcome("succeeded", write_report(**prepared))

    adapter = Report()

    def call(token: str) -> None:
        outcome = verifier.run(token, "write_report", ARGUMENTS, adapter)
        if not outcome.ran:
            raise RuntimeError(f"refused: {outcome.reason} {outcome.message}")

    return lambda count: [partial(call, permit(key, whom)) for _ in range(count)]


def permit(key: Any, whom: dict[str, str]) -> str:
    """What the peer's own service would issue for one call."""
    from kiff_guard.permit import args_sha256
    from kiff_guard.permit.token import ALG, DETAIL_TYPE, TYPE

    detail = {
        "type": DETAIL_TYPE,
        "tenant": whom["tenant"],
        "tool": "write_report",
        "args_sha256": args_sha256(ARGUMENTS),
        "op": uuid.uuid4().hex,
    }
    now = int(time.time())
    claims = {"iss": whom["issuer"], "aud": whom["audience"], "iat": now, "exp": now + 60}
    parts = ({"typ": TYPE, "alg": ALG, "kid": "bench"}, claims | {"authorization_details": [detail]})
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{_base64url(key.sign(signed.encode()))}"


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


CONTESTANTS: dict[str, tuple[Callable[[Path], Caller], str]] = {
    "bare": (bare, ""),
    "forewarn": (forewarn, "forewarn"),
    "gove-zone": (gove_zone, "gove-zone"),
    "kiff-guard": (kiff_guard, "kiff-guard"),
    "guardledger": (guardledger, "guardledger"),
}
"""Name -> what makes its calls in a folder, and the distribution whose version is told."""


def serve(name: str, folder: Path) -> None:
    make, distribution = CONTESTANTS[name]
    caller = make(folder)
    print(json.dumps({"version": metadata.version(distribution) if distribution else ""}), flush=True)
    made = 0
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        while made < command.get("fill", 0):
            count = min(_FILLED_AT_ONCE, command["fill"] - made)
            if faults := timed(caller(count)).faults:
                sys.exit(f"{len(faults)} of {count} calls failed: {faults[0]}")
            made += count
        if "calls" in command:
            done = timed(caller(command["calls"]), command["threads"])
            made += len(done.nanoseconds)
            answer = asdict(done)
        print(json.dumps(answer | {"made": made}), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
    os._exit(0)  # what a contestant would still do at its exit is not measured
