"""Asks a store over HTTP: the facade of `forewarn serve` or a ClickHouse server, which are the same thing here."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from forewarn_collector.store.interface import BadQuery, NotAllowed, Rows, StoreError, StoreUnavailable
from forewarn_collector.store.library import named_queries

_NOT_NOW: Final = ("Code: 159.", "Code: 202.", "Code: 241.", "Code: 242.")
_WHO: Final = ("Code: 194.", "Code: 516.")
_MISREAD: Final = ("Code: 47.", "Code: 62.")
# The engine's own words: neither what the driver says around them nor the statement in which the facade asks about it.
_WORDS: Final = re.compile(
    r"DB::Exception: (.*?)(?:: (?:In scope|while executing).*parseQueryToJSON.*?)?( \([A-Z_]+\))?(?: \(version .*)?$",
    re.DOTALL,
)
# The driver logs what it raises as well; without a handler of its own that would be a second message on stderr.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


class Reader:
    """One asker; connects at the first question. `url`: `http://host:port` with an optional `/database`."""

    def __init__(self, url: str, user: str, password: str, *, timeout_s: float = 60.0) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._client: Client | None = None

    def run(self, name: str, /, **parameters: Any) -> Rows:
        """Answer a named question."""
        named = named_queries().get(name)
        if named is None:
            msg = f"there is no query {name}; there are: {', '.join(named_queries())}"
            raise BadQuery(msg)
        return self.sql(named.sql, **named.bind(parameters))

    def sql(self, text: str, /, **parameters: Any) -> Rows:
        """Answer SQL; `{name:Type}` in it is filled from the parameters."""
        try:
            result = self._connected().query(_statement(text), parameters=parameters)
        except ClickHouseError as fault:
            raise self._fault_of(text, parameters, fault) from fault
        return Rows(tuple(result.column_names), tuple(tuple(row) for row in result.result_rows))

    def formatted(self, text: str, output_format: str, parameters: Mapping[str, Any]) -> bytes:
        """The answer as the engine writes it in one of its formats."""
        try:
            answer = self._connected().raw_query(_statement(text), parameters=dict(parameters), fmt=output_format)
        except ClickHouseError as fault:
            raise self._fault_of(text, parameters, fault) from fault
        return bytes(answer)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Client:
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = f"{self._url} is no address of a store; it looks like http://127.0.0.1:8123"
            raise BadQuery(msg)
        return clickhouse_connect.get_client(
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            secure=parts.scheme == "https",
            username=self._user,
            password=self._password,
            database=parts.path.strip("/") or "__default__",
            connect_timeout=5,
            send_receive_timeout=self._timeout_s,
            query_retries=0,
            autogenerate_session_id=False,
            client_name="forewarn",
            settings={"final": 1},
        )

    def _fault_of(self, text: str, parameters: Mapping[str, Any], fault: ClickHouseError) -> StoreError:
        """The driver has appended a FORMAT that the asker never wrote: a complaint is about the text without it."""
        if not any(code in str(fault) for code in _MISREAD) or "FORMAT" not in str(fault):
            return self._fault(fault)
        try:
            self._connected().raw_query(_statement(text), parameters=dict(parameters))
        except ClickHouseError as alone:
            return self._fault(alone)
        return BadQuery("the statement names a FORMAT: give it with --format instead")

    def _fault(self, fault: ClickHouseError) -> StoreError:
        text = str(fault)
        if any(code in text for code in _WHO):
            return NotAllowed(f"the store at {self._url} does not accept user {self._user!r} with this password")
        if isinstance(fault, OperationalError) and "Code:" not in text:
            return StoreUnavailable(f"no store answers at {self._url}; is `forewarn serve` running? ({text.strip()})")
        if any(code in text for code in _NOT_NOW):
            return StoreUnavailable(text)
        words = _WORDS.search(text)
        return BadQuery("".join(part or "" for part in words.groups()) if words else text)


def _statement(text: str) -> str:
    statement = text.strip().rstrip(";").rstrip()
    if not statement:
        raise BadQuery("there is no statement to answer")
    return statement
