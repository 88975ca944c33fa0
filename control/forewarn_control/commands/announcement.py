"""What `forewarn serve` says when it is ready: how to point an agent at it, and how to read what it records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

from forewarn.conventions import Environment
from forewarn_alerts.notify.console import ConsoleConfig
from forewarn_control.house import Serving
from forewarn_control.settings import ServeSettings


def as_json(serving: Serving) -> str:
    """One line for programs. `keys` holds the keys' texts on the first start, and is empty later."""
    endpoints = serving.endpoints
    reader = {"user": endpoints.reader.user, "password": endpoints.reader.password}
    said = {
        "http": endpoints.http,
        "grpc": endpoints.grpc,
        "store": endpoints.store,
        "reader": reader,
        "keys": dict(serving.first_keys),
    }
    return json.dumps(said)


def as_text(serving: Serving, settings: ServeSettings) -> str:
    """Lines for a person; those to copy stand alone."""
    endpoint = settings.public_url.rstrip("/") or serving.endpoints.http
    return "\n".join([*_about(serving, settings), *_sending(serving, endpoint), *_reading(serving)])


def _about(serving: Serving, settings: ServeSettings) -> Iterator[str]:
    yield "Forewarn is running. Ctrl-C stops it; nothing acknowledged is lost."
    yield ""
    yield f"  agents send to   {serving.endpoints.http}"
    yield f"  or by gRPC to    {serving.endpoints.grpc}"
    yield f"  readers ask      {serving.endpoints.store}"
    yield f"  data             {settings.data.absolute()}"
    yield f"  rules            {serving.rules} loaded"
    for route, names in settings.routes().items():
        yield f"  pages to {route:<7} {', '.join(names)}"
    if all(isinstance(target, ConsoleConfig) for target in settings.all_targets().values()):
        yield "                   (this console only: put your targets under [targets] in forewarn.toml)"


def _sending(serving: Serving, endpoint: str) -> Iterator[str]:
    yield ""
    if not serving.first_keys:
        yield "Keys exist already; a key is shown once. Make another: forewarn keys create --environment production"
        yield ""
        yield f"  export FOREWARN_ENDPOINT={endpoint}"
        return
    key = serving.first_keys[Environment.PRODUCTION]
    yield "Point an agent at it. The key decides the environment; it is shown this once:"
    yield ""
    yield f"  export FOREWARN_ENDPOINT={endpoint}"
    yield f"  export FOREWARN_KEY={key}"
    yield ""
    yield "While you develop, use this one instead:"
    yield ""
    yield f"  export FOREWARN_KEY={serving.first_keys[Environment.DEVELOPMENT]}"
    yield ""
    yield "Any other OpenTelemetry sender (kept and shown; the shipped rules need an effect, which the SDK declares):"
    yield ""
    yield f"  export OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    yield f"  export OTEL_EXPORTER_OTLP_HEADERS=authorization={quote(f'Bearer {key}')}"


def _reading(serving: Serving) -> Iterator[str]:
    reader = serving.endpoints.reader
    yield ""
    yield "Read: forewarn traces list. The same store for curl, Grafana and any ClickHouse client:"
    yield ""
    yield f"  curl -u {reader.user}:{reader.password} '{serving.endpoints.store}/?query=SELECT+count()+FROM+spans'"
    yield ""
