"""
Makes ClickHouse's input out of log records without decoding them.

Each OTLP request becomes one length-prefixed protobuf message (`FORMAT Protobuf`) that begins with a field of ours:
what the gateway knows for certain. It stands in front, and the view takes the first: whatever bytes follow, a sender
can neither replace our stamp by one of its own nor make a field that swallows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from forewarn.conventions import Stamp
from forewarn.recording.wire import varint
from forewarn_collector.log.interface import Record

_STAMP_FIELD = 1000
_LARGE = 64 << 10
_PIECE = 1 << 20
_LENGTH_DELIMITED = 2

_STAMP_TAG = varint(_STAMP_FIELD << 3 | _LENGTH_DELIMITED)
_ENVIRONMENT_TAG = b"\x0a"
_KEY_ID_TAG = b"\x12"
_RECEIVED_TAG = b"\x19"


def received_unix_nano(headers: Mapping[str, bytes], *, otherwise: int) -> int:
    """When the gateway took the request; `otherwise` where no stamp says it."""
    stamp = headers.get(Stamp.RECEIVED_AT, b"")
    return int(stamp) if stamp.isdigit() and len(stamp) < 20 else otherwise


def stamp(record: Record) -> bytes:
    """The field that precedes the sender's own."""
    environment = record.headers.get(Stamp.ENVIRONMENT, b"")
    key_id = record.headers.get(Stamp.KEY_ID, b"")
    received = received_unix_nano(record.headers, otherwise=record.timestamp_ns)
    message = b"".join(
        (
            _ENVIRONMENT_TAG + varint(len(environment)) + environment,
            _KEY_ID_TAG + varint(len(key_id)) + key_id,
            _RECEIVED_TAG + received.to_bytes(8, "little"),
        )
    )
    return _STAMP_TAG + varint(len(message)) + message


def frames(records: Iterable[Record]) -> Iterator[bytes]:
    """The body in pieces: small requests together, a large one by itself and never copied."""
    small: list[bytes] = []
    size = 0
    for record in records:
        head = stamp(record)
        prefix = varint(len(head) + len(record.value)) + head
        if len(record.value) >= _LARGE:
            yield b"".join((*small, prefix))
            yield record.value
            small, size = [], 0
            continue
        small += (prefix, record.value)
        size += len(record.value)
        if size >= _PIECE:
            yield b"".join(small)
            small, size = [], 0
    if small:
        yield b"".join(small)
