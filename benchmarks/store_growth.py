"""
What a span costs as the store grows: CPU of its insert, time of an insert, and how long the named questions take.

The store gets batches as large as the sink makes them, through the same call, everything on (text index, side tables,
deduplication, fsync). Each column is the state at that size: the CPU per span is of all since the column before, merges
included to the last one, without the making of the data, which happens in a thread beside it. Questions are asked over
the last day of what is stored; each several times, after one that is not counted.

History is a corpus of different texts (`--base`), told again under other ids, each copy later by the corpus' own length
(3.7 hours for 200,000 spans): a span of days as in production, with texts that repeat.

An interrupted run goes on where it was when it is called with the same `--folder`; the end removes what it made there.

    python benchmarks/store_growth.py [--at 1000000,10000000] [--folder DISK] [--json]      50 M: --at 1000000,50000000
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

from measuring import Report, file_system, numbers, parser, quantiles
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_corpus import History
from sink_throughput import bytes_on_disk, cpu_s, wait_for_merges

from forewarn.conventions import Stamp, Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.sink import Pace
from forewarn_collector.store.clickhouse import EmbeddedStore

_BYTES_PER_SPAN = 700
"""On disk at the worst moment: stored twice while parts are merged."""
_BATCH_BYTES = Pace().max_bytes
_HISTORY_NS = 120 * 86_400 * 1_000_000_000
"""How long ago the first span was; more than the copies of 50 million spans need."""
_ASKED = 7
_DAY_S = 86_400
_LAST_TIMES = 200
"""How many inserts before a column its insert times are of."""


@dataclass
class Progress:
    """What a run has done; kept in its folder, so that the next call goes on."""

    base: int
    start_ns: int
    copies: int = 0
    cpu_s: float = 0.0
    spans: int = 0
    insert_ms: list[float] = field(default_factory=list)
    columns: dict[str, dict[str, float]] = field(default_factory=dict)

    def keep(self, path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)


class Growth:
    """One store that grows from size to size."""

    def __init__(self, folder: Path, base: int) -> None:
        self._file = folder / "progress.json"
        if self._file.is_file():
            self.progress = Progress(**json.loads(self._file.read_text()))
            print(f"going on with {self.progress.spans:,} spans", file=sys.stderr, flush=True)
        else:
            self.progress = Progress(base, time.time_ns() - _HISTORY_NS)
        self._history = History.of(self.progress.base, start_ns=self.progress.start_ns)
        self._store = EmbeddedStore(folder / "store", database="growth")
        self._store.migrate()
        self._maker = ThreadPoolExecutor(1)

    def to(self, size: int) -> None:
        """Load until so many spans are stored, then measure; a size that was measured before is not loaded again."""
        if str(size) in self.progress.columns:
            return
        cpu_before, spans_before = self._last()
        while self.progress.spans < size:
            rate = self._load_a_copy()
            print(f"{self.progress.spans:,} of {size:,} spans, {rate:,.0f}/s", file=sys.stderr, flush=True)
        cpu = cpu_s()
        wait_for_merges(self._store)
        self.progress.cpu_s += cpu_s() - cpu
        column = {"cpu us/span": (self.progress.cpu_s - cpu_before) / (self.progress.spans - spans_before) * 1e6}
        column |= {f"insert {name} ms": value for name, value in quantiles(self.progress.insert_ms).items()}
        column["disk B/span"] = bytes_on_disk(self._store) / self.progress.spans
        column |= self._ask()
        column |= {"_cpu_s": self.progress.cpu_s, "_spans": self.progress.spans}
        self.progress.columns[str(size)] = column
        self.progress.keep(self._file)

    def close(self) -> None:
        self._maker.shutdown()
        self._store.close()

    def _last(self) -> tuple[float, int]:
        columns = list(self.progress.columns.values())
        return (columns[-1]["_cpu_s"], int(columns[-1]["_spans"])) if columns else (0.0, 0)

    def _load_a_copy(self) -> float:
        """Spans per second, with the making of the data on the same machine."""
        number, began = self.progress.copies, time.monotonic()
        batches: Queue[list[Record]] = Queue(maxsize=2)
        cpu = cpu_s()
        made_in_s = self._maker.submit(self._make, number, batches)
        while batch := batches.get():
            inserting = time.perf_counter()
            # The same token when a copy is loaded again after a crash: what is stored of it is not stored twice.
            self._store.insert_spans(batch, token=f"growth-{number}-{batch[0].offset}")
            self.progress.insert_ms.append((time.perf_counter() - inserting) * 1e3)
        self.progress.cpu_s += cpu_s() - cpu - made_in_s.result()
        self.progress.insert_ms = self.progress.insert_ms[-_LAST_TIMES:]
        self.progress.copies += 1
        self.progress.spans += self._history.spans
        self.progress.keep(self._file)
        return self._history.spans / (time.monotonic() - began)

    def _make(self, number: int, batches: Queue[list[Record]]) -> float:
        """Batches as the sink forms them, and an empty one at the end; returns the CPU seconds that this took."""
        began = time.thread_time()
        batch: list[Record] = []
        try:
            for record in self._records(number):
                batch.append(record)
                if sum(len(each.value) for each in batch) >= _BATCH_BYTES:
                    batches.put(batch)
                    batch = []
            if batch:
                batches.put(batch)
        finally:
            batches.put([])
        return time.thread_time() - began

    def _records(self, number: int) -> Iterator[Record]:
        """Received when they happened, so that a day of history is a day of arrivals."""
        each_ns = self._history.length_ns // len(self._history.bodies)
        for offset, body in enumerate(self._history.copy(number)):
            arrived_ns = self.progress.start_ns + number * self._history.length_ns + (offset + 1) * each_ns
            stamps = {
                Stamp.ENVIRONMENT: b"production",
                Stamp.KEY_ID: b"production_1",
                Stamp.RECEIVED_AT: str(arrived_ns).encode(),
            }
            yield Record(Topic.SPANS, 0, offset, body, headers=stamps, timestamp_ns=arrived_ns)

    def _ask(self) -> dict[str, float]:
        """Milliseconds of each question, medians."""
        return {f"{what} ms": self._median_ms(name, given) for what, (name, given) in self._questions().items()}

    def _median_ms(self, name: str, given: dict[str, Any]) -> float:
        taken = []
        for _ in range(_ASKED + 1):
            began = time.perf_counter()
            self._store.query(name, given)
            taken.append((time.perf_counter() - began) * 1e3)
        return statistics.median(taken[1:])

    def _questions(self) -> dict[str, tuple[str, dict[str, Any]]]:
        newest_ns = self.progress.start_ns + self.progress.copies * self._history.length_ns
        since = round(time.time() - newest_ns / 1e9) + _DAY_S
        words = _words(self._history.bodies[0])
        last = {"since": since}
        return {
            "trace, newest": ("trace", {"prefix": self._trace_id(self.progress.copies - 1)}),
            "trace, oldest": ("trace", {"prefix": self._trace_id(0)}),
            "traces": ("traces", last),
            "destructive-calls": ("destructive-calls", last),
            "reasoning-search": ("reasoning-search", {"words": words, **last}),
            "calls-by-tool": ("calls-by-tool", last),
            "started-never-ended": ("started-never-ended", last),
            "agents": ("agents", last),
        }

    def _trace_id(self, number: int) -> str:
        request = ExportTraceServiceRequest.FromString(next(self._history.copy(number)))
        return request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()


def _words(body: bytes) -> str:
    """Two long words of one thought."""
    spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    thought = max((each.value.string_value for each in spans[0].attributes), key=len)
    return " ".join(sorted(set(thought.split()), key=len)[-2:])


def rows(columns: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A row a measure, a column a size; behind them how the last compares with the first."""
    sizes = list(columns)
    told: list[dict[str, Any]] = []
    for what in columns[sizes[0]]:
        if not what.startswith("_"):
            values = [columns[size][what] for size in sizes]
            cells = {f"{int(size):,}": round(value, 2) for size, value in zip(sizes, values, strict=True)}
            told.append({"measure": what, **cells, "last / first": round(values[-1] / values[0], 2)})
    return told


