"""qrlew rewrites a query, and DuckDB runs what it wrote. The schema and the size come from a SQLite table of the same rows."""

from __future__ import annotations

import sqlite3
import tempfile
from importlib.metadata import version
from pathlib import Path

from meter import report, task

TASK = task()
QUESTION = TASK["question"]
ASKED = {
    "sums": "SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS m FROM t GROUP BY g",
    "count": "SELECT g, COUNT(*) AS n FROM t GROUP BY g",
    "sum": "SELECT g, SUM(v) AS s FROM t GROUP BY g",
    "mean": "SELECT g, AVG(v) AS m FROM t GROUP BY g",
    "variance": "SELECT g, VARIANCE(v) AS d FROM t GROUP BY g",
    "keys": "SELECT item, COUNT(*) AS n FROM t GROUP BY item",
}
# Known groups have to be texts: of numbers it finds the groups itself, whatever their range.
COLUMNS = {"uid": "uid", "item": "item"} if QUESTION == "keys" else {"uid": "uid", "g": "CAST(g AS VARCHAR)", "v": "v"}


def prepare():
    import duckdb
    from pyqrlew import Dataset
    from sqlalchemy import create_engine

    chosen = ", ".join(f"{column} AS {name}" for name, column in COLUMNS.items())
    view = f"SELECT {chosen} FROM read_parquet('{TASK['table']}')"
    path = Path(tempfile.mkdtemp(prefix="discreet-benchmark-")) / "schema.db"
    with sqlite3.connect(path) as copy:
        kinds = ", ".join(f"{name} {'TEXT' if name == 'g' else 'INTEGER'}" for name in COLUMNS)
        copy.execute(f"CREATE TABLE t ({kinds})")
        copy.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(COLUMNS))})", duckdb.sql(view).fetchall())
    tables = Dataset.from_database("benchmark", create_engine(f"sqlite:///{path}"), None)
    if QUESTION != "keys":
        tables = tables.with_range(None, "t", "v", TASK["low"], TASK["high"])
        tables = tables.with_possible_values(None, "t", "g", [str(group) for group in range(TASK["groups"])])
    return duckdb, tables, view


def ask(ready):
    from pyqrlew import Dialect, Relation

    duckdb, tables, view = ready
    budget = {"epsilon": TASK["epsilon"], "delta": TASK["delta"]}
    most = float(TASK["max_groups"] * TASK["max_rows"])
    asked = Relation.from_query(ASKED[QUESTION], tables)
    private = asked.rewrite_with_differential_privacy(tables, [("t", [], "uid")], budget, most, 1.0)
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"CREATE VIEW t AS {view}")
    return connection.execute(private.relation().to_query(Dialect.PostgreSql)).fetchall()


report(prepare, ask, versions={name: version(name) for name in ("pyqrlew", "duckdb")})
