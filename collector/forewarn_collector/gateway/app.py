"""
The gateway as a bare ASGI application: `POST /v1/traces`, and the three paths that machines look at.

Nothing temporary is ever answered with 500: OTLP clients throw a request away on 500, and repeat it on 429 and 503.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # googleapis-common-protos has no stubs

from forewarn.conventions import LANE_HEADER, LANE_STARTS, TRACES_PATH, Topic
from forewarn_collector.gateway.admission import Admission, Admitted
from forewarn_collector.gateway.asgi import Answer, Receive, Scope, Send, header, lifespan, require
from forewarn_collector.gateway.errors import NotFound, Refused, SenderGone
from forewarn_collector.gateway.health import Health, Probe, healthy, log_probe, metrics_page
from forewarn_collector.gateway.incoming import OverHttp
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.gateway.limits import Limits
from forewarn_collector.gateway.metrics import CODE_SENDER_GONE, GatewayMetrics
from forewarn_collector.gateway.payload import MediaType
from forewarn_collector.gateway.redaction import Redactor
from forewarn_collector.log.interface import Log

_LANE: Final = LANE_HEADER.encode()
_ALL_TAKEN: Final = {
    MediaType.PROTOBUF: Answer(200, b"", MediaType.PROTOBUF),
    MediaType.JSON: Answer(200, b"{}", MediaType.JSON),
}


class Gateway:
    """OTLP/HTTP in, a log out. `checks` are further things that `/readyz` asks, by name."""

    def __init__(  # noqa: PLR0913  what a door is made of, each with a default of its own
        self,
        log: Log,
        keys: KeyRing,
        *,
        limits: Limits | None = None,
        redactor: Redactor | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        metrics: GatewayMetrics | None = None,
        checks: Mapping[str, Probe] | None = None,
    ) -> None:
        self.admission = Admission(log, keys, limits=limits, redactor=redactor, clock_ns=clock_ns, metrics=metrics)
        self._metrics = self.admission.metrics
        probes = {"log": log_probe(log, self.admission.appends), "doors": self.admission.draining.trouble}
        self._health = Health({**probes, **(checks or {})})

    def close(self) -> None:
        """When no request is in hand any more."""
        self.admission.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        path = scope["path"]
        if path == TRACES_PATH:
            await self._traces(scope, receive, send)
            return
        try:
            answer = await self._page(scope, path)
        except Refused as refusal:
            answer = _in_otlp(refusal, MediaType.JSON)
        await answer.send(send)

    async def _traces(self, scope: Scope, receive: Receive, send: Send) -> None:
        media_type = _spoken(scope)
        with self._metrics.in_flight.track_inprogress():
            try:
                require(scope, "POST")
                topic = Topic.STARTS if header(scope, _LANE) == LANE_STARTS else Topic.SPANS
                answer = _taken(await self.admission.admit(OverHttp(scope, receive), topic), media_type)
            except Refused as refusal:
                answer = _in_otlp(refusal, media_type)
            except SenderGone:
                self._metrics.requests.labels(TRACES_PATH, CODE_SENDER_GONE).inc()
                return
        self._metrics.requests.labels(TRACES_PATH, str(answer.status)).inc()
        await answer.send(send)

    async def _page(self, scope: Scope, path: str) -> Answer:
        if path not in {"/healthz", "/readyz", "/metrics"}:
            raise NotFound(f"There is nothing at {path!r}.", do=f"Send spans to {TRACES_PATH}.")
        require(scope, "GET", "HEAD")
        if path == "/healthz":
            return healthy()
        if path == "/readyz":
            return await self._health.readiness()
        return metrics_page(self._metrics.registry)


def _spoken(scope: Scope) -> MediaType:
    """The form to answer in: the request's own, protobuf when that is none of ours."""
    is_json = header(scope, b"content-type").partition(";")[0].strip().lower() == MediaType.JSON
    return MediaType.JSON if is_json else MediaType.PROTOBUF


def _taken(admitted: Admitted, media_type: MediaType) -> Answer:
    """An ExportTraceServiceResponse; an empty one says that everything was taken."""
    rejected = admitted.payload.rejected
    if not rejected:
        return _ALL_TAKEN[media_type]
    if media_type is MediaType.PROTOBUF:
        return Answer(200, rejected.response().SerializeToString(), media_type)
    return Answer(200, MessageToJson(rejected.response(), indent=None).encode(), media_type)


def _in_otlp(refusal: Refused, media_type: MediaType) -> Answer:
    """A `google.rpc.Status`, as OTLP asks of every answer that is not 200."""
    text = f"{refusal} {refusal.do}"
    if media_type is MediaType.JSON:
        return Answer.json(refusal.status, {"code": refusal.rpc_code, "message": text}, refusal.headers())
    body = Status(code=refusal.rpc_code, message=text).SerializeToString()
    return Answer(refusal.status, body, media_type, tuple(refusal.headers()))