def check_disk(folder: Path, spans: int) -> None:
    needed, free = spans * _BYTES_PER_SPAN, shutil.disk_usage(folder).free
    print(f"disk: up to {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free", file=sys.stderr, flush=True)
    if needed > free:
        sys.exit(f"not enough room in {folder}: name another with --folder, or fewer spans with --at")


def main() -> None:
    options = parser(__doc__, disk=True)
    options.add_argument(
        "--at", type=numbers, default=[1_000_000, 10_000_000], help="stored spans to measure at, rising"
    )
    options.add_argument("--base", type=int, default=200_000, help="spans of different texts")
    given = options.parse_args()
    kind = file_system(given.folder)
    check_disk(given.folder, max(given.at))
    home = given.folder / "forewarn-store-growth"
    home.mkdir(exist_ok=True)
    growth = Growth(home, given.base)
    for size in given.at:
        growth.to(size)
    growth.close()
    columns = {size: column for size, column in growth.progress.columns.items() if int(size) in given.at}
    notes = [
        f"file system: {kind}; texts of {growth.progress.base:,} spans, told again under other ids and later",
        f"insert times: the last {_LAST_TIMES} before each column, up to {_BATCH_BYTES >> 20} MiB each",
        f"questions: over the last day of what is stored, median of {_ASKED}; started-never-ended finds nothing here",
    ]
    Report("What a span costs as the store grows", rows(columns), notes).show(as_json=given.json)
    shutil.rmtree(home)
    sys.stdout.flush()
    os._exit(0)  # chDB's own threads make an orderly end slow; everything is on the screen


if __name__ == "__main__":
    main()
