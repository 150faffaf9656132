"""DuckDB without privacy, and the floor: per person clamped and bounded, without noise or choice of groups."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task
from questions import QUESTIONS

TASK = task()


def prepare():
    """Open the table as discreet does, and ask once of a thousand rows."""
    import duckdb

    connection = duckdb.connect(config={"preserve_insertion_order": "false"})
    connection.execute("SET enable_progress_bar = false")
    asked = QUESTIONS[TASK["question"]]
    query = asked.plain if TASK["query"] == "plain" else asked.floor.format(**TASK)
    show(connection, "sample", asked)
    connection.execute(query).fetchall()
    return connection, query


def show(connection, which, asked):
    connection.execute(f"CREATE OR REPLACE VIEW t AS SELECT * FROM read_parquet('{TASK[which]}')")
    if asked.joined is not None:
        other = TASK["joined"][asked.joined][which]
        connection.execute(f"CREATE OR REPLACE VIEW {asked.joined} AS SELECT * FROM read_parquet('{other}')")


def ask(ready):
    connection, query = ready
    show(connection, "table", QUESTIONS[TASK["question"]])
    return connection.execute(query).fetchall()


report(prepare, ask, versions={"duckdb": version("duckdb")})
