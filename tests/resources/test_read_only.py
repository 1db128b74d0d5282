"""What a user's statement may say: whatever it is, the home folder stays as it was, and only tables are read."""

import hashlib
import shutil
import sqlite3
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from resources.catalog import extension_file
from resources.read_only import PAST, REFUSED_FUNCTIONS, TABLE_FUNCTIONS, NoTable, NotAQuery, answer
from resources.warehouse import Warehouse
from selection_platform.cli.cookbook import questions

SECRET = "kept from readers"
MANY, FEW = 500, 3
"""Rows that go to a Parquet file, and rows that stay in the catalog."""


class Filled(NamedTuple):
    """A home folder with files, a warehouse in it that has a past, and what a reader has."""

    home: Path
    warehouse: Warehouse
    connection: duckdb.DuckDBPyConnection

    def ask(self, statement, **values):
        return answer(self.connection, statement, values)

    def state(self):
        """Every file of the home folder, and what the catalog holds, which may be on a server.

        Whoever opens SQLite's catalog makes two files beside it: `-shm`, which holds locks, and `-wal`, which holds
        what is not in the catalog's own file yet. So the first is left out, and the second while it is empty.
        """
        files = {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.home.rglob("*")
            if path.is_file()
            and not path.name.endswith("catalog.sqlite-shm")
            and not (path.name.endswith("catalog.sqlite-wal") and path.stat().st_size == 0)
        }
        tables = (
            "snapshot",
            "snapshot_changes",
            "data_file",
            "delete_file",
            "metadata",
            "files_scheduled_for_deletion",
        )
        sources = [f"{self.warehouse.metadata}.ducklake_{table}" for table in tables]
        return files, [self.connection.execute(f"FROM {source}").fetchall() for source in sources]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def filled(tmp_path_factory, request):
    home = tmp_path_factory.mktemp("filled") / "it's a home"
    folder = str(home / "it's a warehouse")
    with ExitStack() as stack:
        warehouse = Warehouse(folder=folder)
        if request.param == "postgres":
            server = request.getfixturevalue("server")
            warehouse = Warehouse(folder=folder, catalog=f"postgres:{server}", catalog_schema=f"it's {uuid.uuid4()}")
        fill(home, warehouse)
        yield Filled(home, warehouse, stack.enter_context(warehouse.read()))


@pytest.fixture(scope="module")
def before(filled):
    """The state before all tests: to read it takes longer than to ask."""
    return filled.state()


def fill(home, warehouse):
    for pool, rows in (("p", MANY), ("p", MANY), ("q", FEW)):
        ids = f"SELECT 's' || i AS sample_id, i::DOUBLE AS score FROM range({rows}) AS r(i)"
        warehouse.replace("scores.ifd", {"pool": pool, "model": "m"}, ids)
    for name in ("artifacts/checkpoint/model.safetensors", "artifacts/checkpoint/manifest.json", "dagster/history.db"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f'{{"secret": "{SECRET}"}}')
    with sqlite3.connect(home / "other.db") as database:
        database.execute("CREATE TABLE t AS SELECT ? AS secret", (SECRET,))
    shutil.copy(next(warehouse.tables.rglob("*.parquet")), home / "copy.parquet")


