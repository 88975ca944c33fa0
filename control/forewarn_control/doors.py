"""
What a house listens on: HTTP for agents, gRPC for agents, HTTP for readers. Bound first, so that a port in use is told
before anything else is opened; opened last; and closed in an order that loses nobody's request.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from forewarn_collector.gateway.draining import Draining
from forewarn_collector.gateway.otlp_grpc import TraceService, options
from forewarn_control.address import Address, bound, listen
from forewarn_control.certificate import Certificate
from forewarn_control.connections import Crowd, DoorMetrics, make_room
from forewarn_control.errors import CannotServe
from forewarn_control.roles import Roles
from forewarn_control.servers import Application, Door, GrpcServer, HttpServer
from forewarn_control.settings import ServeSettings

_NAMES: Final = ("store-http", "http", "grpc")
_START_S: Final = 20.0
_ANSWER_S: Final = 10.0
"""How long requests in hand may take to be answered before the doors close all the same."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Bound:
    http: socket.socket
    store_http: socket.socket
    grpc: Address


class Doors:
    """All of them; one certificate for all."""

    def __init__(
        self,
        settings: ServeSettings,
        roles: Roles,
        metrics: DoorMetrics,
        *,
        sockets: _Bound,
        certificate: Certificate | None,
    ) -> None:
        self._settings = settings
        self._roles = roles
        self._metrics = metrics
        self._sockets = sockets
        self._certificate = certificate
        scheme = "https" if certificate else "http"
        self.http_url = _url(scheme, bound(sockets.http))
        self.store_url = _url(scheme, bound(sockets.store_http))
        self.grpc_url = ""
        """Known once it is open."""

    @classmethod
    @contextmanager
    def listening(cls, settings: ServeSettings, roles: Roles, metrics: DoorMetrics) -> Iterator[Doors]:
        """Every address is ours, and nobody is answered yet; raise CannotServe."""
        certificate = None
        if settings.tls_cert and settings.tls_key:
            certificate = Certificate(settings.tls_cert, settings.tls_key)
        with (
            listen(settings.http, flag="--http") as http,
            listen(settings.store_http, flag="--store-http") as store_http,
        ):
            address = settings.grpc_address()
            # gRPC binds for itself; its own words for a port in use name neither who has it nor the way out.
            with listen(address, flag="--grpc") as probe:
                addresses = {"http": bound(http), "store-http": bound(store_http), "grpc": bound(probe)}
            if certificate is None:
                _warn_of(addresses)
            yield cls(settings, roles, metrics, sockets=_Bound(http, store_http, address), certificate=certificate)

    def open(self, http: Application, store: Application, service: TraceService) -> None:
        """Return once each answers."""
        most, certificate = self._settings.max_connections, self._certificate
        make_room(most, doors=len(_NAMES))
        by_grpc = GrpcServer(
            "grpc",
            service,
            self._sockets.grpc,
            options=options(self._settings.max_body, connections=most),
            certificate=certificate,
        )
        doors: list[Door] = [
            HttpServer(
                store, self._sockets.store_http, Crowd("store-http", most, self._metrics), certificate=certificate
            ),
            HttpServer(http, self._sockets.http, Crowd("http", most, self._metrics), certificate=certificate),
            by_grpc,
        ]
        for door in doors:
            self._roles.start(door.name, door.run)
        for door in doors:
            if not door.started.wait(_START_S):
                why = self._roles.died().get(door.name, f"no answer within {_START_S:g} s")
                raise CannotServe(f"the server {door.name} did not start: {why}")
        self.grpc_url = _url("https" if certificate else "http", by_grpc.address)

    def close(self, draining: Draining) -> None:
        """First say so at `/readyz`, then let what is in hand be answered while the rest is refused; then close."""
        draining.begin()
        if self._settings.drain:
            threading.Event().wait(self._settings.drain.total_seconds())
        if not draining.finished(_ANSWER_S):
            _log.warning("requests were still in hand after %g s; their senders repeat them", _ANSWER_S)
        self._roles.stop(*_NAMES)

    def renew_certificate(self) -> None:
        """Read it again, if there is one."""
        if self._certificate is None:
            return
        try:
            self._certificate.reload()
        except CannotServe as fault:
            _log.error("the certificate of before stays: %s", fault)
        else:
            _log.info("the certificate was read again")


def _warn_of(addresses: dict[str, Address]) -> None:
    for door, address in addresses.items():
        if not ipaddress.ip_address(address.host.partition("%")[0]).is_loopback:
            _log.warning(
                "the door %s is open at %s without TLS: keys, passwords and records can be read on the way; "
                "give --tls-cert and --tls-key, or listen on 127.0.0.1 behind something that does TLS",
                door,
                address,
            )


def _url(scheme: str, address: Address) -> str:
    """How this machine reaches it; an address for all interfaces is reached by the loopback one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 -- recognised, not bound
    return f"{scheme}://{Address(host, address.port)}"
