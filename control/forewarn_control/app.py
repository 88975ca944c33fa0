"""What listens on `http`: the gateway's paths, the control API and the trace pages, as one ASGI application."""

from __future__ import annotations

from forewarn.conventions import INTENTS_PATH
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.asgi import App, Receive, Scope, Send
from forewarn_control.intents import Intents
from forewarn_control.trace_page import PREFIX, TracePage


class Front:
    """Sends each request to the room that answers it; the gateway answers 404 for what nobody knows."""

    def __init__(self, gateway: Gateway, traces: TracePage) -> None:
        self._gateway = gateway
        self._intents = Intents(gateway.admission)
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._room(scope.get("path", ""))(scope, receive, send)

    def _room(self, path: str) -> App:
        if path == INTENTS_PATH:
            return self._intents
        return self._traces if path.startswith(PREFIX) else self._gateway
