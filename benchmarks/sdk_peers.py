"""
What recording one tool call costs the agent: Forewarn and seven other SDKs, each against one raw OpenTelemetry span.

The tool does nothing and takes three arguments of 270 bytes. Every contestant runs in a process of its own, in an
environment of its own, used as its documents say and exporting to nowhere; raw OpenTelemetry takes turns with it in the
same process, so that the ratio is of two neighbours. Processes of all contestants alternate; medians are told. A peer
that cannot be installed or does not run is a row with the reason.

    python benchmarks/sdk_peers.py [--only forewarn,logfire] [--processes 3] [--calls 2000] [--repetitions 15] [--json]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import peers
from measuring import Report, parser, run_json

CONTESTANTS = (
    "forewarn", "forewarn-light", "openlit", "traceloop", "agento11y", "openinference", "langfuse", "logfire", "mlflow",
)  # fmt: skip
NOTES = [
    "added: the call less the bare function; ratio: that against one raw OpenTelemetry span in the same process",
    "forewarn writes a start and an end record to its spool on disk; forewarn-light does so without a span of the SDK",
    "of the others only logfire makes a record at the start; none has anything on disk when the call returns",
    "exporters do nothing, so no peer pays for encoding its span; ours encodes its records within the call",
    "cpu: of the whole process, own threads included, the function's own included",
]


def python_of(name: str) -> Path:
    return Path(sys.executable) if name.startswith("forewarn") else peers.interpreter(name)


def run(names: list[str], *, processes: int, calls: int, repetitions: int) -> list[dict[str, Any]]:
    missing: dict[str, str] = {}
    pythons: dict[str, Path] = {}
    for name in names:
        try:
            pythons[name] = python_of(name)
        except peers.PeerMissing as why:
            missing[name] = str(why)
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    script = Path(__file__).with_name("tool_spans.py")
    with tempfile.TemporaryDirectory(prefix="forewarn-bench-") as scratch:
        os.environ["TMPDIR"] = scratch  # every contestant's files go with it
        for _ in range(processes):
            for name, python in pythons.items():
                command = [python, script, name, "--calls", str(calls), "--repetitions", str(repetitions)]
                answers[name].append(run_json(command, cwd=Path(scratch)))
    return [row(name, answers.get(name, []), missing.get(name)) for name in names]


def row(name: str, answers: list[dict[str, Any]], missing: str | None) -> dict[str, Any]:
    failed = missing or next((each["failed"] for each in answers if "failed" in each), None)
    if failed:
        return {"contestant": name, "note": f"NOT MEASURED: {failed}"}
    raws = [_added(each, "raw") for each in answers]
    added = [_added(each, "recorded") for each in answers]
    ratios = [one / base for one, base in zip(added, raws, strict=True)]
    return {
        "contestant": name,
        "version": answers[0]["version"],
        "opentelemetry": answers[0]["opentelemetry"],
        "raw us": round(statistics.median(raws), 2),
        "added us": round(statistics.median(added), 2),
        "ratio": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "most": round(max(ratios), 3),
        "cpu us": round(statistics.median(each["cpu_us"] for each in answers), 2),
    }


def _added(answer: dict[str, Any], side: str) -> float:
    bare: float = statistics.median(answer["bare"])
    return statistics.median(answer[side]) - bare


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", default=",".join(CONTESTANTS), help="names, with commas between them")
    options.add_argument("--processes", type=int, default=3, help="of each contestant, alternating")
    options.add_argument("--calls", type=int, default=2000, help="a repetition")
    options.add_argument("--repetitions", type=int, default=15, help="of each side in each process")
    given = options.parse_args()
    names = given.only.split(",")
    if unknown := set(names) - set(CONTESTANTS):
        options.error(f"no such contestant: {', '.join(sorted(unknown))}; there are {', '.join(CONTESTANTS)}")
    rows = run(names, processes=given.processes, calls=given.calls, repetitions=given.repetitions)
    Report("Added time of one recorded tool call", rows, NOTES).show(as_json=given.json)


if __name__ == "__main__":
    main()
