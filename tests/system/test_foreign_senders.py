"""
Packages that nobody here wrote, exporting by themselves to a real server: by HTTP and gRPC, protobuf and JSON, gzip and
none. All send at once; the last that is sent is paged and stored last, so that what came before it is settled.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from forewarn_collector.store.decoding import attribute_value

SENDERS = Path(__file__).parents[1] / "foreign/senders"
TOOLS = "tools:\n  - name: 'drop_*'\n    effect: destructive\n"
LANGSMITH = {
    "LANGSMITH_TRACING": "true",
    "LANGSMITH_OTEL_ENABLED": "true",
    "LANGSMITH_OTEL_ONLY": "true",
    "LANGSMITH_API_KEY": "none",
    "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
}


@dataclass(frozen=True)
class Sender:
    """How one of them is run, and what it sends of one call."""

    script: tuple[str, ...]
    transport: str
    compression: str
    agent: str = "janitor"
    arguments: Any = field(default_factory=lambda: {"name": "customers"})
    """What they were, or where they are a text of one bare value, that."""
    inside: str = ""
    """The key of the envelope under which they are."""

    def read(self, arguments: Any) -> Any:
        return arguments[self.inside] if self.inside else arguments


EXPORTING = {
    "openinference": Sender(("langgraph_agent", "openinference"), "http", "gzip", agent="", arguments="customers"),
    "openllmetry": Sender(("langgraph_agent", "openllmetry"), "grpc", "none", inside="inputs"),
    "langsmith": Sender(("langsmith_runs",), "http", "none", agent=""),
    "logfire": Sender(("pydantic_agent", "logfire"), "grpc", "gzip"),
    "pydantic-ai-2": Sender(("pydantic_agent", "2"), "http", "none"),
    "pydantic-ai-5": Sender(("pydantic_agent", "5"), "http", "gzip"),
}
IN_JSON = {
    "in-json": Sender(("pydantic_agent", "5"), "json", "none"),
    "in-json-gzip": Sender(("langgraph_agent", "openinference"), "json", "gzip", agent="", arguments="customers"),
}
"""No exporter of OTLP/JSON is installed: what the package sends is written in JSON as the specification maps it."""
ALL = EXPORTING | IN_JSON

ODD: dict[str, Any] = {
    "nested": [["a", ["b", []]], [1, -1]],
    "bytes": bytes(range(256)),
    "kvlist": {"deep": {"list": [{"n": 1}], "empty": {}, "bytes": b"\xff"}, "": "no name"},
    "unicode": "\u00fc \U0001f600 \u202e \x00 \u2028",
    "marked": "otlp:array;base64,AAAA",
    "empty": "",
}
LIMITS = {"least": -(1 << 63), "most": (1 << 63) - 1, "zero": 0}


def in_json(body: bytes) -> bytes:
    """OTLP/JSON: protobuf's own, but for ids, which are hexadecimal."""
    request = ExportTraceServiceRequest.FromString(body)
    document = MessageToDict(request)
    for group, plain in zip(request.resource_spans, document["resourceSpans"], strict=True):
        for scope, scope_plain in zip(group.scope_spans, plain["scopeSpans"], strict=True):
            for span, written in zip(scope.spans, scope_plain["spans"], strict=True):
                ids = {"traceId": span.trace_id, "spanId": span.span_id, "parentSpanId": span.parent_span_id}
                written.update({name: value.hex() for name, value in ids.items() if value})
    return json.dumps(document).encode()


class House:
    """The server, and the ways in."""

    def __init__(self, serve: Any, pagers: Any) -> None:
        self.serve, self.pagers = serve, pagers
        (serve.folder / "tools.yaml").write_text(TOOLS)
        serve.environment |= {"FOREWARN_TOOLS": str(serve.folder / "tools.yaml"), "FOREWARN_GRPC": "127.0.0.1:0"}
        serve.start()
        self.key = serve.key("production")
        doors = json.loads((serve.data / "endpoints.json").read_text())
        self.http, self.grpc = doors["http"], doors["grpc"]

    def run(self, name: str) -> None:
        """The package as a process that knows no more than OpenTelemetry's own settings."""
        sender = ALL[name]
        script, *arguments = sender.script
        where = "stdout" if sender.transport == "json" else sender.transport
        settings = {
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.grpc if sender.transport == "grpc" else self.http,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{self.key}",
        }
        if sender.compression == "gzip":  # the exporter by gRPC does not know the word "none"
            settings["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", SENDERS / f"{script}.py", *arguments, where],
            capture_output=True, check=False, timeout=120,
            env=os.environ | settings | (LANGSMITH if script == "langsmith_runs" else {}),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        if sender.transport == "json":
            self.post(in_json(done.stdout), "application/json", sender.compression)

    def post(self, body: bytes, content_type: str, compression: str) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": content_type}
        if compression == "gzip":
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        with urlopen(Request(f"{self.http}/v1/traces", body, headers), timeout=30) as answer:
            assert answer.status == 200

    def call(self, request: ExportTraceServiceRequest, compression: grpc.Compression) -> None:
        with grpc.insecure_channel(self.grpc.removeprefix("http://")) as channel:
            metadata = (("authorization", f"Bearer {self.key}"),)
            answer = TraceServiceStub(channel).Export(request, timeout=30, metadata=metadata, compression=compression)
        assert answer.partial_success.rejected_spans == 0

    def pages(self, service: str) -> list[str]:
        """The incident of each page about a call of that service."""
        return [page["dedup_key"] for page in self.pagers.pagerduty if f'"{service}"' in json.dumps(page)]


