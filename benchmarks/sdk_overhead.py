"""
Added time of a recorded `read` call, against one raw OpenTelemetry span around the same function.

Both sides use the OpenTelemetry SDK with an exporter that does nothing. The raw side makes one span with eight
attributes, the arguments as `json.dumps` gives them. The recorded side does the same through `forewarn.tool`, and also
writes a start record and an end record to the spool on disk, takes the digest, and looks for secrets: once with an
OpenTelemetry span of its own (`spans="full"`), once without (`spans="light"`). Repetitions of all are interleaved in
one process, so that a slow moment of the machine hits all; the medians are compared.

    python benchmarks/sdk_overhead.py [--json] [--calls 2000] [--repetitions 15] [--sending]

`--sending` lets the background sender send to a local receiver in another process meanwhile.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from raw_span import Tool, measure, raw, silent_provider, write_report

import forewarn

GOALS = {"full": 1.25, "light": 0.3}
RECEIVER = """
import http.server
class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def receiver() -> Iterator[str]:
    """The address of a local OTLP receiver in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


def compare(calls: int, repetitions: int, endpoint: str | None) -> dict[str, Any]:
    provider = silent_provider()
    trace.set_tracer_provider(provider)
    recorded = forewarn.tool(effect="read")(write_report)
    sides: dict[str, Tool] = {
        "bare": write_report,
        "raw": raw(provider),
        "full": recorded,
        "light": recorded,
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as spool:
        for repetition in range(-1, repetitions):
            for name, side in sides.items():
                forewarn.configure(
                    service="benchmark",
                    environment="test",
                    spool=spool,
                    endpoint=endpoint,
                    key=_key(endpoint),
                    spans="light" if name == "light" else "full",
                )
                with forewarn.agent("reporter"):
                    measure(side, calls // 10)
                    one = measure(side, calls)
                # The first is to warm up.
                if repetition >= 0:
                    taken[name].append(one)
        forewarn.shutdown()
    provider.shutdown()
    median = {name: statistics.median(many) for name, many in taken.items()}
    added = {name: median[name] - median["bare"] for name in ("raw", "full", "light")}
    return {
        **{f"{name}_us": round(us, 2) for name, us in added.items()},
        **{f"{name}_ratio": round(added[name] / added["raw"], 3) for name in GOALS},
        "goals": GOALS,
        "sending": endpoint is not None,
        "calls": calls,
        "repetitions": repetitions,
        "python": platform.python_version(),
    }


def _key(endpoint: str | None) -> str | None:
    return "fwk_test_00_00" if endpoint else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--sending", action="store_true", help="send to a local receiver meanwhile")
    options = parser.parse_args()
    if options.sending:
        with receiver() as endpoint:
            result = compare(options.calls, options.repetitions, endpoint)
    else:
        result = compare(options.calls, options.repetitions, None)
    if options.json:
        print(json.dumps(result))
        return
    print(f"one raw OpenTelemetry span   {result['raw_us']:8.1f} us")
    for name, goal in GOALS.items():
        us, ratio = result[f"{name}_us"], result[f"{name}_ratio"]
        print(f"one recorded call, {name:9s} {us:8.1f} us   ratio {ratio:5.2f}    (goal: at most {goal})")


if __name__ == "__main__":
    main()
