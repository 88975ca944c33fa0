"""
Memory of `forewarn serve`: when it has started, under bulk at a set rate, and when that is over.

RSS counts every page that is mapped; PSS shares those that other processes map, too; anonymous is what only this
process can have. All processes of the server are added up. One sample each half second.

    python benchmarks/memory.py [--rate 30000] [--seconds 60] [--idle 15] [--json]
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from measuring import Report, file_system, parser
from serving import bulk, serving

_EVERY_S = 0.5
_KINDS = ("Rss", "Pss", "Anonymous")
GOALS = {"idle": "<= 450 MB", "under bulk": "<= 2 GB"}


def sample(pid: int) -> dict[str, float]:
    """Megabytes of a process and its children."""
    total = dict.fromkeys(_KINDS, 0.0)
    for each in [pid, *descendants(pid)]:
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in total:
                total[name] += int(value.split()[0]) / 1024
    return total


def descendants(pid: int) -> list[int]:
    children = [int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]
    return children + [each for child in children for each in descendants(child)]


async def watch(pid: int, seconds: float) -> list[dict[str, float]]:
    samples = []
    for _ in range(max(1, round(seconds / _EVERY_S))):
        await asyncio.sleep(_EVERY_S)
        samples.append(sample(pid))
    return samples


async def run(rate: int, seconds: float, idle: float, folder: Path) -> list[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="forewarn-bench-", ignore_cleanup_errors=True) as home,
        serving(Path(home)) as server,
    ):
        rows = [row("idle", await watch(server.pid, idle))]
        async with bulk(server, rate) as outcome:
            samples = await watch(server.pid, seconds)
        rows.append(row("under bulk", samples) | {"achieved spans/s": outcome["spans_per_s"]})
        rows.append(row("idle again", await watch(server.pid, idle)))
    return rows


def row(when: str, samples: list[dict[str, float]]) -> dict[str, Any]:
    medians = {f"{kind} MB": round(statistics.median(each[kind] for each in samples)) for kind in _KINDS}
    return (
        {"when": when} | medians | {"most Rss MB": round(max(each["Rss"] for each in samples)), "goal": GOALS.get(when)}
    )


def main() -> None:
    options = parser(__doc__, disk=True)
    options.add_argument("--rate", type=int, default=30_000, help="spans a second")
    options.add_argument("--seconds", type=float, default=60, help="of bulk")
    options.add_argument("--idle", type=float, default=15, help="seconds before and after")
    given = options.parse_args()
    kind = file_system(given.folder)
    rows = asyncio.run(run(given.rate, given.seconds, given.idle, given.folder))
    notes = [f"file system: {kind}", "medians of the samples; most: the largest sample"]
    Report("Memory of one server", rows, notes).show(as_json=given.json)


if __name__ == "__main__":
    main()
