"""
What the tests of several rooms share.

chDB opens one folder per process, so all tests that need the embedded store share one (`store_home`) and each takes a
database of its own in it.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from forewarn.conventions import Stamp, Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.store.clickhouse import EmbeddedStore

_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="faults and attacks at their full size (minutes) instead of the few that show that they work",
    )

    parser.addoption(
        "--require-parts",
        action="store_true",
        help="a test that is skipped because something is not installed (`needs ...`) fails",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--require-parts"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if reason.startswith("Skipped: needs "):
            report.outcome = "failed"
            report.longrepr = f"{reason}; it is required here (--require-parts)"
    return report


@pytest.fixture(scope="session")
def strace() -> str:
    """The program that tells which system calls another one makes."""
    return shutil.which("strace") or pytest.skip("needs strace, of the package of that name")


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether to run faults and attacks at their full size."""
    return bool(pytestconfig.getoption("--thorough"))


@pytest.fixture(scope="session")
def store_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder of this process's chDB; pass it to `EmbeddedStore` together with a database name of your own."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def store(store_home: Path) -> Iterator[EmbeddedStore]:
    """An empty, migrated store."""
    database = f"test_{next(_numbers)}"
    store = EmbeddedStore(store_home, database=database)
    store.migrate()
    yield store
    store.query(f"DROP DATABASE {database} SYNC")
    store.close()


@dataclass(frozen=True)
class Requests:
    """Builds OTLP requests and the log records that carry them."""

    start_ns: int = 1_790_000_000_000_000_000

    def span(self, number: int = 1, *, ended: bool = True, trace: int = 1, **fields: Any) -> Span:
        """Span `number` of trace `trace`; it begins `number` milliseconds after `start_ns` and takes half of one."""
        start = self.start_ns + number * 1_000_000
        span = Span(
            trace_id=trace.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            name="execute_tool drop_table",
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 500_000 if ended else 0,
        )
        attributes = fields.pop(
            "attributes", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "drop_table"}
        )
        for name, value in fields.items():
            setattr(span, name, value)
        for name, value in attributes.items():
            span.attributes.append(KeyValue(key=name, value=_any_value(value)))
        return span

    def request(self, *spans: Span, resource: Mapping[str, Any] | None = None) -> bytes:
        """One request with one resource and one scope."""
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        told = {"service.name": "janitor", "service.instance.id": "one"} if resource is None else resource
        for name, value in told.items():
            resource_spans.resource.attributes.append(KeyValue(key=name, value=_any_value(value)))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = "forewarn"
        scope_spans.spans.extend(spans)
        return request.SerializeToString()

    def record(self, *spans: Span, offset: int = 0, environment: str = "production", **kwargs: Any) -> Record:
        """What the log holds of such a request."""
        headers = {
            Stamp.ENVIRONMENT: environment.encode(),
            Stamp.KEY_ID: f"{environment}_1".encode(),
            Stamp.RECEIVED_AT: str(self.start_ns).encode(),
        }
        return Record(
            Topic.SPANS, 0, offset, self.request(*spans, **kwargs), headers=headers, timestamp_ns=self.start_ns
        )


def _any_value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value={"values": [_any_value(each) for each in value]})
        case dict():
            pairs = [KeyValue(key=name, value=_any_value(each)) for name, each in value.items()]
            return AnyValue(kvlist_value={"values": pairs})
        case None:
            return AnyValue()
        case _:
            return AnyValue(string_value=value)


@pytest.fixture(scope="session")
def otlp() -> Requests:
    return Requests()
