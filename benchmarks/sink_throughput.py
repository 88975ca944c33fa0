"""
Spans per second from the log to the store: decoded by the engine, against decoded in Python.

Both sides run the same road (`Sink.step`) over the same log into the same tables on disk, everything on (text index,
deduplication, fsync), merges included: the clock stops when the last merge has ended. Sides alternate within one run.

    python benchmarks/sink_throughput.py --spans 200000 --rounds 3
    python benchmarks/sink_throughput.py --json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from otlp_corpus import SPANS_PER_REQUEST, Corpus
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


@dataclass(frozen=True)
class Run:
    """One side, once."""

    spans_per_s: float
    cpu_us_per_span: float
    bytes_per_span: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the stores are made (a disk, not a RAM disk)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    requests = list(Corpus().requests(arguments.spans))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        report = compare(Path(folder), requests, rounds=arguments.rounds)
    print(json.dumps(report) if arguments.json else text(report))
    sys.stdout.flush()
    os._exit(0)  # chDB's own threads make an orderly end slow; everything is on disk and on the screen


def compare(folder: Path, requests: list[bytes], *, rounds: int) -> dict[str, object]:
    runs: dict[str, list[Run]] = {"zero_decode": [], "python": []}
    for number in range(rounds):
        for side, kind in (("zero_decode", EmbeddedStore), ("python", PythonDecodingStore)):
            runs[side].append(run(kind(folder, database=f"{side}_{number}"), requests))
    medians = {side: statistics.median(each.spans_per_s for each in done) for side, done in runs.items()}
    return {
        "spans": len(requests) * SPANS_PER_REQUEST,
        "request_bytes_per_span": round(sum(map(len, requests)) / len(requests) / SPANS_PER_REQUEST),
        "zero_decode": [asdict(each) for each in runs["zero_decode"]],
        "python": [asdict(each) for each in runs["python"]],
        "spans_per_s": {side: round(value) for side, value in medians.items()},
        "ratio": round(medians["zero_decode"] / medians["python"], 2),
        "python_us_per_span_of_zero_decode": round(python_us_per_span(requests), 3),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def run(store: EmbeddedStore, requests: list[bytes]) -> Run:
    log = MemoryLog()
    for request in requests:
        log.append(Topic.SPANS, request, headers=HEADERS).result()
    store.migrate()
    sink = Sink(log, store)
    cpu, began = _cpu_s(), time.perf_counter()
    while sink.step():
        pass
    wait_for_merges(store)
    took, cpu = time.perf_counter() - began, _cpu_s() - cpu
    spans = len(requests) * SPANS_PER_REQUEST
    database = store.query("SELECT currentDatabase()").rows[0][0]
    on_disk = store.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()")
    result = Run(round(spans / took), round(cpu / spans * 1e6, 2), round(on_disk.rows[0][0] / spans, 1))
    store.query(f"DROP DATABASE {database} SYNC")
    store.close()
    return result


def wait_for_merges(store: EmbeddedStore) -> None:
    while store.query("SELECT count() FROM system.merges").rows[0][0]:
        time.sleep(0.02)


def python_us_per_span(requests: list[bytes]) -> float:
    """What this process does to a batch before the engine has it: stamps, frames, token, memory file; best of five."""
    records = [Record(Topic.SPANS, 0, offset, value, headers=HEADERS) for offset, value in enumerate(requests[:40])]
    took = []
    for _ in range(5):
        with stopwatch() as watch:
            token(records)
            with as_file(frames(records)):
                pass
        took.append(watch[0])
    return min(took) / len(records) / SPANS_PER_REQUEST * 1e6


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    took = [0.0]
    began = time.perf_counter()
    yield took
    took[0] = time.perf_counter() - began


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def text(report: dict[str, object]) -> str:
    lines = [f"{report['spans']} spans, {report['request_bytes_per_span']} B each; {report['machine']}"]
    for side in ("zero_decode", "python"):
        lines += [f"  {side:12s} {each}" for each in report[side]]  # type: ignore[attr-defined] # the report is plain data
    lines.append(f"medians {report['spans_per_s']}, ratio {report['ratio']}")
    lines.append(f"Python's share of zero-decode: {report['python_us_per_span_of_zero_decode']} us per span")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
