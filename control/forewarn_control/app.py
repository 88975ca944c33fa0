"""What listens on `http`: the gateway's paths and the control API, as one ASGI application."""

from __future__ import annotations

from forewarn.conventions import INTENTS_PATH
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.asgi import Receive, Scope, Send
from forewarn_control.intents import Intents


class Front:
    """Sends each request to the room that answers it; the gateway answers 404 for what nobody knows."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._intents = Intents(gateway.admission)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_intent = scope["type"] == "http" and scope["path"] == INTENTS_PATH
        await (self._intents if is_intent else self._gateway)(scope, receive, send)