ATTEMPTS = [
    # Statements that change something.
    "DELETE FROM scores.ifd",
    "UPDATE scores.ifd SET score = 2",
    "INSERT INTO scores.ifd SELECT * FROM scores.ifd",
    "TRUNCATE scores.ifd",
    "MERGE INTO scores.ifd USING (SELECT 's1' AS id) ON sample_id = id WHEN MATCHED THEN DELETE",
    "CREATE TABLE scores.own (x INTEGER)",
    "CREATE TEMP TABLE own AS SELECT 1",
    "CREATE MACRO own() AS TABLE FROM scores.ifd",
    "DROP TABLE scores.ifd",
    "ALTER TABLE scores.ifd ADD COLUMN x INTEGER",
    "COMMENT ON TABLE scores.ifd IS 'x'",
    "BEGIN",
    "SELECT 1; DELETE FROM scores.ifd",
    "SELECT 1; SELECT 2",
    "",
    "WITH gone AS (DELETE FROM scores.ifd RETURNING *) FROM gone",
    # Statements that write files.
    "COPY (SELECT 1) TO '$home/own.csv'",
    "COPY (SELECT 1) TO '$tables/own.csv'",
    "COPY scores.ifd TO '$home/artifacts/checkpoint/model.safetensors' (FORMAT csv)",
    "COPY (SELECT 1 AS i, 2) TO '$home/artifacts' (FORMAT parquet, PARTITION_BY (i), OVERWRITE)",
    "EXPORT DATABASE '$home/own'",
    "EXPORT DATABASE '$tables/own'",
    "CHECKPOINT",
    "FORCE CHECKPOINT warehouse",
    "VACUUM",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '$home/artifacts/checkpoint/manifest.json' (FORMAT csv)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '$parquet'",
    "explain\n\tanalyze /* SELECT */ copy (SELECT 1) TO '$tables/own.csv'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '$tables/own.csv'",
    "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1 AS i, 2) TO '$tables' (FORMAT parquet, PARTITION_BY (i), OVERWRITE)",
    "EXPLAIN ANALYZE COPY (SELECT 1 AS i, 2) TO '$home/artifacts' (FORMAT parquet, PARTITION_BY (i), OVERWRITE)",
    "EXPLAIN (FORMAT json, ANALYZE true) COPY (SELECT 1) TO '$tables/own.csv'",
    "-- SELECT 1\nEXPLAIN -- a\n ANALYZE COPY (SELECT 1) TO '$tables/own.csv'",
    "EXPLAIN\u00a0ANALYZE\u2003COPY (SELECT 1) TO '$tables/own.csv'",
    "EXPLAIN ANALYZE\u2003CREATE\u2003TABLE\u2003own\u2003AS SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM scores.ifd",
    "EXPLAIN ANALYZE INSERT INTO scores.ifd SELECT * FROM scores.ifd",
    "EXPLAIN ANALYZE CREATE TEMP TABLE own AS SELECT 1",
    "EXPLAIN ANALYZE CALL force_checkpoint('warehouse')",
    "EXPLAIN DELETE FROM scores.ifd",
    "EXPLAIN SELECT 1; DELETE FROM scores.ifd",
    # Statements that set, load, run or prepare something.
    "SET enable_external_access = true",
    "SET VARIABLE x = 1",
    "RESET allowed_directories",
    "USE memory",
    "PRAGMA memory_limit = '1GB'",
    "PRAGMA enable_profiling",
    "PRAGMA table_info('scores.ifd')",
    "PRAGMA json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "CALL ducklake_expire_snapshots('warehouse', versions => [1])",
    "CALL warehouse.set_option('parquet_compression', 'zstd')",
    "CALL pragma_version()",
    "ATTACH '$home/other.db'",
    "ATTACH 'ducklake:sqlite:$home/own.sqlite' AS own",
    "DETACH warehouse",
    "INSTALL httpfs",
    "LOAD '$extension'",
    "IMPORT DATABASE '$home/own'",
    "CREATE SECRET own (TYPE s3)",
    "CREATE PERSISTENT SECRET own (TYPE s3)",
    "PREPARE own AS SELECT 1",
    "EXECUTE own",
    "PIVOT scores.ifd ON pool USING sum(score)",
    # Functions that write, delete, log or run SQL, however their name is written and wherever they stand.
    "FROM checkpoint('warehouse')",
    "FROM checkpoint()",
    "FROM force_checkpoint()",
    "SELECT * FROM \"Force_Checkpoint\" /* ( */ ('warehouse')",
    "FROM system.main.checkpoint('warehouse')",
    "SELECT (SELECT count(*) FROM checkpoint('warehouse'))",
    "WITH gone AS (FROM checkpoint('warehouse')) FROM gone",
    "FROM scores.ifd, LATERAL (FROM checkpoint('warehouse'))",
    "FROM scores.ifd WHERE EXISTS (FROM checkpoint('warehouse'))",
    "FROM scores.ifd AT (VERSION => (SELECT 1 FROM checkpoint('warehouse')))",
    "FROM scores.ifd LIMIT (SELECT 1 FROM checkpoint('warehouse'))",
    "VALUES ((SELECT 1 FROM checkpoint('warehouse')))",
    "SELECT 1 UNION ALL SELECT 1 FROM checkpoint('warehouse')",
    "DESCRIBE FROM checkpoint('warehouse')",
    "SUMMARIZE FROM checkpoint('warehouse')",
    "EXPLAIN ANALYZE FROM checkpoint('warehouse')",
    "FROM ducklake_flush_inlined_data('warehouse')",
    "FROM warehouse.flush_inlined_data()",
    "FROM warehouse.main.flush_inlined_data()",
    "FROM ducklake_merge_adjacent_files('warehouse')",
    "FROM warehouse.merge_adjacent_files()",
    "FROM ducklake_rewrite_data_files('warehouse')",
    "FROM ducklake_expire_snapshots('warehouse', versions => [1])",
    "FROM ducklake_cleanup_old_files('warehouse', cleanup_all => true)",
    "FROM ducklake_delete_orphaned_files('warehouse', cleanup_all => true)",
    "FROM ducklake_add_data_files('warehouse', 'ifd', '$parquet', schema => 'scores')",
    "FROM ducklake_set_option('warehouse', 'parquet_compression', 'zstd')",
    "FROM warehouse.set_option('parquet_compression', 'zstd')",
    "FROM ducklake_set_commit_message('warehouse', 'a', 'b')",
    "FROM enable_logging(storage => 'file', storage_path => '$tables/logs')",
    "FROM enable_profiling(save_location => '$tables/profile.json')",
    "FROM duckdb_logs()",
    "FROM duckdb_secrets()",
    "FROM query('FROM checkpoint(''warehouse'')')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM checkpoint(''warehouse'')'))",
    "SELECT json_serialize_plan('FROM read_csv(''$home/dagster/history.db'')')",
    "SELECT \"Write_Log\"('x')",
    "SELECT main.nextval('x')",
    "SELECT __internal_decompress_string(1::UTINYINT)",
    # Other databases, and the catalog behind the warehouse's back.
    "FROM sqlite_scan('$home/other.db', 't')",
    """FROM "SQLITE_scan" /* ( */ ('$home/other.db', 't')""",
    "FROM system.main.sqlite_attach('$home/other.db')",
    "FROM sqlite_query('__ducklake_metadata_warehouse', 'SELECT 1')",
    "FROM query('FROM sqlite_scan(''$home/other.db'', ''t'')')",
    "FROM postgres_execute('__ducklake_metadata_warehouse', 'COMMIT; CREATE TABLE own (x INTEGER)')",
    "FROM postgres_query('__ducklake_metadata_warehouse', 'SELECT pg_read_file(''/etc/hostname'')')",
    "FROM postgres_scan('dbname=postgres host=127.0.0.1', 'public', 't')",
    "FROM $metadata.ducklake_metadata",
    'FROM "__DuckLake_Metadata_warehouse".ducklake_metadata',
    "FROM query_table('$metadata.ducklake_metadata')",
    "FROM query_table(['scores.ifd'])",
    "FROM query_table('scores.ifd' || reverse('x'))",
    # Files.
    "FROM read_text('$home/artifacts/checkpoint/manifest.json')",
    "FROM read_blob('$home/artifacts/checkpoint/model.safetensors')",
    "FROM read_json('$home/artifacts/checkpoint/manifest.json')",
    "FROM read_json_objects('$home/artifacts/checkpoint/manifest.json')",
    "FROM read_csv('$home/dagster/history.db')",
    "FROM sniff_csv('$home/dagster/history.db')",
    "FROM read_parquet('$home/copy.parquet')",
    "FROM parquet_scan('$home/copy.parquet')",
    "FROM parquet_metadata('$home/copy.parquet')",
    "FROM read_duckdb('$home/other.db')",
    "FROM glob('$home/**')",
    "FROM glob('$tables/**')",
    "FROM '$home/copy.parquet'",
    "FROM '$home/artifacts/checkpoint/manifest.json'",
    "FROM '$home/other.db'",
    "FROM '$home/**/*.json'",
    "FROM '$tables/../../artifacts/checkpoint/manifest.json'",
    "DESCRIBE '$home/copy.parquet'",
    "SUMMARIZE '$home/copy.parquet'",
    "SELECT (SELECT count(*) FROM '$home/copy.parquet')",
    "FROM query_table('$home/copy.parquet')",
    "FROM histogram('$home/copy.parquet', score)",
    "FROM pandas_scan(1)",
    "FROM given",
]


