"""What one `poll` may return: a batch that knows its own limits, the same on every side of the log."""

from __future__ import annotations

from forewarn_collector.log.interface import Record


class Batch:
    """Records of one poll, up to `max_records` and `max_bytes` of values; the first always fits."""

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self.records: list[Record] = []
        self._records_left = max_records
        self._bytes_left = max_bytes

    @property
    def records_left(self) -> int:
        return self._records_left

    def offer(self, record: Record) -> bool:
        """Take the record if the limits allow it, and say whether it was taken."""
        size = len(record.value)
        if self._records_left <= 0 or (self.records and size > self._bytes_left):
            self._records_left = 0
            return False
        self.records.append(record)
        self._records_left -= 1
        self._bytes_left -= size
        return True
