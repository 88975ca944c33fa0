"""A certificate that is renewed while connections are being made, without any door."""

from __future__ import annotations

import ssl
import subprocess
import threading
from pathlib import Path

from forewarn_control.certificate import Certificate

RENEWALS = 400


def make(folder: Path, name: str) -> tuple[bytes, bytes]:
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(chain)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return chain.read_bytes(), key.read_bytes()


def shake_hands(context: ssl.SSLContext) -> None:
    """In memory, by a client that names nobody; raises SSLError."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(down, up)
    server = context.wrap_bio(up, down, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)


def test_no_handshake_fails_for_a_renewal(tmp_path: Path) -> None:
    """
    Each sees one chain with its own key, whatever is being read meanwhile.
    """
    pairs = [make(tmp_path, name) for name in ("first", "second")]
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def write(number: int) -> None:
        chain.write_bytes(pairs[number % 2][0])
        key.write_bytes(pairs[number % 2][1])

    write(0)
    certificate = Certificate(chain, key)

    def renew() -> None:
        for number in range(RENEWALS):
            write(number)
            certificate.reload()

    renewing = threading.Thread(target=renew)
    renewing.start()
    shaken = 0
    while renewing.is_alive() or not shaken:
        shake_hands(certificate.context)
        shaken += 1
    renewing.join()

    assert shaken > 0