def written(filled, statement):
    """A statement with the paths in it."""
    words = {
        "$home": filled.home, "$tables": filled.warehouse.tables, "$extension": extension_file("ducklake"),
        "$parquet": next(filled.warehouse.tables.rglob("*.parquet")),
    }  # fmt: skip
    for word, path in words.items():
        statement = statement.replace(word, str(path).replace("'", "''"))
    return statement.replace("$metadata", filled.warehouse.metadata)


@pytest.mark.parametrize("statement", ATTEMPTS)
def test_nothing_is_changed_and_nothing_else_is_read(filled, before, statement):
    with pytest.raises((duckdb.Error, NotAQuery)) as raised:
        filled.ask(written(filled, statement))
    assert SECRET not in str(raised.value)
    assert filled.state() == before


@pytest.mark.parametrize("statement", ["DELETE FROM scores.ifd", "FROM read_text('$home/dagster/history.db')"])
def test_a_readers_connection_changes_no_table_and_reaches_no_file_beside_them(filled, statement):
    with pytest.raises(duckdb.Error, match=r"read-only|disabled by configuration"):
        filled.connection.execute(written(filled, statement))


ALLOWED = [
    "FROM scores.ifd",
    "FROM warehouse.scores.ifd",
    "TABLE scores.ifd",
    "SELECT pool, count(*) FROM scores.ifd GROUP BY pool",
    "FROM scores.ifd SELECT pool LIMIT 1;",
    "WITH few AS (FROM scores.ifd LIMIT 3) FROM few",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n",
    "VALUES (1), (2)",
    "SELECT 1 UNION ALL SELECT 2",
    "(SELECT 1)",
    "DESCRIBE scores.ifd",
    "DESCRIBE SELECT score FROM scores.ifd",
    "SUMMARIZE scores.ifd",
    "SHOW ALL TABLES",
    "SHOW TABLES FROM scores",
    "FROM (SHOW ALL TABLES) WHERE schema = 'scores'",
    "FROM (PIVOT scores.ifd ON pool IN ('p', 'q') USING sum(score))",
    "EXPLAIN SELECT 1",
    "EXPLAIN (SELECT 1)",
    "EXPLAIN ANALYZE FROM scores.ifd",
    "EXPLAIN (ANALYZE, FORMAT json) FROM scores.ifd",
    "EXPLAIN (FORMAT 'json') FROM scores.ifd",
    "/* why */ EXPLAIN -- this\n FROM scores.ifd",
    "SELECT 'ä query (' AS query, (1) -- sqlite_scan (",
    "SELECT 'COPY (SELECT 1) TO ''x''' AS \"checkpoint\"",
    "FROM scores.ifd AT (VERSION => 2)",
    "FROM query_table('scores.ifd')",
    "FROM query_table('scores.\"' || 'ifd' || '\"')",
    "FROM '$parquet'",
    "FROM information_schema.tables",
    "FROM duckdb_tables() WHERE schema_name = 'scores'",
    "FROM duckdb_columns WHERE table_name = 'ifd'",
    "FROM duckdb_functions() WHERE function_name = 'median'",
    "FROM pragma_table_info('scores.ifd')",
    "FROM ducklake_snapshots('warehouse')",
    "FROM warehouse.snapshots()",
    "FROM current_snapshot()",
    "FROM ducklake_table_info('warehouse')",
    "FROM ducklake_table_changes('warehouse', 'scores', 'ifd', 1, 3)",
    "FROM scores.table_changes('ifd', 1, 3)",
    "FROM scores.table_insertions('ifd', 1, 3)",
    "FROM range(3), unnest([1, 2]), generate_series(1, 2), repeat('a', 2)",
    "FROM json_each('[1, 2]')",
    "SELECT unnest([1, 2]), random() < 2, uuid() IS NULL, now() IS NULL, version()",
    "SELECT list_transform([1, 2], lambda x: x + 1), [x + 1 FOR x IN [1, 2]], {'a': 1}, 'a' LIKE 'b', md5('a')",
    "SELECT pool, sum(score) OVER (PARTITION BY pool), 7 // 2, score::INT FROM scores.ifd QUALIFY rank() OVER () = 1",
    "SELECT median(score), arg_max(sample_id, score), histogram(score) FROM scores.ifd USING SAMPLE 10 ROWS",
    "FROM scores.ifd AS a JOIN scores.ifd AS b USING (sample_id) WHERE a.pool IN (SELECT pool FROM scores.ifd)",
]


