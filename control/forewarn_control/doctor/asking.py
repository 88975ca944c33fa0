"""The doctor's way to ask a server something: one short request, with trouble as an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


def ask(method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
    """Follow no redirect and repeat nothing: the doctor wants to see what is there."""
    try:
        with urllib3.PoolManager(retries=False, timeout=TIMEOUT_S) as pool:
            response = pool.request(method, url, headers=dict(headers or {}), body=body, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Reply(0, cause_of(error), {})
    return Reply(response.status, response.data.decode("utf-8", "replace"), response.headers)
