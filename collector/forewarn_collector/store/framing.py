"""
Makes ClickHouse's input out of log records without decoding them.

Each OTLP request becomes one length-prefixed protobuf message (`FORMAT Protobuf`); what the gateway knows for certain is
appended as extra fields of that message. A protobuf reader takes the last value of a field that comes twice, so a sender
that puts our field numbers into its own request is overruled, also where the record has no stamp.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from forewarn.conventions import Stamp
from forewarn_collector.log.interface import Record

_LENGTH_DELIMITED = 2
_FIXED64 = 1
_ENVIRONMENT_FIELD = 1000
_KEY_ID_FIELD = 1001
_RECEIVED_FIELD = 1002


def varint(number: int) -> bytes:
    """Protobuf's variable-length form of a number that is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_ENVIRONMENT_TAG = varint(_ENVIRONMENT_FIELD << 3 | _LENGTH_DELIMITED)
_KEY_ID_TAG = varint(_KEY_ID_FIELD << 3 | _LENGTH_DELIMITED)
_RECEIVED_TAG = varint(_RECEIVED_FIELD << 3 | _FIXED64)


def received_unix_nano(headers: Mapping[str, bytes], *, otherwise: int) -> int:
    """When the gateway took the request; `otherwise` where no stamp says it."""
    stamp = headers.get(Stamp.RECEIVED_AT, b"")
    return int(stamp) if stamp.isdigit() and len(stamp) < 20 else otherwise


def stamps(record: Record) -> bytes:
    """The fields that follow the sender's own."""
    environment = record.headers.get(Stamp.ENVIRONMENT, b"")
    key_id = record.headers.get(Stamp.KEY_ID, b"")
    received = received_unix_nano(record.headers, otherwise=record.timestamp_ns)
    return b"".join(
        (
            _ENVIRONMENT_TAG + varint(len(environment)) + environment,
            _KEY_ID_TAG + varint(len(key_id)) + key_id,
            _RECEIVED_TAG + received.to_bytes(8, "little"),
        )
    )


def frames(records: Iterable[Record]) -> bytes:
    """All requests as one body."""
    parts: list[bytes] = []
    for record in records:
        tail = stamps(record)
        parts += (varint(len(record.value) + len(tail)), record.value, tail)
    return b"".join(parts)