def odd_call(otlp: Any, service: str, number: int) -> ExportTraceServiceRequest:
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "drop_table"}
    said |= {"gen_ai.tool.call.arguments": ODD["kvlist"], **ODD, **LIMITS}
    body = otlp.request(otlp.span(number, trace=number, attributes=said), resource={"service.name": service})
    request = ExportTraceServiceRequest.FromString(body)
    request.resource_spans[0].scope_spans[0].scope.name = "somebody"
    return request


ODD_BY = ("odd-http", "odd-json", "odd-grpc")


@pytest.fixture(scope="module")
def house(shared_serve: Any, otlp: Any) -> House:
    """Everything has been sent, stored and paged."""
    house = House(*shared_serve)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(house.run, ALL))
    by_http, by_json, by_grpc = (odd_call(otlp, service, number) for number, service in enumerate(ODD_BY, 1))
    house.post(by_http.SerializeToString(), "application/x-protobuf", "none")
    house.post(in_json(by_json.SerializeToString()), "application/json", "none")
    house.call(by_grpc, grpc.Compression.Gzip)
    return house


@pytest.fixture
def settled(house: House, eventually: Any) -> House:
    """The last that was sent is in the store and has been paged."""
    last = ODD_BY[-1]
    eventually(lambda: house.serve.sql(f"SELECT 1 FROM spans WHERE service = '{last}'"), within_s=60)
    eventually(lambda: house.pages(last), within_s=60)
    return house


@pytest.mark.parametrize("name", ALL)
def test_a_call_is_stored_whoever_sends_it_and_however(settled: House, name: str) -> None:
    """
    One row per call, with tool, arguments that can be read, agent, and the effect that the list gives it.
    """
    sender = ALL[name]

    columns = "tool, agent, effect, effect_source, record, arguments"
    rows = settled.serve.sql(f"SELECT {columns} FROM spans WHERE service = '{name}' AND operation = 'execute_tool'")
    [calls] = settled.serve.sql(f"SELECT count(), any(tool), any(effect) FROM calls WHERE service = '{name}'")

    assert calls == (1, "drop_table", "destructive")
    assert [row[:5] for row in rows] == [("drop_table", sender.agent, "destructive", "tool_list", "end")]
    arguments = rows[0][5]
    assert (arguments if isinstance(sender.arguments, str) else sender.read(json.loads(arguments))) == sender.arguments


@pytest.mark.parametrize("name", ALL)
def test_a_call_pages_once_whoever_sends_it(settled: House, name: str) -> None:
    """
    A call that the list says is destructive pages, exactly once; a pending span and its end are one call.
    """
    pages = settled.pages(name)

    assert (len(pages), len(set(pages))) == (1, 1)


@pytest.mark.parametrize("name", ["pydantic-ai-5", "logfire", "in-json"])
def test_what_the_model_thought_is_shown_before_the_call(settled: House, name: str) -> None:
    """
    The timeline has the model's thought as a step, ahead of the call that it led to.
    """
    found = f"SELECT DISTINCT lower(hex(trace_id)) FROM spans WHERE service = '{name}' AND reasoning != ''"
    [(trace_id,)] = settled.serve.sql(found)

    story = json.loads(settled.serve.command("traces", "show", trace_id, "--json"))

    steps = [(entry["kind"], entry["what"]) for entry in story["entries"] if entry["kind"] in ("reasoning", "call")]
    assert steps == [("reasoning", "customers looks stale"), ("call", 'drop_table(name="customers")')]


@pytest.mark.parametrize("service", ODD_BY)
def test_odd_values_come_through_every_door_whole(settled: House, service: str) -> None:
    """
    Nested lists, maps, bytes, the limits of 64 bits and any text read back as what was sent.
    """
    [(attributes, arguments)] = settled.serve.sql(
        f"SELECT attributes, arguments FROM spans WHERE service = '{service}'"
    )

    assert attribute_value(arguments) == ODD["kvlist"]
    assert {name: attribute_value(attributes[name]) for name in ODD} == ODD
    assert {name: int(attributes[name]) for name in LIMITS} == LIMITS
    assert attributes.keys() == ODD.keys() | LIMITS.keys()
