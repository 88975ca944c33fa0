"""
What the gateway answers when it does not take a request.

* Refused                   carries the HTTP status; the text says what, and `do` what to do next
  + BadPayload        400   the sender's fault: never send this again
  + NotAllowed        401   the key is missing, wrong or revoked
  + NotFound          404
  + WrongMethod       405
  + TooSlow           408   the body did not arrive in time: send the same again
  + TooLarge          413   send less in one request
  + UnknownMediaType  415   send what the text names
  + OverLimit         429   this key, or all together, ask for too much: send the same again after `retry_after_s`
  + ComeBackLater     429   the log is full: send the same again after `retry_after_s`
  + NotNow            503   nobody's fault: send the same again after `retry_after_s`
* SenderGone                the sender hung up before the end of its request: nothing was taken, nobody to answer
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar


class Refused(Exception):
    """A request that was not taken."""

    status: ClassVar[HTTPStatus]
    rpc_code: ClassVar[int]
    """The code of `google.rpc.Status` that says the same."""
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, text: str, *, do: str) -> None:
        super().__init__(text)
        self.do = do

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that belong to this answer."""
        if self.retry_after_s is None:
            return []
        return [(b"retry-after", str(self.retry_after_s).encode())]


class BadPayload(Refused):
    """The body is not what it claims to be."""

    status = HTTPStatus.BAD_REQUEST
    rpc_code = 3


class NotAllowed(Refused):
    """No valid key came with the request."""

    status = HTTPStatus.UNAUTHORIZED
    rpc_code = 16

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"www-authenticate", b"Bearer")]


class NotFound(Refused):
    """There is nothing at this path."""

    status = HTTPStatus.NOT_FOUND
    rpc_code = 5


class WrongMethod(Refused):
    """The path takes other methods."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    rpc_code = 12

    def __init__(self, text: str, *, do: str, allowed: str) -> None:
        super().__init__(text, do=do)
        self._allowed = allowed

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"allow", self._allowed.encode())]


class TooSlow(Refused):
    """The rest of the request is not waited for; the connection ends with the answer."""

    status = HTTPStatus.REQUEST_TIMEOUT
    rpc_code = 14
    retry_after_s = 1

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers(), (b"connection", b"close")]


class TooLarge(Refused):
    """The body is over the limit, as sent or after decompression."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    rpc_code = 8


class UnknownMediaType(Refused):
    """The content type or encoding is none that is spoken here."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    rpc_code = 3


class OverLimit(Refused):
    """A limit of the key, or of all together, is met; `limit` names it."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    rpc_code = 8
    retry_after_s = 1

    def __init__(self, text: str, *, do: str, limit: str) -> None:
        super().__init__(text, do=do)
        self.limit = limit


class ComeBackLater(Refused):
    """The log is full until its consumers have caught up."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    rpc_code = 14
    retry_after_s = 1


class NotNow(Refused):
    """The request is not known to be durable, or the keys cannot be read."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    rpc_code = 14
    retry_after_s = 1


def too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is over the limit of {limit} bytes (counted after decompression).",
        do="Send fewer spans in one request.",
    )


class SenderGone(Exception):
    """The connection ended before the request did."""
