"""
Realistic OTLP requests for the benchmarks: agents that think, call tools and come back, seeded, the same on every run.

A request holds 512 spans of about 1.4 KB: for each round one chat span with its reasoning and one or two tool calls,
of which each is a start record and an end record. Text is drawn from a fixed vocabulary with a skewed frequency, so
that it compresses and indexes somewhat as prose does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from forewarn import conventions as names

SPANS_PER_REQUEST = 512
_SYLLABLES = [
    "ta",
    "re",
    "mi",
    "no",
    "su",
    "ka",
    "lo",
    "ven",
    "dra",
    "pel",
    "qui",
    "sor",
    "ba",
    "ne",
    "ti",
    "um",
    "fal",
    "gor",
    "ist",
    "ent",
    "pro",
    "con",
    "der",
    "mag",
]
_TOOLS = {
    "list_tables": "read",
    "run_query": "read",
    "read_file": "read",
    "write_file": "write",
    "drop_table": "destructive",
}
_AGENTS = ("janitor", "janitor > cleaner", "planner > researcher", "support")


@dataclass
class Corpus:
    """Endless requests; `start_ns` is when the first trace begins."""

    seed: int = 1
    start_ns: int = 1_790_000_000_000_000_000
    tools: Mapping[str, str] = field(default_factory=lambda: dict(_TOOLS))
    """Name -> effect of the tools that are called."""
    environments: tuple[str, ...] = ("staging", "production", "production")
    """What the senders claim, in turn."""
    _random: random.Random = field(init=False)
    _vocabulary: list[str] = field(init=False)
    _now_ns: int = field(init=False)
    _sequence: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._vocabulary = [
            "".join(self._random.choices(_SYLLABLES, k=self._random.randint(1, 4))) for _ in range(6000)
        ]
        self._now_ns = self.start_ns

    def requests(self, spans: int) -> Iterator[bytes]:
        """As many requests as hold at least so many spans."""
        for _ in range(-(-spans // SPANS_PER_REQUEST)):
            yield self._request().SerializeToString()

    @property
    def now_ns(self) -> int:
        """When the last span of the last request began."""
        return self._now_ns

    def _request(self) -> ExportTraceServiceRequest:
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        number = self._random.randrange(40)
        told = {
            names.SERVICE_NAME: f"service-{number % 12}",
            names.SERVICE_INSTANCE_ID: f"instance-{number}",
            names.HOST_NAME: f"host-{number % 7}",
            names.DEPLOYMENT_ENVIRONMENT_NAME: self.environments[number % len(self.environments)],
            names.SDK_NAME: "opentelemetry",
            names.SDK_VERSION: "1.45.2",
            "telemetry.sdk.language": "python",
            "os.type": "linux",
            "process.runtime.name": "cpython",
            "process.runtime.version": "3.11.7",
        }
        for name, value in told.items():
            resource_spans.resource.attributes.add(key=name).value.string_value = value
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = "forewarn"
        while len(scope_spans.spans) < SPANS_PER_REQUEST:
            self._trace(scope_spans)
        del scope_spans.spans[SPANS_PER_REQUEST:]
        return request

    def _trace(self, into: ScopeSpans) -> None:
        trace_id, root = self._random.randbytes(16), self._random.randbytes(8)
        agent = self._random.choice(_AGENTS)
        began = self._now_ns
        for _ in range(self._random.randint(2, 6)):
            reasoning = self._text(500, 1500)
            thought = self._span(into, trace_id, root, name="reason", agent=agent)
            self._say(thought, {names.OPERATION_NAME: "reason", names.REASONING: reasoning})
            for _ in range(self._random.randint(1, 2)):
                self._call(into, trace_id, root, agent=agent, reasoning=reasoning)
        span = self._span(into, trace_id, b"", name=f"invoke_agent {agent}", agent=agent)
        span.span_id, span.start_time_unix_nano = root, began
        self._say(span, {names.OPERATION_NAME: "invoke_agent"})

    def _call(self, into: ScopeSpans, trace_id: bytes, parent: bytes, *, agent: str, reasoning: str) -> None:
        tool = self._random.choice(list(self.tools))
        end = self._span(into, trace_id, parent, name=f"execute_tool {tool}", agent=agent)
        arguments = {"query": self._text(150, 600), "limit": self._random.randrange(1000), "force": True}
        said: dict[str, str | int | bool] = {
            names.OPERATION_NAME: "execute_tool",
            names.TOOL_NAME: tool,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL_ID: f"call_{self._random.randbytes(12).hex()}",
            names.TOOL_CALL_ARGUMENTS: json.dumps(arguments),
            names.REASONING: reasoning[:700],
            names.REASONING_SPAN_ID: self._random.randbytes(8).hex(),
            names.EFFECT: self.tools[tool],
            names.EFFECT_SOURCE: "declared",
            names.CALL_DIGEST: self._random.randbytes(32).hex(),
            names.DECISION: "allow",
            "thread.id": self._random.randrange(1 << 40),
            "thread.name": "MainThread",
        }
        self._say(end, said)
        start = into.spans.add()
        start.CopyFrom(end)
        start.end_time_unix_nano = 0
        self._say(start, {names.RECORD: "start"})
        self._say(end, {names.OUTCOME: "ok", names.TOOL_CALL_RESULT: json.dumps({"rows": self._text(50, 300)})})

    def _span(self, into: ScopeSpans, trace_id: bytes, parent: bytes, *, name: str, agent: str) -> Span:
        self._now_ns += self._random.randint(1_000_000, 200_000_000)
        took = self._random.randint(500_000, 900_000_000)
        span = into.spans.add(
            trace_id=trace_id,
            span_id=self._random.randbytes(8),
            parent_span_id=parent,
            name=name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=self._now_ns,
            end_time_unix_nano=self._now_ns + took,
        )
        self._sequence += 1
        leaf = agent.rpartition(names.AGENT_PATH_SEPARATOR)[2]
        self._say(span, {names.AGENT_NAME: leaf, names.AGENT_PATH: agent, names.SEQUENCE: self._sequence})
        return span

    def _say(self, span: Span, said: dict[str, str | int | bool] | dict[str, str]) -> None:
        for name, value in said.items():
            into = span.attributes.add(key=name).value
            if isinstance(value, bool):
                into.bool_value = value
            elif isinstance(value, int):
                into.int_value = value
            else:
                into.string_value = value

    def _text(self, least: int, most: int) -> str:
        """Words up to a length; the square makes low numbers, hence some words, far more frequent."""
        length, words = self._random.randint(least, most), ""
        while len(words) < length:
            words += self._vocabulary[int(self._random.random() ** 2 * len(self._vocabulary))] + " "
        return words[:length]


@dataclass(frozen=True)
class History:
    """
    A corpus told again and again, each time later by its own length and under other trace ids: cheaper than new text.

    Texts, digests and sequence numbers repeat from copy to copy; rows, ids and times do not.
    """

    bodies: list[bytes]
    length_ns: int

    @classmethod
    def of(cls, spans: int, *, start_ns: int = Corpus.start_ns) -> History:
        corpus = Corpus(start_ns=start_ns)
        return cls(list(corpus.requests(spans)), corpus.now_ns - start_ns)

    @property
    def spans(self) -> int:
        """How many one copy has."""
        return len(self.bodies) * SPANS_PER_REQUEST

    def copy(self, number: int) -> Iterator[bytes]:
        """Copy 0 is the corpus itself."""
        for body in self.bodies:
            yield _later(body, number * self.length_ns, number) if number else body


def _later(body: bytes, by_ns: int, number: int) -> bytes:
    request = ExportTraceServiceRequest.FromString(body)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.trace_id = (int.from_bytes(span.trace_id, "big") ^ (number << 64)).to_bytes(16, "big")
        span.start_time_unix_nano += by_ns
        if span.end_time_unix_nano:
            span.end_time_unix_nano += by_ns
    return request.SerializeToString()
