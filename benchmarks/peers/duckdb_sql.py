"""DuckDB without privacy, and the floor: per person and group clamped, then summed, without noise or choice of groups."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task

TASK = task()
PLAIN = "SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS m FROM t GROUP BY g"
FLOOR = """
WITH person AS (
  SELECT uid, g, COUNT(*) AS n, COUNT(v) AS c,
         SUM(CASE WHEN v IS NULL THEN NULL WHEN v < {low} THEN {low} WHEN v > {high} THEN {high} ELSE v END) AS s
  FROM t WHERE uid IS NOT NULL AND g BETWEEN 0 AND {groups} - 1 GROUP BY uid, g
), total AS (
  SELECT g, SUM(LEAST(n, {max_rows})) AS n, SUM(LEAST(c, {max_rows})) AS c,
         SUM(CASE WHEN c > {max_rows} THEN s * {max_rows} // c ELSE s END) AS s
  FROM person GROUP BY g
) SELECT g, n, s, s / c AS m FROM total
"""


def prepare():
    """Open the table as discreet does, and ask once of a thousand rows."""
    import duckdb

    connection = duckdb.connect(config={"preserve_insertion_order": "false"})
    connection.execute("SET enable_progress_bar = false")
    query = PLAIN if TASK["query"] == "plain" else FLOOR.format(**TASK)
    connection.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{TASK['sample']}')")
    connection.execute(query).fetchall()
    return connection, query


def ask(ready):
    connection, query = ready
    connection.execute(f"CREATE OR REPLACE VIEW t AS SELECT * FROM read_parquet('{TASK['table']}')")
    return connection.execute(query).fetchall()


report(prepare, ask, versions={"duckdb": version("duckdb")})