@pytest.mark.parametrize("statement", ALLOWED)
def test_every_statement_that_reads_is_answered(filled, before, statement):
    result = filled.ask(written(filled, statement))
    assert result.width > 0
    assert result.height > 0
    assert filled.state() == before


def test_values_may_name_a_table_of_the_warehouse_alone(filled):
    statement = "SELECT count(*) FROM query_table('scores.\"' || $method || '\"')"
    assert filled.ask(statement, method="ifd").item() == MANY + FEW
    assert filled.ask("SELECT count(*) FROM query_table($t)", t="scores.ifd").item() == MANY + FEW
    for method in ('ifd" x', 'ifd"."x'):
        with pytest.raises(NotAQuery, match="is not a table of the warehouse"):
            filled.ask(statement, method=method)
    with pytest.raises(NotAQuery, match="is not a table of the warehouse"):
        filled.ask("FROM query_table($t)", t=f"{filled.warehouse.metadata}.ducklake_snapshot")


@pytest.mark.parametrize("question", questions().values(), ids=questions())
def test_every_question_of_the_cookbook_is_allowed(filled, question):
    parameters = duckdb.extract_statements(question.statement)[0].named_parameters
    known = {"method": "ifd", "snapshot": 2, "budget": 1}
    filled.ask(question.statement, **{name: known.get(name, "p") for name in parameters})


