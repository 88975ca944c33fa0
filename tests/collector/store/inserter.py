"""Makes one insert into a store of its own, and says by writes of its own when that begins and when it has returned."""

import os
import sys
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.store.clickhouse import EmbeddedStore

request = ExportTraceServiceRequest()
for number in range(1, int(sys.argv[2]) + 1):
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"t" * 16, number.to_bytes(8, "big"), "execute_tool look"
    span.start_time_unix_nano = 1_790_000_000_000_000_000
    span.attributes.add(key="gen_ai.operation.name").value.string_value = "execute_tool"
    span.attributes.add(key="gen_ai.tool.call.result").value.string_value = "x" * 1000

store = EmbeddedStore(Path(sys.argv[1]))
store.migrate()
os.write(1, b"begin\n")
store.insert_spans([Record(Topic.SPANS, 0, 0, request.SerializeToString(), timestamp_ns=1)], token="one")
os.write(1, b"end\n")
store.close()
