"""
What the acknowledgement adds to a destructive call, against a real `forewarn serve` on a data folder of its own.

The tool begins once the gateway has answered that the start record is on the disk. Calls with pauses between them, as
an agent makes them; one after the other; and from several threads at once. Beside them, in turns, what they stand on:
a bare HTTP round trip to the same server, and a bare write and sync on the same disk, each with the same pauses.

    python benchmarks/acknowledged_call.py [--calls 400] [--threads 8] [--rounds 3] [--json]
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3
from measuring import Report, file_system, parser, quantiles
from serving import Server, act, paging

PAUSE_MS = (10, 30)
GOALS = {"acknowledged, paused": "p50 <= 2 ms, p99 <= 6 ms"}


async def run(calls: int, threads: int, rounds: int, folder: Path) -> list[dict[str, Any]]:
    paused = ("--pause", "{},{}".format(*PAUSE_MS))
    modes = {
        "acknowledged, paused": paused,
        "acknowledged, one after the other": (),
        f"acknowledged, {threads} threads": ("--threads", str(threads)),
    }
    taken: dict[str, list[int]] = {name: [] for name in [*modes, "bare HTTP round trip, paused", "bare sync, paused"]}
    seconds = dict.fromkeys(modes, 0.0)
    first = 0
    async with paging(folder) as (server, _):
        for _ in range(rounds):
            for name, options in modes.items():
                made = await act(server, "--calls", str(calls), "--first", str(first), *options)
                first += calls
                taken[name] += [call["begun"] - call["called"] for call in made]
                seconds[name] += (max(call["ended"] for call in made) - min(call["called"] for call in made)) / 1e9
            taken["bare HTTP round trip, paused"] += await asyncio.to_thread(round_trips, server, calls)
            taken["bare sync, paused"] += await asyncio.to_thread(syncs, server, calls)
    return [
        {"what": name}
        | {f"{cut} ms": value for cut, value in quantiles(times, divisor=1e6).items()}
        | {"calls": len(times), "calls/s": round(len(times) / seconds[name]) if name in seconds else None}
        | {"goal": GOALS.get(name)}
        for name, times in taken.items()
    ]


def round_trips(server: Server, calls: int) -> list[int]:
    with urllib3.PoolManager(maxsize=1, retries=False) as pool:
        return spread(lambda: pool.request("GET", f"{server.http}/healthz").data, calls)


def syncs(server: Server, calls: int) -> list[int]:
    descriptor = os.open(server.folder / "synced", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    record = os.urandom(800)

    def write_and_sync() -> None:
        os.write(descriptor, record)
        os.fdatasync(descriptor)

    try:
        return spread(write_and_sync, calls)
    finally:
        os.close(descriptor)


def spread(call: Callable[[], object], calls: int) -> list[int]:
    taken = []
    for _ in range(calls):
        time.sleep(random.uniform(*PAUSE_MS) / 1000)
        began = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - began)
    return taken


def main() -> None:
    options = parser(__doc__, disk=True)
    options.add_argument("--calls", type=int, default=400, help="in each turn")
    options.add_argument("--threads", type=int, default=8)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    kind = file_system(given.folder)
    rows = asyncio.run(run(given.calls, given.threads, given.rounds, given.folder))
    notes = [f"file system: {kind}", "each call is an incident of its own, and is paged meanwhile"]
    Report("Added to a call by its acknowledgement", rows, notes).show(as_json=given.json)


if __name__ == "__main__":
    main()