@pytest.mark.parametrize(
    ("statement", "refused", "allowed"),
    [
        ("COPY (SELECT 1) TO 'x'", "one statement that only reads is needed", "SELECT, FROM, WITH, VALUES"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x'", "one statement that only reads", "EXPLAIN before one of these"),
        ("FROM read_text('x')", "the function read_text is not allowed after FROM", "query_table, range, repeat"),
        ("FROM other.ifd", "other.ifd is not allowed here", "in the schemas benchmarks, experiments, features"),
        ("SELECT write_log('x')", "the function write_log is not allowed", "only functions that compute values are"),
        (f"SELECT {'+'.join('1' * 900)}", "nested too deeply", ""),
    ],
)
def test_the_message_says_what_is_not_allowed_and_what_is(filled, statement, refused, allowed):
    with pytest.raises(NotAQuery) as raised:
        filled.ask(statement)
    assert refused in str(raised.value)
    assert allowed in str(raised.value)


HARMLESS = {
    "current_connection_id", "current_query", "current_query_id", "current_transaction_id", "currval", "error",
    "gen_random_uuid", "random", "setseed", "sleep_ms", "stats", "uuid", "uuidv4", "uuidv7",
}  # fmt: skip


def test_every_function_that_is_not_fixed_by_its_arguments_is_known(filled):
    """A new DuckDB may bring others: look at them, then list them as refused or as harmless."""
    statement = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"
    assert {name for (name,) in filled.ask(statement).rows()} - REFUSED_FUNCTIONS == HARMLESS


def test_functions_after_from_that_are_allowed_exist(filled):
    """Those without a prefix that tell of the past are macros of DuckLake's, which DuckDB does not list."""
    listed = {name for (name,) in filled.ask("SELECT function_name FROM duckdb_functions()").rows()}
    assert TABLE_FUNCTIONS - {*PAST} <= listed


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("INTERVAL 1 DAY", "INTERVAL"),
        ("[{'a': INTERVAL 1 DAY}]", r"STRUCT\(a INTERVAL\)\[\]"),
        ("MAP {1: INTERVAL 1 DAY}", r"MAP\(INTEGER, INTERVAL\)"),
        ("union_value(a := 1)", r"UNION\(a INTEGER\)"),
        ("row(1, 2)", r"STRUCT\(INTEGER, INTEGER\)"),
    ],
)
def test_a_column_that_no_table_here_holds_is_named(value, kind):
    with pytest.raises(NoTable, match=rf"column v is of type {kind}, .* as in v::VARCHAR"):
        answer(duckdb.connect(), f"SELECT {value} AS v", {})
    assert answer(duckdb.connect(), f"SELECT ({value})::VARCHAR AS v", {}).height == 1


def test_nested_columns_and_columns_of_one_name_are_tables():
    statement = "SELECT [{'b': [1, 2]}] AS a, MAP {'k': 1} AS a, 3 AS \"A\""
    (row,) = answer(duckdb.connect(), statement, {}).to_dicts()
    assert row == {"a": [{"b": [1, 2]}], "a_1": {"k": 1}, "A_2": 3}
