"""
The store: where spans and events become rows that anyone can ask about.

* StoreError
  + BadPayload          a record's own fault: no repetition will help; find it and bury it
  + StoreUnavailable    nobody's fault: stop, keep the offsets, repeat later
  + BadQuery            the asker's fault: unknown name, wrong parameter, wrong SQL
  + NotAllowed          the asker's fault: wrong user or password
  + OtherVersion        the store on disk was made by a newer program: start that one
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from forewarn_collector.log.interface import Record


class StoreError(Exception):
    """Base of what a store raises."""


class BadPayload(StoreError):
    """At least one record of the batch cannot be stored, today or ever; a part of the others may have been."""


class StoreUnavailable(StoreError):
    """The insert or the query is not known to have been done; repeat it."""


class BadQuery(StoreError):
    """The question cannot be answered as it was put."""


class NotAllowed(StoreError):
    """The store does not know this user and password."""


class OtherVersion(StoreError):
    """The store was made by a newer version of this program."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer to a query."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each row as a mapping, column name -> value."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Store(Protocol):
    """Safe to use from many threads."""

    def migrate(self) -> None:
        """Bring the schema up to this version; doing it again changes nothing."""
        ...

    def insert_spans(self, records: Sequence[Record], *, token: str) -> None:
        """
        Store the spans of OTLP requests; return once all would survive a crash of this machine.

        A token that was used before makes the insert a no-op, whatever the records hold. Raises `BadPayload` where one
        of them cannot be decoded, and `StoreUnavailable`. Either may leave a part stored; storing the records again,
        cut in any way, changes no count.
        """
        ...

    def insert_events(self, records: Sequence[Record], *, token: str) -> None:
        """Store JSON events with the same promise."""
        ...

    def query(self, sql_or_name: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Answer a named query or SQL text; rows of one span or event are collapsed to the latest."""
        ...

    def close(self) -> None: ...
