"""The tables of the SQL benchmarks: made by DuckDB from hashes, the same for ever, kept among the temporary files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import duckdb

GROUPS, CANDIDATES = 50, 100_000
UNIFORM = "hash({}) / 18446744073709551616.0"
TABLES = {
    # Row i belongs to a person drawn with density 1 / (2 sqrt(x)), in any group, with a value that clamping may meet.
    "heavy": f"""SELECT CAST(floor({{people}} * pow({UNIFORM.format("i, 1")}, 2)) AS BIGINT) * 7919 % 1000000007 AS uid,
        CAST(hash(i, 2) % {GROUPS} AS INTEGER) AS g,
        CAST(least(400, -60 * ln((hash(i, 3) + 1.0) / 18446744073709551616.0)) AS INTEGER) AS v
        FROM range({{rows}}) AS r(i)""",
    # Everyone has three groups, in turn.
    "fit": f"""SELECT i % {{people}} * 7919 % 1000000007 AS uid,
        CAST((hash(i % {{people}}, 2) % {GROUPS} + i // {{people}} % 3 * 17) % {GROUPS} AS INTEGER) AS g,
        CAST(hash(i, 3) % 101 AS INTEGER) AS v FROM range({{rows}}) AS r(i)""",
    # The same with finer values, and everyone once.
    "fine": f"""SELECT i % {{people}} * 7919 % 1000000007 AS uid,
        CAST((hash(i % {{people}}, 2) % {GROUPS} + i // {{people}} % 3 * 17) % {GROUPS} AS INTEGER) AS g,
        CAST(hash(i, 3) % 10000 AS INTEGER) AS v FROM range({{rows}}) AS r(i)""",
    "single": f"""SELECT i AS uid, CAST(hash(i, 2) % {GROUPS} AS INTEGER) AS g, CAST(hash(i, 3) % 10000 AS INTEGER) AS v
        FROM range({{rows}}) AS r(i)""",
    # Everyone draws keys from Zipf(1.05), 10 each where there are a fifth as many people as in the others.
    "keys": f"""WITH item AS (SELECT i, SUM(pow(i + 1, -1.05)) OVER (ORDER BY i) / SUM(pow(i + 1, -1.05)) OVER () AS upto
                              FROM range({CANDIDATES}) AS r(i)),
                     drawn AS (SELECT i, {UNIFORM.format("i, 4")} AS u FROM range({{rows}}) AS r(i))
        SELECT drawn.i % ({{rows}} // 10) AS uid, CAST(item.i AS INTEGER) AS item FROM drawn ASOF JOIN item ON drawn.u <= item.upto""",
    # Which area a group lies in: public.
    "r": f"SELECT CAST(i AS INTEGER) AS g, CAST(i % 7 AS INTEGER) AS area FROM range({GROUPS}) AS r(i)",
    # Something about each person.
    "w": """SELECT i * 7919 % 1000000007 AS uid, CAST(hash(i, 5) % 5 AS INTEGER) AS kind FROM range({people}) AS r(i)""",
}  # fmt: skip


def made(kind, rows, people):
    """Return the path of a table; made once."""
    folder = Path(tempfile.gettempdir()) / "discreet-benchmarks"
    folder.mkdir(exist_ok=True)
    path = folder / f"sql-1-{kind}-{rows}-{people}.parquet"
    if not path.exists():
        aside = path.with_suffix(f".{os.getpid()}")
        duckdb.execute(f"COPY ({TABLES[kind].format(rows=rows, people=people)}) TO '{aside}' (FORMAT parquet)")
        aside.rename(path)
    return path
