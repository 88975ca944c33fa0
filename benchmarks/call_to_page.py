"""
From a destructive tool call to the page: SDK, gateway, log, watcher, incident, delivery, all durable on disk.

Processes as in production: the agent, `forewarn serve`, and the receiver of the pages (this one); with `--bulk`, also a
sender of 512-span bodies at that rate through the same gateway, with the rate that was acknowledged beside it. The time
is taken right before the agent calls the tool and when the page has arrived whole. p50 and p99 over all calls, and the
same for the time that the acknowledged record adds to the call. Idle and bulk take turns, each on a fresh server.

    python benchmarks/call_to_page.py [--calls 400] [--bulk 0,30000] [--rounds 2] [--json]
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from measuring import Report, file_system, numbers, parser, quantiles
from serving import act, bulk, paging

_PAGES_WITHIN_S = 60


async def run(calls: int, rate: int, folder: Path) -> dict[str, Any]:
    """One server, one agent: nanoseconds of each call, and what the bulk came to."""
    async with paging(folder) as (server, arrived):
        async with bulk(server, rate) as outcome:
            made = await act(server, "--calls", str(calls), "--pause", "10,30")
            deadline = asyncio.get_running_loop().time() + _PAGES_WITHIN_S
            wanted = {call["number"] for call in made}
            while not wanted <= arrived.keys() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 a protocol has no task to wait for
                await asyncio.sleep(0.05)
        if missing := wanted - arrived.keys():
            raise SystemExit(f"{len(missing)} of {len(wanted)} pages did not arrive")
        return {
            "to page": [arrived[call["number"]] - call["called"] for call in made],
            "added to call": [call["begun"] - call["called"] for call in made],
            **outcome,
        }


def rows(runs: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    told = []
    for rate, done in runs.items():
        for what in ("to page", "added to call"):
            times = quantiles([each for one in done for each in one[what]], divisor=1e6)
            said = {"what": what, "bulk spans/s": rate} | {f"{name} ms": value for name, value in times.items()}
            achieved = ", ".join(f"{one['spans_per_s']:,}" for one in done) if rate else "idle"
            told.append(said | {"calls": sum(len(one[what]) for one in done), "achieved spans/s": achieved})
    return told


def doubts(runs: dict[int, list[dict[str, Any]]]) -> list[str]:
    """What a reader must not miss about the bulk."""
    said = []
    for rate, done in runs.items():
        for one in done:
            if one.get("refused"):
                said.append(f"bulk at {rate:,} spans/s: refused, by status: {one['refused']}")
            if rate and one["spans_per_s"] < 0.9 * rate:
                said.append(f"bulk at {rate:,} spans/s: only {one['spans_per_s']:,} were taken: its limit here")
    return said


async def alternate(calls: int, rates: list[int], *, rounds: int, folder: Path) -> dict[int, list[dict[str, Any]]]:
    runs: dict[int, list[dict[str, Any]]] = {rate: [] for rate in rates}
    for _ in range(rounds):
        for rate, done in runs.items():
            done.append(await run(calls, rate, folder))
    return runs


def main() -> None:
    options = parser(__doc__, disk=True)
    options.add_argument("--calls", type=int, default=400, help="of each run, 10 to 30 ms apart")
    options.add_argument("--bulk", type=numbers, default=[0, 30_000], help="spans a second besides; 0: idle")
    options.add_argument("--rounds", type=int, default=1, help="runs of each")
    given = options.parse_args()
    kind = file_system(given.folder)
    runs = asyncio.run(alternate(given.calls, given.bulk, rounds=given.rounds, folder=given.folder))
    Report("From the call to the page", rows(runs), [f"file system: {kind}", *doubts(runs)]).show(as_json=given.json)


if __name__ == "__main__":
    main()
