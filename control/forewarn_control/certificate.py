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
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = _OLDEST_TLS
        self.reload()

    def reload(self) -> None:
        """Read both again; raise CannotServe, and keep what was read before, where they do not fit together."""
        try:
            # Into a context of its own first: one that has failed half-way would have a chain and no key.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._chain, self._key, "")
            self.context.load_cert_chain(self._chain, self._key, "")
            self._pair = self._key.read_bytes(), self._chain.read_bytes()
        except (OSError, ssl.SSLError) as fault:
            raise CannotServe(
                f"the certificate {self._chain} with the key {self._key} cannot be used: {fault}",
                "both must be PEM, the key without a password, and of that certificate: --tls-cert, --tls-key",
            ) from fault

    def for_grpc(self) -> grpc.ServerCredentials:
        """Credentials that look at every handshake for what was read last."""
        return grpc.dynamic_ssl_server_credentials(self._configured(), self._configured)

    def _configured(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([self._pair])
