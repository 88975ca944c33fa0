"""
From a destructive tool call to the page, idle: SDK, gateway, log, watcher, incident, delivery, all durable on disk.

Three processes, as in production: the agent, `forewarn serve`, and the receiver of the pages (this one). The time is
taken right before the agent calls the tool and when the page has arrived whole. Prints p50 and p99 over all calls,
and the same for the time that the acknowledged record adds to the call.

    python benchmarks/call_to_page.py [--calls 400] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

AGENT = """
import json, random, sys, time
import forewarn
forewarn.configure(service="bench")

@forewarn.tool(effect="destructive")
def drop_table(name: str, number: int) -> int:
    return time.time_ns()

with forewarn.agent("bench"):
    for number in range(-20, int(sys.argv[1])):
        called = time.time_ns()
        started = drop_table("customers", number)
        print(json.dumps({"number": number, "called": called, "started": started}), flush=True)
        time.sleep(random.uniform(0.01, 0.03))
forewarn.shutdown()
"""


class Receiver(asyncio.Protocol):
    """As little of an HTTP server as keeps the clock honest: notes when each page was complete."""

    arrived: dict[int, int] = {}  # noqa: RUF012 one receiver a process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
            if len(rest) < length:
                return
            now, body, self.buffer = time.time_ns(), rest[:length], rest[length:]
            arguments = json.loads(body)["payload"]["custom_details"]["arguments"]
            self.arrived.setdefault(arguments["number"], now)
            self.transport.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n{"status":"success"}')


def percentiles(nanoseconds: list[int]) -> dict[str, float]:
    """p50, p99 and the largest, in milliseconds."""
    cuts = statistics.quantiles(nanoseconds, n=100, method="inclusive")
    return {
        name: round(value / 1e6, 2) for name, value in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(nanoseconds)))
    }


async def run(calls: int, folder: Path) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    receiver = await loop.create_server(Receiver, "127.0.0.1", 0)
    port = receiver.sockets[0].getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FOREWARN_")},
        "FOREWARN_PAGERDUTY_ROUTING_KEY": "0" * 32,
        "FOREWARN_PAGERDUTY_URL": f"http://127.0.0.1:{port}/v2/enqueue",
    }
    command = [str(Path(sys.executable).with_name("forewarn")), "serve", "--json", "--data", str(folder / "data")]
    command += ["--http", "127.0.0.1:0", "--store-http", "127.0.0.1:0"]
    serve = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment, cwd=folder)
    try:
        assert serve.stdout
        ready = json.loads(await serve.stdout.readline())
        environment |= {
            "FOREWARN_ENDPOINT": ready["http"],
            "FOREWARN_KEY": ready["keys"]["production"],
            "FOREWARN_SPOOL": str(folder / "spool"),
        }
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AGENT, str(calls), stdout=subprocess.PIPE, env=environment, cwd=folder
        )
        output, _ = await agent.communicate()
        if agent.returncode:
            sys.exit(f"the agent ended with status {agent.returncode}")
        called = {line["number"]: line for line in map(json.loads, output.splitlines()) if line["number"] >= 0}
        deadline = loop.time() + 30
        while not called.keys() <= Receiver.arrived.keys() and loop.time() < deadline:  # noqa: ASYNC110 a protocol has no task to wait for
            await asyncio.sleep(0.05)
    finally:
        serve.terminate()
        await serve.wait()
        receiver.close()
    missing = called.keys() - Receiver.arrived.keys()
    if missing:
        sys.exit(f"{len(missing)} of {len(called)} pages did not arrive")
    return {
        "calls": len(called),
        "call_to_page_ms": percentiles([Receiver.arrived[n] - line["called"] for n, line in called.items()]),
        "added_to_the_call_ms": percentiles([line["started"] - line["called"] for line in called.values()]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(run(options.calls, Path(folder)))
    if options.json:
        print(json.dumps(result))
        return
    for name in ("call_to_page_ms", "added_to_the_call_ms"):
        print(f"{name:22s} " + "  ".join(f"{key} {value:7.2f}" for key, value in result[name].items()))


if __name__ == "__main__":
    main()
