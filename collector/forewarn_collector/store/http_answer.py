"""What ClickHouse's HTTP interface answers: status and text of its errors, content types of its formats."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

# As in ClickHouse's `exceptionCodeToHTTPStatus`:
# https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTP/exceptionCodeToHTTPStatus.cpp
_STATUS: Final = {
    **dict.fromkeys((6, 25, 26, 27, 38, 41, 53, 62, 72, 117, 130, 168, 457), 400),
    194: 401,
    516: 403,
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 75, 78, 81, 115, 511), 404),
    159: 408,
    **dict.fromkeys((48, 344), 501),
    203: 503,
}
_CONTENT_TYPES: Final = (
    (
        re.compile(r"JSONEachRow|NDJSON|JSONLines|JSONCompactEachRow.*", re.IGNORECASE),
        "application/x-ndjson; charset=UTF-8",
    ),
    (re.compile(r"JSON.*", re.IGNORECASE), "application/json; charset=UTF-8"),
    (re.compile(r"CSVWithNames.*", re.IGNORECASE), "text/csv; charset=UTF-8; header=present"),
    (re.compile(r"CSV", re.IGNORECASE), "text/csv; charset=UTF-8; header=absent"),
    (re.compile(r"T(SV|abSeparated).*", re.IGNORECASE), "text/tab-separated-values; charset=UTF-8"),
    (re.compile(r"XML", re.IGNORECASE), "application/xml; charset=UTF-8"),
    (re.compile(r"Markdown", re.IGNORECASE), "text/markdown; charset=UTF-8"),
    (
        re.compile(r"Native|RowBinary.*|Arrow.*|Parquet|ORC|Avro|Protobuf.*|MsgPack|BSON.*|Npy", re.IGNORECASE),
        "application/octet-stream",
    ),
)
_CODE: Final = re.compile(r"Code: (\d+)\.")

READONLY: Final = 164
TOO_MANY_QUERIES: Final = 202
REQUIRED_PASSWORD: Final = 194
AUTHENTICATION_FAILED: Final = 516
NOT_IMPLEMENTED: Final = 48
QUERY_TOO_LARGE: Final = 62
UNKNOWN_FORMAT: Final = 73
_NAMES: Final = {
    READONLY: "READONLY",
    TOO_MANY_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    REQUIRED_PASSWORD: "REQUIRED_PASSWORD",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    QUERY_TOO_LARGE: "SYNTAX_ERROR",
    UNKNOWN_FORMAT: "UNKNOWN_FORMAT",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def content_type(output_format: str) -> str:
    for pattern, kind in _CONTENT_TYPES:
        if pattern.fullmatch(output_format):
            return kind
    return "text/plain; charset=UTF-8"


def refusal(code: int, message: str, *, version: str, status: int | None = None) -> Answer:
    """An error of our own, in the words and the shape of the server."""
    return _error(code, f"Code: {code}. DB::Exception: {message}. ({_NAMES[code]})", version=version, status=status)


def engine_error(message: str, *, version: str) -> Answer:
    """The engine's own error."""
    found = _CODE.search(message)
    return _error(int(found[1]) if found else 1001, message, version=version)


def _error(code: int, message: str, *, version: str, status: int | None = None) -> Answer:
    headers = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(code)}
    if code == REQUIRED_PASSWORD:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    body = f"{message} (version {version} (official build))\n".encode()
    return Answer(body, status or _STATUS.get(code, 500), headers)
