"""
A generic webhook: the page as JSON, signed.

`X-Forewarn-Signature: t=<unix seconds>,v1=<hex>` where hex is HMAC-SHA256 over `<t>.<raw body>` with the shared secret.
A receiver checks it as `verify` does: recompute, compare in constant time, and refuse what is older than five minutes.
`X-Forewarn-Delivery` is the same for every attempt: a receiver that has seen it may answer 200 and do nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, SecretStr

from forewarn_alerts.notify import wording
from forewarn_alerts.notify.interface import Answer, Delivered, Message, Page, SecretUrl, TargetType
from forewarn_alerts.notify.replies import Reply, by_status

if TYPE_CHECKING:
    from forewarn_alerts.notify.http import Poster

DELIVERY_HEADER: Final = "X-Forewarn-Delivery"
SIGNATURE_HEADER: Final = "X-Forewarn-Signature"
TOLERANCE_S: Final = 300
_TEXT_LIMIT: Final = 32_000
_LINE_LIMIT: Final = 1_000


class WebhookConfig(BaseModel):
    """`[targets.NAME]` with `type = "webhook"`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["webhook"] = "webhook"
    url: SecretUrl
    """May hold a token, so it is never shown."""
    secret: SecretStr | None = None
    """Shared with the receiver; without it requests are not signed."""


class Webhook:
    """A target that posts one JSON object for each incident."""

    type = TargetType.WEBHOOK

    def __init__(
        self, name: str, config: WebhookConfig, poster: Poster, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._config = config
        self._poster = poster
        self._clock = clock

    def prepare(self) -> None:
        self._poster.prepare()

    def render(self, page: Page, delivery: str) -> Message:
        headers = {"Content-Type": "application/json", DELIVERY_HEADER: delivery}
        return Message(msgspec.json.encode(body_of(page, delivery)), headers)

    def send(self, message: Message) -> Answer:
        headers = dict(message.headers)
        if self._config.secret is not None:
            secret = self._config.secret.get_secret_value()
            headers[SIGNATURE_HEADER] = sign(secret, message.body, int(self._clock()))
        url = self._config.url.get_secret_value()
        return by_status(self._poster.post(url, message.body, headers), delivered=_any_2xx)

    def close(self) -> None:
        self._poster.close()


def body_of(page: Page, delivery: str) -> dict[str, Any]:
    """Every field of the page, with the words that other targets show."""
    limits = dict.fromkeys(("arguments", "reasoning", "note"), _TEXT_LIMIT)
    fields = {
        name: wording.cut(value, limits.get(name, _LINE_LIMIT)) if isinstance(value, str) else value
        for name, value in msgspec.to_builtins(page).items()
    }
    return {
        "version": 1,
        "delivery": delivery,
        "headline": wording.cut(wording.headline(page), _LINE_LIMIT),
        "started": wording.when(page.started_ns),
        "what_to_do": wording.next_steps(page),
        **fields,
    }


def sign(secret: str, body: bytes, at: int) -> str:
    """The signature header's value."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def verify(secret: str, header: str, body: bytes, *, now: float, tolerance_s: float = TOLERANCE_S) -> bool:
    """What a receiver does: whether the body is ours and fresh."""
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    at = parts.get("t", "")
    if not at.isdecimal() or abs(now - int(at)) > tolerance_s:
        return False
    return hmac.compare_digest(sign(secret, body, int(at)).encode(), header.encode())


def _any_2xx(reply: Reply) -> Delivered | None:
    return Delivered(f"{reply.status}") if 200 <= reply.status < 300 else None
