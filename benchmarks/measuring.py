"""
What every benchmark shares: contestants take turns, times become quantiles, and a report is a table or one JSON object.

Only the standard library: it also runs in the virtual environments of the peers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Report:
    """The outcome of one benchmark: rows of the same keys, and what a reader must know about them."""

    title: str
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def show(self, *, as_json: bool) -> None:
        told = asdict(self) | {"machine": machine()}
        print(json.dumps(told) if as_json else f"{self.title}\n{machine()}\n\n{table(self.rows)}", flush=True)
        if not as_json and self.notes:
            print("\n" + "\n".join(f"* {note}" for note in self.notes), flush=True)


def parser(description: str | None, *, disk: bool = False) -> argparse.ArgumentParser:
    """The module's docstring as its help, `--json`, and for what writes to a disk `--folder`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # processes are ended and folders removed on the way out
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    if disk:
        temporary = Path(tempfile.gettempdir())
        made.add_argument(
            "--folder", type=Path, default=temporary, help=f"on the disk to measure (default {temporary})"
        )
    return made


def numbers(text: str) -> list[int]:
    """An option's `1,8`."""
    return [int(each) for each in text.split(",")]


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def interleaved(sides: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """What each side took, with the sides taking turns, so that a slow moment of the machine hits all of them."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, side in sides.items():
            taken[name].append(side())
    return taken


def quantiles(values: Sequence[float], *, divisor: float = 1.0, digits: int = 2) -> dict[str, float]:
    """p50, p99 and the largest; fewer than a hundred values make the p99 nearly the largest."""
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    chosen = {"p50": cuts[49], "p99": cuts[98], "max": max(values)}
    return {name: round(value / divisor, digits) for name, value in chosen.items()}


@dataclass(frozen=True)
class Timed:
    """What a number of threads did with a list of calls: the time of each that ended well, and what the others said."""

    nanoseconds: list[int]
    calls_per_s: float
    faults: list[str]


def timed(calls: Sequence[Callable[[], object]], threads: int = 1) -> Timed:
    """Make each call once, shared out over the threads, which begin together."""
    together = threading.Barrier(threads + 1)
    taken: list[int] = []
    faults: list[str] = []
    workers = [
        threading.Thread(target=_work, args=(calls[number::threads], taken, faults, together))
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    together.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return Timed(taken, round(len(taken) / (time.perf_counter() - began), 1), faults)


def _work(
    calls: Iterable[Callable[[], object]], taken: list[int], faults: list[str], together: threading.Barrier
) -> None:
    together.wait()
    for call in calls:
        began = time.perf_counter_ns()
        try:
            call()
        except Exception as fault:  # noqa: BLE001 a contestant's own failure is a result
            faults.append(f"{type(fault).__name__}: {fault}"[:200])
        else:
            taken.append(time.perf_counter_ns() - began)


_FOREIGN = ("FOREWARN_", "OTEL_", "LANGFUSE_", "LOGFIRE_", "TRACELOOP_", "OPENLIT_", "MLFLOW_", "AGENTO11Y_")


def clean_environment() -> dict[str, str]:
    """Ours without what would set a contestant up differently from the next machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }


def file_system(folder: Path) -> str:
    """The kind of disk under a folder; one in memory syncs nothing, and is refused."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    kind = max(holding, key=lambda mount: len(mount[0]))[1]
    if kind in {"tmpfs", "ramfs"}:
        raise SystemExit(f"{folder} is in memory ({kind}), where a sync costs nothing: name a disk with --folder")
    return kind


def run_json(command: Sequence[str | Path], *, cwd: Path | None = None) -> dict[str, Any]:
    """The JSON object that a program of ours prints as its last line; its failure says the program's last words."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=cwd, env=clean_environment(), check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return {"failed": said[-1].strip() if said else f"ended with status {done.returncode}"}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Columns as wide as their widest cell, text to the left, numbers to the right; notes come last."""
    names = list(dict.fromkeys(name for row in rows for name in row if row[name] is not None))
    names.sort(key="note".__eq__)
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    is_text = [any(isinstance(row.get(name), str) for row in rows) for name in names]
    lines = [
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, is_text, strict=True)
        ).rstrip()
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
