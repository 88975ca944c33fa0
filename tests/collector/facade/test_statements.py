"""What a reader cannot do, however it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PLANTED = "planted by the test"
python_variable = [1, 2, 3]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text(PLANTED)
    return path


@pytest.fixture
def ask(served: Any) -> Iterator[Any]:
    with httpx.Client(base_url=served.url, auth=served.auth, params={"database": served.store._database}) as client:
        yield lambda sql: client.post("/", content=sql.encode())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 INTO OUTFILE '{new}'",
        "select 1 into/**/outfile '{new}' format CSV",
        "SELECT 1 INTO -- why\n OUTFILE '{new}' TRUNCATE",
        "(SELECT 1) UNION ALL (SELECT 2) INTO OUTFILE '{new}'",
        "EXPLAIN SELECT 1 INTO OUTFILE '{new}'",
        "EXPLAIN AST SELECT 1 INTO OUTFILE '{new}'",
        "SHOW TABLES INTO OUTFILE '{new}'",
        "DESCRIBE TABLE spans INTO OUTFILE '{new}'",
        "SHOW CREATE TABLE spans INTO OUTFILE '{new}'",
        "EXISTS TABLE spans INTO OUTFILE '{new}'",
        "EXISTS TABLE `{old}`",
        "DESCRIBE TABLE `{old}`",
        "SELECT file('{old}')",
        "SELECT FiLe /* a */ ( '{old}' )",
        "SELECT `file`('{old}')",
        "SELECT * FROM (SELECT file('{old}'))",
        "WITH x AS (SELECT file('{old}') AS f) SELECT f FROM x",
        "WITH (SELECT file('{old}')) AS f SELECT f",
        "SELECT 1 UNION ALL SELECT length(file('{old}'))",
        "SELECT arrayMap(x -> file(x), ['{old}'])",
        "SELECT * APPLY file FROM (SELECT '{old}')",
        "SELECT * APPLY (x -> file(x)) FROM (SELECT '{old}')",
        "SELECT COLUMNS('.') APPLY(file) FROM (SELECT '{old}')",
        "SELECT 1 WHERE file('{old}') != ''",
        "SELECT 1 ORDER BY file('{old}')",
        "SELECT * FROM view(SELECT file('{old}'))",
        "EXPLAIN SYNTAX SELECT file('{old}')",
        "EXPLAIN SELECT file('{old}')",
        "DESCRIBE (SELECT file('{old}'))",
        "SELECT * FROM file('{old}', 'LineAsString')",
        "SELECT * FROM '{old}'",
        "SELECT * FROM `{old}`",
        "SELECT * FROM fileCluster('c', '{old}', 'LineAsString')",
        "SELECT * FROM sqlite('{new}', 't')",
        "DESCRIBE sqlite('{new}', 't')",
        "SELECT 1 IN (SELECT 1 FROM sqlite('{new}', 't'))",
        "SELECT * FROM eval('SELECT file(''{old}'')')",
        "SELECT * FROM filesystem('/')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:9', system.one)",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "SELECT * FROM python(python_variable)",
        "SELECT * FROM Python(python_variable)",
        "SELECT * FROM python_variable",
        "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('{old}')))",
        "SELECT aiGenerate('x', 'y')",
        "SELECT sleepEachRow(3) FROM numbers(100)",
        "INSERT INTO FUNCTION file('{new}', 'CSV') SELECT 1",
        "INSERT INTO spans (name) VALUES ('x')",
        "INSERT INTO landing FORMAT Protobuf x",
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "DROP TABLE spans",
        "TRUNCATE TABLE spans",
        "ALTER TABLE spans DELETE WHERE 1",
        "OPTIMIZE TABLE spans FINAL",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 1000",
        "KILL QUERY WHERE 1",
        "SELECT 1 PARALLEL WITH KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "BACKUP TABLE spans TO File('{new}')",
        "USE system",
        "GRANT ALL ON *.* TO x",
        "EXECUTE AS x SELECT 1",
        "SELECT 1; DROP TABLE spans",
        "SELECT 1; SELECT 1 INTO OUTFILE '{new}'",
        "SELECT '\\'; SELECT file('{old}'); --'; SELECT file('{old}')",
    ],
)
def test_a_reader_only_reads_the_store(ask: Any, planted: Path, tmp_path: Path, sql: str) -> None:
    """
    Nothing outside is read or written and nothing inside is changed, whatever the statement hides behind.
    """
    answer = ask(sql.replace("{old}", str(planted)).replace("{new}", str(tmp_path / "new")))

    assert answer.status_code >= 400
    assert answer.headers["x-clickhouse-exception-code"] != "1001"
    assert PLANTED not in answer.text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert ask("SELECT count() FROM spans").text == "2\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'INTO OUTFILE', 'file(1)' -- SELECT file('x') INTO OUTFILE 'y'",
        "SELECT 1 AS file, 2 AS `into`, 3 AS outfile",
        "WITH x AS (SELECT tool FROM calls) SELECT tool, count() FROM x GROUP BY ALL",
        "FROM spans SELECT name",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT 1 INTERSECT SELECT 1",
        "SELECT a.name FROM spans AS a JOIN calls AS b USING (span_id)",
        "SELECT * FROM otel_traces ORDER BY Timestamp",
        "SELECT * FROM otel_traces_trace_id_ts",
        "SELECT number FROM numbers(3)",
        "EXPLAIN SELECT * FROM spans",
        "EXPLAIN AST SELECT 1",
        "DESCRIBE TABLE spans",
        "DESC spans",
        "EXISTS spans",
        "SHOW CREATE TABLE `spans`",
        "SHOW TABLES",
        "SHOW DATABASES",
        "SHOW COLUMNS FROM spans",
        "SELECT version(), timezone(), currentDatabase()",
        "SELECT name FROM system.columns WHERE table = 'spans'",
        "SELECT count() OVER (PARTITION BY tool), sum(1) FILTER (WHERE 1) FROM calls GROUP BY tool",
        "SELECT arrayMap(x -> x + 1, [1]), [1, 2][1], (1, 2).1, INTERVAL 1 DAY, CASE WHEN 1 THEN 2 END",
    ],
)
def test_a_question_is_answered(ask: Any, sql: str) -> None:
    """
    Whatever only reads the store runs, also where it looks like something else.
    """
    answer = ask(sql)

    assert answer.status_code == 200, answer.text
