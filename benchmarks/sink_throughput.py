"""
Spans per second and CPU per span from the log to the store: decoded by the engine, against decoded in Python.

Both sides use the same road (`Sink.step`) over the same log into the same tables on disk, everything on (text index,
deduplication, fsync), merges included: the clock stops when the last merge has ended. Sides alternate within one run.
`--sustained` lets the engine alone go on for ten times as long, told in windows, so that merges have to keep up.

    python benchmarks/sink_throughput.py [--spans 200000] [--rounds 3] [--folder DISK] [--json]
    python benchmarks/sink_throughput.py --sustained [--spans 2000000]
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Report, file_system, parser
from otlp_corpus import SPANS_PER_REQUEST, History
from python_decoding import PythonDecodingStore

from forewarn.conventions import Stamp, Topic
from forewarn_collector.batches import token
from forewarn_collector.log.interface import Record
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.sink import Sink
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.framing import frames
from forewarn_collector.store.handover import as_file

HEADERS = {Stamp.ENVIRONMENT: b"production", Stamp.KEY_ID: b"production_1", Stamp.RECEIVED_AT: b"1790000000000000000"}


BASE_SPANS = 200_000
"""A longer history is this one again under other ids, later."""
WINDOW_SPANS = 200_000


@dataclass(frozen=True)
class Run:
    """One side, once. `windows`: spans per second while it lasted; the whole also waits for the last merge."""

    spans_per_s: float
    cpu_us_per_span: float
    bytes_per_span: float
    windows: list[float]


def compare(folder: Path, requests: list[bytes], *, rounds: int) -> Report:
    runs: dict[str, list[Run]] = {"engine": [], "python": []}
    for number in range(rounds):
        for side, kind in (("engine", EmbeddedStore), ("python", PythonDecodingStore)):
            runs[side].append(run(kind(folder, database=f"{side}_{number}"), requests))
    rows = [row(f"decoded by the {side}", done) for side, done in runs.items()]
    ratio = rows[0]["spans/s"] / rows[1]["spans/s"]
    notes = [
        f"ratio of spans/s: {ratio:.2f} (goal: >= 2.4)",
        f"Python's time per span, decoded by the engine: {python_us_per_span(requests):.3f} us (goal: <= 0.5)",
    ]
    return Report(f"From the log to the store, {count(requests):,} spans", rows, notes)


def sustain(folder: Path, requests: list[bytes]) -> Report:
    done = run(EmbeddedStore(folder, database="sustained"), requests)
    windows = [
        {"what": f"about {number * WINDOW_SPANS:,} spans on", "spans/s": round(rate)}
        for number, rate in enumerate(done.windows)
    ]
    whole = [row("all, to the end of the last merge", [done])]
    notes = ["goal: >= 50,000 spans/s", f"texts of {BASE_SPANS:,} spans, told again under other ids and later"]
    return Report(f"Sustained, everything on, {count(requests):,} spans", [*windows, *whole], notes)


def row(what: str, done: Sequence[Run]) -> dict[str, Any]:
    rates = [each.spans_per_s for each in done]
    return {
        "what": what,
        "spans/s": round(statistics.median(rates)),
        "least": round(min(rates)),
        "most": round(max(rates)),
        "cpu us/span": round(statistics.median(each.cpu_us_per_span for each in done), 2),
        "disk B/span": round(statistics.median(each.bytes_per_span for each in done), 1),
        "runs": len(done),
    }


def count(requests: list[bytes]) -> int:
    return len(requests) * SPANS_PER_REQUEST


def run(store: EmbeddedStore, requests: list[bytes]) -> Run:
    log = MemoryLog()
    for request in requests:
        log.append(Topic.SPANS, request, headers=HEADERS).result()
    store.migrate()
    sink = Sink(log, store)
    cpu, began = cpu_s(), time.perf_counter()
    windows = step_through(sink)
    wait_for_merges(store)
    took, cpu = time.perf_counter() - began, cpu_s() - cpu
    spans = count(requests)
    on_disk = bytes_on_disk(store)
    store.query(f"DROP DATABASE {store.query('SELECT currentDatabase()').rows[0][0]} SYNC")
    store.close()
    return Run(round(spans / took), round(cpu / spans * 1e6, 2), round(on_disk / spans, 1), windows)


def step_through(sink: Sink) -> list[float]:
    """Spans per second of each window until nothing is left."""
    rates, moved, began = [], 0, time.perf_counter()
    while records := sink.step():
        moved += records * SPANS_PER_REQUEST
        if moved >= WINDOW_SPANS:
            rates.append(moved / (time.perf_counter() - began))
            moved, began = 0, time.perf_counter()
    return rates


def wait_for_merges(store: EmbeddedStore) -> None:
    while store.query("SELECT count() FROM system.merges").rows[0][0]:
        time.sleep(0.02)


def bytes_on_disk(store: EmbeddedStore) -> int:
    sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()"
    found: int = store.query(sql).rows[0][0]
    return found


def python_us_per_span(requests: list[bytes]) -> float:
    """
    What this process does to a batch before the engine has it: stamps, frames, token, memory file; best of five.

    Of half of the largest batch: the store gives each of two threads that much.
    """
    records = [Record(Topic.SPANS, 0, offset, value, headers=HEADERS) for offset, value in enumerate(requests[:20])]
    took = []
    for _ in range(5):
        began = time.perf_counter()
        token(records)
        with as_file(frames(records)):
            pass
        took.append(time.perf_counter() - began)
    return min(took) / len(records) / SPANS_PER_REQUEST * 1e6


def cpu_s() -> float:
    """Of this whole process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def told(spans: int) -> list[bytes]:
    history = History.of(min(spans, BASE_SPANS))
    return [body for number in range(-(-spans // history.spans)) for body in history.copy(number)]


def main() -> None:
    options = parser(__doc__, disk=True)
    options.add_argument(
        "--spans", type=int, default=None, help="default 200000; with --sustained 2000000 (3 GB of memory)"
    )
    options.add_argument("--rounds", type=int, default=3, help="runs of each side, in turns")
    options.add_argument("--sustained", action="store_true", help="the engine alone, for longer")
    given = options.parse_args()
    file_system(given.folder)
    requests = told(given.spans or (2_000_000 if given.sustained else BASE_SPANS))
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="forewarn-bench-", ignore_cleanup_errors=True) as home:
        folder = Path(home)
        report = sustain(folder, requests) if given.sustained else compare(folder, requests, rounds=given.rounds)
    report.show(as_json=given.json)
    sys.stdout.flush()
    os._exit(0)  # chDB's own threads make an orderly end slow; everything is on the screen


if __name__ == "__main__":
    main()
