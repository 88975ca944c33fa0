"""
One request to ClickHouse's HTTP interface, taken apart: who asks, what, in which format, with which settings.

Settings are those of a `readonly=1` server, with three differences that let unchanged clients work: a few harmless ones
take effect, limits can be lowered, and what only concerns transport is passed over.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from forewarn_collector.store.sessions import Limits

_HARMLESS: Final = {
    "date_time_output_format",
    "extremes",
    "final",
    "format_csv_delimiter",
    "join_use_nulls",
    "limit",
    "log_comment",
    "max_block_size",
    "offset",
    "output_format_arrow_compression_method",
    "output_format_arrow_string_as_string",
    "output_format_binary_write_json_as_string",
    "output_format_csv_crlf_end_of_line",
    "output_format_decimal_trailing_zeros",
    "output_format_float_precision",
    "output_format_json_array_of_rows",
    "output_format_json_escape_forward_slashes",
    "output_format_json_named_tuples_as_objects",
    "output_format_json_pretty_print",
    "output_format_json_quote_64bit_floats",
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_decimals",
    "output_format_json_quote_denormals",
    "output_format_json_validate_utf8",
    "output_format_native_encode_types_in_binary_format",
    "output_format_native_use_flattened_dynamic_and_json_serialization",
    "output_format_native_write_json_as_string",
    "output_format_parquet_compression_method",
    "output_format_parquet_string_as_string",
    "output_format_pretty_color",
    "output_format_pretty_grid_charset",
    "output_format_pretty_max_rows",
    "output_format_pretty_row_numbers",
    "output_format_tsv_crlf_end_of_line",
    "output_format_write_statistics",
    "session_timezone",
}
"""Each by its own name: `output_format_schema`, for one, makes the engine write a file."""
_CAPPED: Final = {
    "max_execution_time",
    "max_memory_usage",
    "max_result_bytes",
    "max_result_rows",
    "max_threads",
}
_PASSED_OVER: Final = {
    "add_http_cors_header",
    "async_insert",
    "buffer_size",
    "cancel_http_readonly_queries_on_client_close",
    "client_protocol_version",
    "compress",
    "connect_timeout",
    "decompress",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "http_zlib_compression_level",
    "log_queries",
    "quota_key",
    "readonly",
    "receive_timeout",
    "result_overflow_mode",
    "role",
    "send_progress_in_http_headers",
    "send_timeout",
    "session_check",
    "session_id",
    "session_timeout",
    "wait_end_of_query",
}
_OURS: Final = {"query", "database", "default_format", "user", "password", "query_id"}


class SettingRefused(Exception):
    """A setting that a reader may not change; the argument is its name."""


@dataclass(frozen=True, slots=True)
class HttpQuery:
    """What one request asks for."""

    text: str
    user: str
    password: str
    database: str = ""
    default_format: str = ""
    query_id: str = ""
    compressed: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    asked_settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, query_string: bytes, headers: Mapping[str, str], body: bytes) -> HttpQuery:
        """`headers`: lower-case names. The text is the URL's followed by the body's, as the server joins them."""
        url = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
        user, password = _credentials(url, headers)
        return cls(
            text="\n".join(part for part in (url.get("query", ""), body.decode("utf-8", "replace")) if part),
            user=user,
            password=password,
            database=headers.get("x-clickhouse-database") or url.get("database", ""),
            default_format=headers.get("x-clickhouse-format") or url.get("default_format", ""),
            query_id=url.get("query_id", ""),
            compressed=url.get("compress", "0") == "1",
            parameters={name[6:]: value for name, value in url.items() if name.startswith("param_")},
            asked_settings={
                name: value for name, value in url.items() if name not in _OURS and not name.startswith("param_")
            },
        )

    def settings(self, limits: Limits) -> dict[str, str]:
        """Those that take effect; raises `SettingRefused` at one that a reader may not change."""
        most = limits.settings()
        effective: dict[str, str] = {}
        for name, value in self.asked_settings.items():
            if name in _HARMLESS:
                effective[name] = value
            elif name in _CAPPED:
                effective[name] = _lower(value, most[name])
            elif name not in _PASSED_OVER:
                raise SettingRefused(name)
        return effective


def _lower(asked: str, most: str) -> str:
    """The smaller of the two; zero and what is no number mean no limit, hence ours."""
    try:
        number = float(asked)
    except ValueError:
        return most
    return asked if 0 < number < float(most) else most


def _credentials(url: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """Headers of ClickHouse's own first, then Basic, then the URL; ('', '') where there are none."""
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return url.get("user", ""), url.get("password", "")
