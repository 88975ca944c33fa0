"""The gateway's metrics: every name once, with its type and meaning."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REQUESTS: Final = "forewarn_gateway_requests_total"
"""Counter by `path` (of gRPC, the method) and `code`: answered, or given up by their sender (`CODE_SENDER_GONE`)."""
BODY_BYTES: Final = "forewarn_gateway_body_bytes_total"
"""Counter by `topic`: bytes handed to the log and durable there (after decompression)."""
APPEND_SECONDS: Final = "forewarn_gateway_append_seconds"
"""Histogram by `topic`: from handing a request to the log until it was durable."""
IN_FLIGHT: Final = "forewarn_gateway_requests_in_flight"
"""Gauge: requests begun and not yet answered."""

LIMITED: Final = "forewarn_gateway_limited_total"
"""Counter by `key` and `limit`: requests of a valid key that were told to come back, because it met a limit."""
KEYS_REFUSED: Final = "forewarn_gateway_keys_refused_total"
"""Counter by `why`: requests refused for their key: missing, unknown, wrong, revoked, expired."""
REJECTED_SPANS: Final = "forewarn_gateway_rejected_spans_total"
"""Counter by `key`: spans without usable ids that were left out of requests that were taken."""
REDACTED: Final = "forewarn_gateway_redacted_total"
"""Counter by `key`: credentials that were replaced in what was sent."""

CODE_SENDER_GONE: Final = "499"
"""What nginx made the usual code for it."""

_APPEND_BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)


class GatewayMetrics:
    """The metrics on one registry. Make one, and give it to everything that admits requests."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = Counter(REQUESTS, "Requests answered.", ["path", "code"], registry=self.registry)
        self.body_bytes = Counter(BODY_BYTES, "Bytes made durable.", ["topic"], registry=self.registry)
        self.append_seconds = Histogram(
            APPEND_SECONDS, "Time until durable.", ["topic"], buckets=_APPEND_BUCKETS, registry=self.registry
        )
        self.in_flight = Gauge(IN_FLIGHT, "Requests not yet answered.", registry=self.registry)
        self.limited = Counter(LIMITED, "Requests over a limit.", ["key", "limit"], registry=self.registry)
        self.keys_refused = Counter(KEYS_REFUSED, "Requests refused for their key.", ["why"], registry=self.registry)
        self.redacted = Counter(REDACTED, "Credentials replaced.", ["key"], registry=self.registry)
        self.rejected_spans = Counter(REJECTED_SPANS, "Spans left out.", ["key"], registry=self.registry)
