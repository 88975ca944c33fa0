"""`forewarn traces` and `forewarn query` against a served store."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from forewarn.conventions import Topic
from forewarn_collector.commands import query, traces
from forewarn_collector.log.interface import Record
from forewarn_collector.store.interface import BadQuery, NotAllowed, StoreUnavailable
from forewarn_collector.store.library import named_queries
from forewarn_collector.store.reader import Reader

FIRST, SECOND = "ab" + "0" * 30, "ac" + "0" * 30


@pytest.fixture(scope="module")
def recent(served: Any, otlp: Any) -> Any:
    """Two traces of a minute ago, of which one holds a destructive call that paged somebody."""
    now = time.time_ns() - 60_000_000_000
    said = {"gen_ai.operation.name": "execute_tool", "forewarn.agent.path": "janitor > cleaner"}
    spans = [
        otlp.span(
            number,
            trace_id=bytes.fromhex(trace),
            start_time_unix_nano=now,
            end_time_unix_nano=0 if tool == "drop_table" else now + 1_000_000,
            attributes=said | {"gen_ai.tool.name": tool, "forewarn.effect": effect},
        )
        for number, (trace, tool, effect) in enumerate(
            [(FIRST, "list_tables", "read"), (SECOND, "drop_table", "destructive")], start=50
        )
    ]
    served.store.insert_spans([replace(otlp, start_ns=now).record(*spans)], token="recent")
    sent = {"id": "1", "kind": "delivery.sent", "time_unix_nano": now + 3_100_000, "trace_id": SECOND, "incident": "i"}
    sent |= {"span_id": f"{51:016x}", "target": "oncall", "target_type": "pagerduty"}
    served.store.insert_events([Record(Topic.EVENTS, 0, 0, orjson.dumps(sent))], token="recent")
    return served


@pytest.fixture
def run(recent: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FOREWARN_STORE", f"{recent.url}/{recent.store._database}")
    monkeypatch.setenv("FOREWARN_STORE_USER", recent.user)
    monkeypatch.setenv("FOREWARN_STORE_PASSWORD", recent.password)
    apps = {"traces": traces.app, "query": query.app}
    return lambda verb, *arguments: CliRunner().invoke(apps[verb], arguments)


def test_traces_are_listed_newest_first(run: Any) -> None:
    """
    The list says what each trace did; filters narrow it.
    """
    everything = json.loads(run("traces", "list", "--json").stdout)
    destructive = json.loads(run("traces", "list", "--destructive", "--since", "1h", "--json").stdout)

    assert {row["trace_id"] for row in everything} == {FIRST, SECOND}
    assert [(row["trace_id"], row["destructive"], row["unfinished"]) for row in destructive] == [(SECOND, 1, 1)]
    assert json.loads(run("traces", "list", "--tool", "list_tables", "--json").stdout)[0]["trace_id"] == FIRST
    assert "drop_table" not in run("traces", "list", "--since", "1s").stdout


def test_people_get_a_table(run: Any) -> None:
    """
    Without --json the same is a table, without a frame.
    """
    result = run("traces", "list")

    assert result.exit_code == 0
    assert result.stdout.split()[:3] == ["trace_id", "started", "duration_ms"]
    assert SECOND in result.stdout


def test_a_prefix_is_enough(run: Any) -> None:
    """
    Any unique beginning of a trace id shows it, upper or lower case.
    """
    result = run("traces", "show", "AC")

    assert result.exit_code == 0, result.stderr
    assert "drop_table()" in result.stdout
    assert "outcome unknown" in result.stdout
    assert "oncall via PagerDuty (+3.1 ms)" in result.stdout


def test_a_trace_is_told_as_json(run: Any) -> None:
    """
    --json prints one document and nothing else.
    """
    document = json.loads(run("traces", "show", SECOND, "--json").stdout)

    assert [entry["kind"] for entry in document["entries"]] == ["call", "unknown_outcome", "paged"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("show", "a"), 1, f"several traces begin with a: {FIRST}, {SECOND}"),
        (("show", "ad"), 1, "no trace begins with ad"),
        (("show", "xyz"), 2, "'xyz' is not the beginning of a trace id"),
        (("show", "a" * 33), 2, "is not the beginning of a trace id"),
        (("list", "--since", "yesterday"), 2, "'yesterday' is no period"),
        (("list", "--since", "0h"), 2, "'0h' is no period"),
        (("list", "--limit", "0"), 2, ""),
    ],
)
def test_wrong_use_is_told_apart_from_bad_news(run: Any, arguments: tuple[str, ...], status: int, message: str) -> None:
    """
    The exit status says whose fault it is, the message what to do.
    """
    result = run("traces", *arguments)

    assert result.exit_code == status
    assert message.split(":", maxsplit=1)[0] in result.stderr
    assert result.stdout == ""


def test_named_queries_are_listed(run: Any) -> None:
    """
    Every named question is listed with its parameters.
    """
    listed = json.loads(run("query", "list", "--json").stdout)
    text = run("query", "list").stdout

    assert [each["name"] for each in listed] == list(named_queries())
    assert "--param prefix=...  the beginning of a trace id in hexadecimal (needed)" in text


def test_a_named_query_runs_with_parameters(run: Any) -> None:
    """
    Parameters fill the blanks; --json gives objects, --format what ClickHouse writes.
    """
    as_json = run("query", "run", "started-never-ended", "--param", "environment=production", "--json")
    formatted = run("query", "run", "calls-by-tool", "--format", "CSVWithNames")
    nothing = run("query", "run", "started-never-ended", "--param", "environment=nowhere")

    assert [row["trace_id"] for row in json.loads(as_json.stdout)] == [SECOND]
    assert formatted.stdout.startswith('"tool","effect","calls"')
    assert nothing.stdout == "Nothing found.\n"


def test_sql_runs(run: Any) -> None:
    """
    Any statement that reads is answered, with parameters as values.
    """
    counted = run("query", "sql", "SELECT any(tool) AS name, count() AS n FROM calls WHERE tool = {tool:String}",
                  "--param", "tool=drop_table", "--json")  # fmt: skip

    assert json.loads(counted.stdout) == [{"name": "drop_table", "n": 3}]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("run", "nothing"), 2, "there is no query nothing; there are: agents, calls-by-tool"),
        (("run", "trace"), 2, "trace needs prefix"),
        (("run", "trace", "--param", "id=1"), 2, "trace has no parameter id"),
        (("run", "trace", "--param", "prefix"), 2, "'prefix' is no parameter"),
        (("sql", "SELECT * FROM nowhere"), 2, "UNKNOWN_TABLE"),
        (("sql", "DROP TABLE spans"), 2, "READONLY"),
        (("sql", "SELECT 1", "--format", "Nothing"), 2, "Unknown format"),
        (("sql", ""), 2, "there is no statement"),
        (("sql", " ;\n"), 2, "there is no statement"),
        (("sql", "SELEC"), 2, "Unknown expression identifier `SELEC`"),
        (("sql", "SELECT 1 +"), 2, "Syntax error: failed at position 11"),
        (("sql", "SELECT 1 FORMAT JSON"), 2, "give it with --format"),
    ],
)
def test_a_wrong_question_is_wrong_use(run: Any, arguments: tuple[str, ...], status: int, message: str) -> None:
    """
    Names, parameters and SQL that are wrong end with 2 and say why.
    """
    result = run("query", *arguments)

    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr
    assert "Native" not in result.stderr


def test_help_has_examples(run: Any) -> None:
    """
    Every command's help ends with lines to copy.
    """
    for verb, command in [
        ("traces", "list"),
        ("traces", "show"),
        ("query", "list"),
        ("query", "run"),
        ("query", "sql"),
    ]:
        assert f"forewarn {verb} {command}" in " ".join(run(verb, command, "--help").stdout.split())


def test_the_data_folder_says_which_store(recent: Any, tmp_path: Path) -> None:
    """
    Without an address the endpoints that `forewarn serve` wrote are used.
    """
    store = f"{recent.url}/{recent.store._database}"
    endpoints = {"http": "", "store": store, "reader": {"user": recent.user, "password": recent.password}}
    (tmp_path / "endpoints.json").write_text(json.dumps(endpoints))

    result = CliRunner().invoke(traces.app, ["list", "--data", str(tmp_path), "--json"])

    assert len(json.loads(result.stdout)) == 2


@pytest.mark.parametrize(
    ("written", "message"),
    [(None, "endpoints.json is not there. Start `forewarn serve`"), ("{", "is damaged"), ("[]", "is damaged")],
)
def test_without_a_store_it_says_how_to_get_one(tmp_path: Path, written: str | None, message: str) -> None:
    """
    Nothing to ask ends with 3 and what to do.
    """
    if written is not None:
        (tmp_path / "endpoints.json").write_text(written)

    result = CliRunner().invoke(traces.app, ["list", "--data", str(tmp_path)])

    assert (result.exit_code, result.stdout) == (3, "")
    assert message in result.stderr
    print("SAID", result.stderr)


def test_a_store_that_does_not_answer_cannot_be_reached(tmp_path: Path, free_port: int) -> None:
    """
    A refused connection and a wrong password end with 3.
    """
    result = CliRunner().invoke(traces.app, ["list", "--store", f"http://127.0.0.1:{free_port}"])

    assert (result.exit_code, result.stdout) == (3, "")
    assert f"no store answers at http://127.0.0.1:{free_port}" in result.stderr


def test_the_reader_tells_its_faults_apart(recent: Any, free_port: int) -> None:
    """
    Unreachable, not allowed and wrong question are three errors; none holds the password.
    """
    with pytest.raises(NotAllowed, match="does not accept user 'reader'") as refused:
        Reader(recent.url, "reader", "wrong password").sql("SELECT 1")
    with pytest.raises(StoreUnavailable, match="is `forewarn serve` running"):
        Reader(f"http://127.0.0.1:{free_port}", "reader", "x").sql("SELECT 1")
    with pytest.raises(BadQuery, match="is no address of a store"):
        Reader("127.0.0.1:8123", "reader", "x").sql("SELECT 1")
    with pytest.raises(BadQuery, match="there is no query nothing"):
        Reader(recent.url, "reader", "x").run("nothing")
    assert "wrong password" not in str(refused.value)


def test_the_driver_does_not_speak_beside_the_command(run: Any) -> None:
    """
    A fault is told once: what the driver logs of it has nowhere to go unless somebody asks for it.
    """
    assert run("query", "sql", "SELEC").stderr.count("\n") == 1
    assert any(isinstance(each, logging.NullHandler) for each in logging.getLogger("clickhouse_connect").handlers)


@pytest.mark.parametrize("given", ["./forewarn.toml", "--config", "FOREWARN_CONFIG"])
def test_the_settings_file_says_which_data_folder(
    recent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """
    `data` counts for these commands as for `serve`: relative to its file, below the variable and the flag.
    """
    endpoints = {"store": f"{recent.url}/{recent.store._database}"}
    endpoints |= {"reader": {"user": recent.user, "password": recent.password}}
    config = tmp_path / "forewarn.toml"
    config.write_text('data = "kept"\nrules = ["./rules"]\n')
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/endpoints.json").write_text(json.dumps(endpoints))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path if given == "./forewarn.toml" else tmp_path / "empty")
    if given == "FOREWARN_CONFIG":
        monkeypatch.setenv("FOREWARN_CONFIG", str(config))
    arguments = ["list", "--json", *(["--config", str(config)] if given == "--config" else [])]

    from_file = CliRunner().invoke(traces.app, arguments)
    monkeypatch.setenv("FOREWARN_DATA", str(tmp_path / "empty"))
    from_variable = CliRunner().invoke(traces.app, arguments)
    from_flag = CliRunner().invoke(traces.app, [*arguments, "--data", str(tmp_path / "kept")])

    assert [result.exit_code for result in (from_file, from_variable, from_flag)] == [0, 3, 0]
    assert len(json.loads(from_file.stdout)) == 2


@pytest.mark.parametrize(
    ("written", "message"),
    [(None, "cannot be read"), ("data = ", "is not TOML"), ("data = 7", "data is a path, written as a text")],
)
def test_a_broken_settings_file_is_wrong_use(tmp_path: Path, written: str | None, message: str) -> None:
    """
    No other folder is asked in place of the one that cannot be read.
    """
    config = tmp_path / "forewarn.toml"
    if written is not None:
        config.write_text(written)

    result = CliRunner().invoke(traces.app, ["list", "--config", str(config)])

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
