"""
`POST /v1/intents`: one start record in, and an answer that names what was made durable, so that the call may start.

The answer carries the SHA-256 of the body as it was received (decompressed): an acknowledgement names what it
acknowledges. What the log holds of it may be written anew, or with its secrets replaced. Whoever sent other bytes, or
was answered by something else on the way, has not been cleared. The decision is part of the answer; for now there is
only one.
"""

from __future__ import annotations

import hashlib

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from forewarn.conventions import INTENTS_PATH, RECORD, Decision, RecordKind, Topic
from forewarn_collector.gateway.admission import Admission, Admitted
from forewarn_collector.gateway.asgi import Answer, Receive, Scope, Send, lifespan, require
from forewarn_collector.gateway.errors import BadPayload, NotFound, Refused, SenderGone
from forewarn_collector.gateway.incoming import OverHttp
from forewarn_collector.gateway.metrics import CODE_SENDER_GONE
from forewarn_collector.gateway.payload import Payload


class Intents:
    """The ASGI application at `INTENTS_PATH`; it shares the gateway's `admission`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        metrics = self._admission.metrics
        with metrics.in_flight.track_inprogress():
            try:
                answer = _cleared(await self._admit(scope, receive))
            except Refused as refusal:
                answer = Answer.json(refusal.status, {"error": str(refusal), "do": refusal.do}, refusal.headers())
            except SenderGone:
                metrics.requests.labels(INTENTS_PATH, CODE_SENDER_GONE).inc()
                return
        metrics.requests.labels(INTENTS_PATH, str(answer.status)).inc()
        await answer.send(send)

    async def _admit(self, scope: Scope, receive: Receive) -> Admitted:
        if scope["path"] != INTENTS_PATH:
            raise NotFound(f"There is nothing at {scope['path']!r}.", do=f"Send start records to {INTENTS_PATH}.")
        require(scope, "POST")
        return await self._admission.admit(OverHttp(scope, receive), Topic.STARTS, check=_require_one_start)


def _cleared(admitted: Admitted) -> Answer:
    """What the SDK compares with what it sent."""
    received = admitted.payload.whole.received if admitted.payload.whole else b""
    return Answer.json(
        200,
        {
            "digest": hashlib.sha256(received).hexdigest(),
            "decision": Decision.ALLOW,
            "rule": None,
            "reason": "",
            "environment": admitted.key.environment,
            "recorded_at_unix_nano": admitted.appended.timestamp_ns,
        },
    )


def _require_one_start(payload: Payload) -> None:
    """Refuse everything but one readable start record: what is answered here is one call."""
    if payload.rejected:
        raise BadPayload("The span has no usable ids.", do=payload.rejected.why)
    if payload.whole is None:
        raise BadPayload("An intent is one start record; the body holds more.", do="Send one span.")
    request = payload.whole.request
    spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    if len(spans) != 1:
        raise BadPayload(f"An intent is one start record; the body holds {len(spans)} spans.", do="Send one span.")
    if not _is_start(spans[0]):
        raise BadPayload(
            "The span is no start record.",
            do=f"Send it with the attribute {RECORD}={RecordKind.START} and no end time.",
        )


def _is_start(span: Span) -> bool:
    marked = any(a.key == RECORD and a.value.string_value == RecordKind.START for a in span.attributes)
    return marked and span.end_time_unix_nano == 0
