"""
`python -m tests.simulation.against_the_store FOLDER`: the model of the store beside the store, insert by insert.

The promises of the road are asked of the model; they mean something only as far as the store counts as it does. So the
same batches, cut at random, repeated under their tokens and under others, go into both.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from tests.simulation.stores import ModelStore
from tests.simulation.truth import Violation

from forewarn import conventions as c
from forewarn.recording.records import Opening, template
from forewarn.recording.wire import export_request, resource, scope_message, span_field
from forewarn_collector.log.interface import Record
from forewarn_collector.store.clickhouse import EmbeddedStore

_TABLES = ("spans", "calls", "trace_times")
_SHAPES = [
    template(f"{operation} it", {c.OPERATION_NAME: operation, c.TOOL_NAME: "it", c.EFFECT: "write"})
    for operation in (c.OPERATION_EXECUTE_TOOL, c.OPERATION_EXECUTE_TOOL, c.OPERATION_REASON)
]


def main() -> None:
    chance = Random(4711)
    real, model = EmbeddedStore(Path(sys.argv[1]), database="compared"), ModelStore()
    real.migrate()
    records = [_record(chance, offset) for offset in range(80)]
    used: list[tuple[str, list[Record]]] = []
    for _ in range(60):
        if used and chance.random() < 0.3:
            token, batch = chance.choice(used)
        else:
            first = chance.randrange(len(records))
            batch = records[first : first + chance.choice((1, 3, 20))]
            token = f"{batch[0].offset}-{batch[-1].offset}-{chance.randrange(3)}"
            used.append((token, batch))
        for store in (real, model):
            store.insert_spans(batch, token=token)
        counted = {table: real.query(f"SELECT count() FROM {table}").rows[0][0] for table in _TABLES}
        expected = {table: model.counts()[table] for table in _TABLES}
        if counted != expected:
            raise Violation(f"after {token}: the store counts {counted}, its model {expected}")
    real.close()
    print(expected)


def _record(chance: Random, offset: int) -> Record:
    """One request of a few starts and ends, of few enough spans that they come again."""
    spans = b""
    for _ in range(chance.randrange(1, 4)):
        number = chance.randrange(1, 60)
        ids = (number % 7 + 1).to_bytes(16, "big"), number.to_bytes(8, "big"), b""
        begun = Opening(ids, _SHAPES[number % len(_SHAPES)], 1_800_000_000_000_000_000 + number)
        is_start = chance.random() < 0.5
        spans += span_field(
            begun.start_record(number) if is_start else begun.end_record(number, 1_800_000_001_000_000_000)
        )
    request = export_request(resource({c.SERVICE_NAME: "janitor"}), scope_message("forewarn", "1"), spans)
    return Record(c.Topic.SPANS, 0, offset, request, headers={c.Stamp.ENVIRONMENT: b"production"}, timestamp_ns=1)


if __name__ == "__main__":
    main()
