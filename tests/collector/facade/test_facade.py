"""ClickHouse's HTTP interface as clients know it, over the embedded store."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError


@pytest.fixture
def ask(served: Any) -> Any:
    with httpx.Client(base_url=served.url, auth=served.auth) as client:

        def ask(sql: str = "", *, method: str = "POST", **parameters: str) -> httpx.Response:
            if method == "GET":
                return client.get("/", params={"query": sql, **parameters})
            return client.post("/", content=sql.encode(), params=parameters)

        yield ask


def test_an_unchanged_client_reads_collapsed_rows(served: Any) -> None:
    """
    clickhouse-connect over HTTP works as it is, with parameters and every type of the schema.
    """
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=served.port,
        username=served.user,
        password=served.password,
        database=served.store._database,
    )

    result = client.query(
        "SELECT record, tool, ts, trace_id, attributes FROM spans WHERE tool = {tool:String} ORDER BY ts",
        parameters={"tool": "drop_table"},
    )
    everything = client.query("SELECT * FROM spans ORDER BY ts").named_results()

    assert [row[0] for row in result.result_rows] == ["end", "end"]
    assert len(list(everything)) == 2
    assert client.command("SELECT count() FROM calls") == 2
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        client.query("SELECT * FROM nowhere")
    client.close()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_reads_it(served: Any) -> None:
    """
    The line in every ClickHouse tutorial works.
    """
    url = f"{served.url}/?database={served.store._database}"

    answer = subprocess.run(
        [
            "curl",
            "-sS",
            "-u",
            "reader:s3cret",
            url,
            "--data-binary",
            "SELECT tool, count() FROM calls GROUP BY tool FORMAT CSV",
        ],
        capture_output=True,
        check=True,
        timeout=20,
    )

    assert answer.stdout == b'"drop_table",2\n'


def test_ping_needs_no_password(served: Any) -> None:
    """
    A health check learns that the server is up, and nothing else.
    """
    answers = [httpx.get(f"{served.url}{path}") for path in ("/ping", "/replicas_status", "/")]

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "Ok.\n")] * 3


def test_text_comes_from_the_url_the_body_or_both(ask: Any) -> None:
    """
    The body continues the text of the URL.
    """
    assert ask("SELECT 1").text == "1\n"
    assert ask("SELECT 2", method="GET").text == "2\n"
    assert ask("1 + 2", query="SELECT").text == "3\n"


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({}, "text/tab-separated-values; charset=UTF-8", "1\tx\n"),
        ({"default_format": "CSV"}, "text/csv; charset=UTF-8; header=absent", '1,"x"\n'),
        ({"default_format": "jsoneachrow"}, "application/x-ndjson; charset=UTF-8", '{"a":1,"b":"x"}\n'),
    ],
)
def test_a_format_is_asked_for(ask: Any, arguments: dict[str, str], kind: str, text: str) -> None:
    """
    The format of the text wins over the one of the request, and tab-separated is what comes unasked.
    """
    asked = ask("SELECT 1 AS a, 'x' AS b", **arguments)
    named = ask("SELECT 1 AS a FORMAT TSVWithNames", **arguments)

    assert (asked.headers["content-type"], asked.text) == (kind, text)
    assert (named.headers["x-clickhouse-format"], named.text) == ("TSVWithNames", "a\n1\n")


def test_headers_are_the_servers(ask: Any) -> None:
    """
    Clients find what they look for: format, time zone, query id, summary.
    """
    headers = ask("SELECT * FROM numbers(3)", query_id="mine").headers

    assert headers["x-clickhouse-query-id"] == "mine"
    assert headers["x-clickhouse-timezone"]
    assert '"result_rows": "3"' in headers["x-clickhouse-summary"]


def test_parameters_are_values(ask: Any) -> None:
    """
    `param_x` fills `{x:Type}` and cannot leave its place.
    """
    value = "x'; SELECT 2; --"

    assert ask("SELECT {value:String}", param_value=value).text == "x\\'; SELECT 2; --\n"


def test_settings_of_a_reader(ask: Any) -> None:
    """
    Harmless settings take effect, limits can only be lowered, others are refused as a read-only server refuses them.
    """
    assert ask("SELECT count() FROM spans", database="system").status_code == 404
    quoted = ask("SELECT 1::UInt64 AS a FORMAT JSONEachRow", output_format_json_quote_64bit_integers="1")
    assert quoted.text == '{"a":"1"}\n'
    assert ask("SELECT getSetting('max_execution_time')", max_execution_time="0").text == "2\n"
    assert ask("SELECT getSetting('max_execution_time')", max_execution_time="1").text == "1\n"
    refused = ask("SELECT 1", allow_introspection_functions="1")
    assert refused.status_code == 500
    assert refused.headers["x-clickhouse-exception-code"] == "164"
    assert "Cannot modify 'allow_introspection_functions' setting in readonly mode" in refused.text


def test_no_setting_names_a_file(ask: Any, tmp_path: Path) -> None:
    """
    Settings that make the engine read or write a path are refused, whatever they sound like.
    """
    precious = tmp_path / "precious.txt"
    precious.write_text("kept")

    for setting in ("output_format_schema", "format_schema", "format_schema_source"):
        answer = ask("SELECT 1 AS a FORMAT Protobuf", **{setting: str(precious)})
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (500, "164")

    assert precious.read_text() == "kept"


@pytest.mark.parametrize(
    ("credentials", "status", "code"),
    [
        ({}, 401, "194"),
        ({"auth": ("reader", "wrong")}, 403, "516"),
        ({"auth": ("root", "s3cret")}, 403, "516"),
        ({"headers": {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "wrong"}}, 403, "516"),
        ({"headers": {"Authorization": "Basic !!!"}}, 401, "194"),
        ({"params": {"user": "reader", "password": "wrong"}}, 403, "516"),
    ],
)
def test_nobody_reads_without_the_password(served: Any, credentials: Any, status: int, code: str) -> None:
    """
    Without or with wrong credentials the answer is the server's, and no query runs.
    """
    params = {"query": "SELECT 1", **credentials.pop("params", {})}

    answer = httpx.get(served.url, params=params, **credentials)

    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, code)


@pytest.mark.parametrize(
    "credentials",
    [
        {"auth": ("reader", "s3cret")},
        {"headers": {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "s3cret"}},
        {"params": {"user": "reader", "password": "s3cret"}},
    ],
)
def test_each_way_to_say_who_asks(served: Any, credentials: Any) -> None:
    """
    Basic, ClickHouse's headers and the URL are all understood.
    """
    params = {"query": "SELECT 1", **credentials.pop("params", {})}

    assert httpx.get(served.url, params=params, **credentials).text == "1\n"


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELECT nothing", 404, "47"),
        ("SELECT nofunction(1)", 404, "46"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT 1 FORMAT Nothing", 404, "73"),
        ("SELECT 1; SELECT 2", 400, "62"),
    ],
)
def test_errors_are_the_servers(ask: Any, sql: str, status: int, code: str) -> None:
    """
    Status, code and text are those that ClickHouse gives.
    """
    answer = ask(sql)

    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_a_query_is_bounded_in_time_and_size(ask: Any) -> None:
    """
    A query that takes too long or answers too much is stopped with the engine's own error.
    """
    slow = ask("SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1")
    large = ask("SELECT * FROM numbers(1000000)")

    assert (slow.status_code, slow.headers["x-clickhouse-exception-code"]) == (408, "159")
    assert large.headers["x-clickhouse-exception-code"] == "396"
    assert ask(" " * (2 << 20)).status_code == 413


def test_too_many_at_once_are_turned_away(ask: Any) -> None:
    """
    Some run, some wait, the rest is told so at once; nobody waits without end.
    """
    slow = "SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1"
    with ThreadPoolExecutor(12) as threads:
        answers = [
            future.result() for future in [threads.submit(ask, slow, max_execution_time="0.5") for _ in range(12)]
        ]

    codes = [answer.headers["x-clickhouse-exception-code"] for answer in answers]

    assert set(codes) == {"159", "202"}
    assert codes.count("202") <= 4


def test_unknown_doors_stay_shut(served: Any) -> None:
    """
    Only what ClickHouse serves is served.
    """
    assert httpx.get(f"{served.url}/play", auth=served.auth).status_code == 404
    assert httpx.put(served.url, auth=served.auth).status_code == 405
    assert httpx.post(served.url, auth=served.auth, params={"compress": "1"}, content=b"x").status_code == 501
