"""
OTLP over gRPC: the same road as over HTTP, and the same answers in gRPC's words.

The one message of a call is taken as a stream of one, so that nothing of it is read before its key is known; its bytes
go down the road as they came. gRPC's own decompression is off (`options`): it happens where all bodies are unpacked.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # googleapis-common-protos has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from forewarn.conventions import LANE_HEADER, LANE_STARTS, Topic
from forewarn_collector.gateway.admission import Admission
from forewarn_collector.gateway.compression import Coding
from forewarn_collector.gateway.errors import BadPayload, Refused
from forewarn_collector.gateway.incoming import Hold, Sent
from forewarn_collector.gateway.payload import Form, MediaType

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_GZIP_BEGINS: Final = b"\x1f\x8b"
"""No protobuf message begins so: it would be a field of wire type 7, and there is none."""
_BEFORE_IT_CAME: Final = 4 << 20
"""What a message is taken to hold until its size is known: more than most senders' limit."""
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
else:
    Handler = grpc.GenericRpcHandler


def options(max_body: int, *, connections: int) -> list[tuple[str, int]]:
    """What a gRPC server for `TraceService` needs: bounds for whoever has not shown a key yet."""
    return [
        ("grpc.max_receive_message_length", max_body),
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", 0b101),  # identity and gzip: deflate has no mark of its own
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.absolute_max_metadata_size", 64 << 10),
        ("grpc.max_concurrent_streams", 256),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 75_000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.so_reuseport", 0),  # else a second process on the same port would be given half of the senders
    ]


class TraceService(Handler):
    """`Export`, and nothing else."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if handler_call_details.method != EXPORT:
            return None
        return grpc.stream_unary_rpc_method_handler(self._export)

    async def _export(self, messages: AsyncIterator[bytes], context: Any) -> bytes:
        metadata = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        topic = Topic.STARTS if metadata.get(LANE_HEADER) == LANE_STARTS else Topic.SPANS
        metrics = self._admission.metrics
        with metrics.in_flight.track_inprogress():
            try:
                admitted = await self._admission.admit(OverGrpc(messages, metadata), topic)
            except Refused as refusal:
                code = _CODES[refusal.rpc_code]
                metrics.requests.labels(EXPORT, code.name).inc()
                await context.abort(code, f"{refusal} {refusal.do}", _trailers(refusal))
        metrics.requests.labels(EXPORT, grpc.StatusCode.OK.name).inc()
        rejected = admitted.payload.rejected
        return rejected.response().SerializeToString() if rejected else b""


class OverGrpc:
    """A call of `Export`."""

    def __init__(self, messages: AsyncIterator[bytes], metadata: Mapping[str, str]) -> None:
        self._messages = messages
        self._metadata = metadata

    @property
    def authorization(self) -> str:
        return self._metadata.get("authorization", "")

    async def body(self, *, limit: int, hold: Hold) -> Sent:
        hold(min(limit, _BEFORE_IT_CAME))
        async for message in self._messages:
            hold(len(message))
            coding = Coding.GZIP if message.startswith(_GZIP_BEGINS) else Coding.IDENTITY
            return Sent(message, Form(MediaType.PROTOBUF, coding))
        raise BadPayload("The call carries no message.", do="Send one ExportTraceServiceRequest.")


def _trailers(refusal: Refused) -> tuple[tuple[str, bytes], ...]:
    """
    When to come back, where one may; RESOURCE_EXHAUSTED without it means never.

    https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-throttling has it in the status; Python's exporter looks for the
    detail alone.
    """
    if refusal.retry_after_s is None:
        return ()
    after = RetryInfo(retry_delay=Duration(seconds=math.ceil(refusal.retry_after_s)))
    detail = AnyMessage()
    detail.Pack(after)
    status = Status(code=refusal.rpc_code, message=str(refusal), details=[detail])
    return (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("google.rpc.retryinfo-bin", after.SerializeToString()),
    )
