"""The doctor's way to ask a server something: one short request, with trouble as an answer."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import urllib3

from forewarn.recording.gateway import cause_of

TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; status 0 and why where nothing did."""

    status: int
    text: str
    headers: Mapping[str, str]


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    certificate: Path | None = None,
) -> Reply:
    """
    Follow no redirect and repeat nothing: the doctor wants to see what is there.

    With a certificate, over TLS that one is trusted, whatever name is in it; without, what the system trusts.
    """
    try:
        context = _trusting(certificate) if certificate else None
        with urllib3.PoolManager(retries=False, timeout=TIMEOUT_S, ssl_context=context) as pool:
            response = pool.request(method, url, headers=dict(headers or {}), body=body, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Reply(0, cause_of(error), {})
    return Reply(response.status, response.data.decode("utf-8", "replace"), response.headers)


def _trusting(certificate: Path) -> ssl.SSLContext:
    """This machine is reached by its address, and its certificate names it otherwise."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
