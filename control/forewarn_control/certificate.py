"""The certificate of all doors: read when it is opened, and again when somebody says that it was renewed."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import grpc

from forewarn_control.errors import CannotServe

_OLDEST_TLS: Final = ssl.TLSVersion.TLSv1_2


class Certificate:
    """A chain and its private key, both PEM. New connections see what was read last."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self.context = _context()
        """What doors are opened with. It holds no certificate: each handshake is handed over to what was read last."""
        self.context.sni_callback = self._hand_over  # called without a name, too
        self.reload()

    def reload(self) -> None:
        """Read both again; raise CannotServe, and keep what was read before, where they do not fit together."""
        try:
            # Never into a context in use: between chain and key, handshakes would fail.
            fresh = _context()
            fresh.load_cert_chain(self._chain, self._key, "")
            self._current, self._pair = fresh, (self._key.read_bytes(), self._chain.read_bytes())
        except (OSError, ssl.SSLError) as fault:
            raise CannotServe(
                f"the certificate {self._chain} with the key {self._key} cannot be used: {fault}",
                "both must be PEM, the key without a password, and of that certificate: --tls-cert, --tls-key",
            ) from fault

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def for_grpc(self) -> grpc.ServerCredentials:
        """Credentials that look at every handshake for what was read last."""
        return grpc.dynamic_ssl_server_credentials(self._configured(), self._configured)

    def _configured(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([self._pair])


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _OLDEST_TLS
    return context
