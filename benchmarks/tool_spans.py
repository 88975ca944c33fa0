"""
One contestant of `sdk_peers.py`, in the Python of its own environment: a tool that does nothing, as it records it.

Each is used as its own documents say, with its own defaults, and exports to nowhere. Turns are taken with raw
OpenTelemetry and with the bare function, in this process. Prints one JSON object.

    <python of the environment> benchmarks/tool_spans.py logfire --calls 2000 --repetitions 15
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from measuring import interleaved
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from raw_span import NoExport, Tool, measure, raw, silent_provider, write_report

NOWHERE = "http://127.0.0.1:9"
"""An address for what insists on one; with the exporters replaced, nothing is sent there."""


def forewarn() -> Tool:
    return _forewarn()


def forewarn_light() -> Tool:
    return _forewarn(spans="light")


def _forewarn(**options: Any) -> Tool:
    import forewarn as sdk

    sdk.configure("benchmark", environment="test", spool=_scratch(), tracer_provider=silent_provider(), **options)
    agent = sdk.agent("reporter")
    agent.__enter__()  # for the life of this process
    return sdk.tool(effect="read")(write_report)


def logfire() -> Tool:
    import logfire as peer
    from logfire._internal.exporters.remove_pending import RemovePendingSpansExporter

    # Wrapped as logfire wraps its own exporter: that is what turns its record at the start on, as it is by default.
    exporter = SimpleSpanProcessor(RemovePendingSpansExporter(NoExport()))
    peer.configure(send_to_logfire=False, console=False, additional_span_processors=[exporter])
    return peer.instrument("write_report")(write_report)


def langfuse() -> Tool:
    from langfuse import Langfuse, observe

    Langfuse(public_key="pk-lf-none", secret_key="none", base_url=NOWHERE, span_exporter=NoExport())
    return observe(as_type="tool")(write_report)


def traceloop() -> Tool:
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import tool

    Traceloop.init(app_name="benchmark", exporter=NoExport(), telemetry_enabled=False)
    return tool(name="write_report")(write_report)


def openinference() -> Tool:
    from openinference.instrumentation import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(NoExport()))
    return provider.get_tracer("benchmark").tool(write_report)


def openlit() -> Tool:
    import openlit as peer
    from opentelemetry import trace

    trace.set_tracer_provider(silent_provider())  # it takes the application's provider if there is one
    prices = Path(_scratch()) / "prices.json"  # fetched from the network otherwise
    prices.write_text("{}")
    peer.init(application_name="benchmark", disable_metrics=True, disable_events=True, pricing_json=str(prices))
    return peer.trace(write_report)


def mlflow() -> Tool:
    os.environ["MLFLOW_TRACKING_URI"] = NOWHERE  # else it looks for a store that this package does not ship, every call
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = NOWHERE + "/v1/traces"
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    import mlflow as peer
    from mlflow.tracing import provider

    provider.get_otlp_exporter = NoExport  # the only way to name an exporter; its own store would cost more
    return peer.trace(write_report, span_type="TOOL")


def agento11y() -> Tool:
    from agento11y import Client, ClientConfig, GenerationExportConfig, ToolExecutionStart

    client = Client(ClientConfig(GenerationExportConfig(protocol="none"), tracer_provider=silent_provider()))

    def call(path: str, content: str, mode: str) -> int:
        start = ToolExecutionStart(
            tool_name="write_report", tool_call_id="call_1", tool_type="function", include_content=True
        )
        with client.start_tool_execution(start) as recorder:
            result = write_report(path, content, mode)
            recorder.set_result(arguments={"path": path, "content": content, "mode": mode}, result=result)
        return result

    return call


CONTESTANTS: dict[str, tuple[Callable[[], Tool], str]] = {
    "forewarn": (forewarn, "forewarn"),
    "forewarn-light": (forewarn_light, "forewarn"),
    "logfire": (logfire, "logfire"),
    "langfuse": (langfuse, "langfuse"),
    "traceloop": (traceloop, "traceloop-sdk"),
    "openinference": (openinference, "openinference-instrumentation"),
    "openlit": (openlit, "openlit"),
    "mlflow": (mlflow, "mlflow-tracing"),
    "agento11y": (agento11y, "agento11y"),
}
"""Name -> how its recorded tool is made, and the distribution whose version is told."""


def compare(name: str, calls: int, repetitions: int) -> dict[str, object]:
    make, distribution = CONTESTANTS[name]
    recorded = make()
    sides = {"bare": write_report, "raw": raw(silent_provider()), "recorded": recorded}
    for side in sides.values():
        measure(side, calls)
    taken = interleaved({each: lambda side=side: measure(side, calls) for each, side in sides.items()}, repetitions)
    return {
        **taken,
        "cpu_us": _cpu_us(recorded, calls),
        "version": metadata.version(distribution),
        "opentelemetry": metadata.version("opentelemetry-sdk"),
        "python": platform.python_version(),
    }


def _cpu_us(call: Tool, calls: int) -> float:
    """Of the whole process, the peer's own threads included, as far as they keep up."""
    began = time.process_time()
    measure(call, calls)
    return (time.process_time() - began) / calls * 1e6


def _scratch() -> str:
    return tempfile.mkdtemp(prefix="forewarn-bench-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    print(json.dumps(compare(options.name, options.calls, options.repetitions)))
    sys.stdout.flush()
    os._exit(0)  # peers wait at exit for servers that do not exist


if __name__ == "__main__":
    main()
