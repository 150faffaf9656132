"""What is asked: of DuckDB without privacy, as the floor, and of discreet.

A floor is what protecting people costs before groups are chosen and noise is added: every value clamped, every person
bounded to R rows in a group, or each person's part found. Needs Python's own library alone.
"""

from __future__ import annotations

from dataclasses import dataclass

ROWS = """
  SELECT uid, g, CASE WHEN v IS NULL THEN NULL WHEN v < {low} THEN {low} WHEN v > {high} THEN {high} ELSE v END AS v
  FROM t WHERE uid IS NOT NULL AND g BETWEEN 0 AND {groups} - 1"""


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Args:
        ours: As discreet is asked.
        plain: As it is asked where nobody is protected.
        floor: See above.
        account: The measure of the account that pays; "zcdp" with the task's delta.
        joined: The other table it needs: r (public) or w (a person's).
    """

    ours: str
    plain: str
    floor: str
    account: str = "pure"
    joined: str | None = None


def _same(sql, floor, **others):
    return Question(sql, sql, floor.replace("ROWS", ROWS), **others)


SUMS = """
WITH person AS (
  SELECT uid, KEY, COUNT(*) AS n, COUNT(v) AS c,
         SUM(CASE WHEN v IS NULL THEN NULL WHEN v < {low} THEN {low} WHEN v > {high} THEN {high} ELSE v END) AS s
  FROM TABLE WHERE uid IS NOT NULL AND g BETWEEN 0 AND {groups} - 1 GROUP BY ALL
), total AS (
  SELECT KEY, SUM(LEAST(n, {max_rows})) AS n, SUM(LEAST(c, {max_rows})) AS c,
         SUM(CASE WHEN c > {max_rows} THEN s * {max_rows} // c ELSE s END) AS s
  FROM person GROUP BY ALL
) SELECT KEY, n, s, s / c AS m FROM total
"""
SQUARES = """
WITH kept AS (ROWS), person AS (
  SELECT uid, g, COUNT(*) AS n, COUNT(v) AS c, SUM(v) AS s, SUM(v * v) AS q FROM kept GROUP BY uid, g
), total AS (
  SELECT g, SUM(LEAST(n, {max_rows})) AS n, SUM(LEAST(c, {max_rows})) AS c,
         SUM(CASE WHEN c > {max_rows} THEN s * {max_rows} // c ELSE s END) AS s,
         SUM(CASE WHEN c > {max_rows} THEN q * {max_rows} // c ELSE q END) AS q, COUNT(*) AS p
  FROM person GROUP BY g
) SELECT g, n, s, s / c AS m, sqrt(greatest(0, q / c - (s / c) ** 2)) AS d, p FROM total
"""
COUNTS = """
WITH person AS (SELECT uid, KEY, COUNT(*) AS n FROM t WHERE uid IS NOT NULL AND KEY IS NOT NULL GROUP BY ALL)
SELECT KEY, SUM(LEAST(n, {max_rows})) AS n FROM person GROUP BY ALL
"""
HISTOGRAM = """
WITH kept AS (SELECT * FROM (ROWS) WHERE v IS NOT NULL), pair AS (SELECT uid, g, COUNT(*) AS m FROM kept GROUP BY uid, g),
     weighed AS (SELECT g, v, SUM(CASE WHEN m > {max_rows} THEN {max_rows} * 4096 // m ELSE 4096 END) AS w
                 FROM kept JOIN pair USING (uid, g) GROUP BY g, v),
     summed AS (SELECT g, v, SUM(w) OVER (PARTITION BY g ORDER BY v) AS below, SUM(w) OVER (PARTITION BY g) AS every FROM weighed)
SELECT g, MIN(v) FROM summed WHERE below * 2 >= every GROUP BY g
"""
DISTINCT = (
    "WITH apart AS (SELECT DISTINCT uid, g, v FROM (ROWS)) SELECT g, COUNT(DISTINCT v) AS n FROM apart GROUP BY g"
)
PEOPLE = "WITH apart AS (SELECT DISTINCT uid, g FROM (ROWS)) SELECT g, COUNT(*) AS n FROM apart GROUP BY g"
TOTALS = "SELECT AVG(LEAST(GREATEST(s, 0), 1000)) AS m FROM (SELECT uid, SUM(v) AS s FROM t GROUP BY uid) AS p"


def _sums(sql, key="g", table="t", **others):
    return _same(sql, SUMS.replace("KEY", key).replace("TABLE", table), **others)


QUESTIONS = {
    "sums": _sums("SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS m FROM t GROUP BY g"),
    "median": _same("SELECT g, MEDIAN(v) AS m FROM t GROUP BY g", HISTOGRAM),
    "keys": _same("SELECT item, COUNT(*) AS n FROM t GROUP BY item", COUNTS.replace("KEY", "item"), account="zcdp"),
    "keys alone": _same("SELECT item FROM t GROUP BY item", COUNTS.replace("KEY", "item"), account="zcdp"),
    "count": _same("SELECT g, COUNT(*) AS n FROM t GROUP BY g", COUNTS.replace("KEY", "g")),
    "sum": _sums("SELECT g, SUM(v) AS s FROM t GROUP BY g"),
    "mean": _sums("SELECT g, AVG(v) AS m FROM t GROUP BY g"),
    "people": _same("SELECT g, COUNT(DISTINCT uid) AS n FROM t GROUP BY g", PEOPLE),
    "distinct": _same("SELECT g, COUNT(DISTINCT v) AS n FROM t GROUP BY g", DISTINCT),
    "variance": _same("SELECT g, VAR_POP(v) AS d FROM t GROUP BY g", SQUARES),
    "several": _same(
        "SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS m, STDDEV_POP(v) AS d, COUNT(DISTINCT uid) AS p FROM t GROUP BY g",
        SQUARES,
    ),
    "public join": _sums(
        "SELECT r.area, COUNT(*) AS n, SUM(t.v) AS s, AVG(t.v) AS m FROM t JOIN r ON t.g = r.g GROUP BY r.area",
        "area", "(SELECT t.*, area FROM t JOIN r ON t.g = r.g)", joined="r",
    ),
    "private join": _sums(
        "SELECT w.kind, COUNT(*) AS n, SUM(t.v) AS s, AVG(t.v) AS m FROM t JOIN w ON t.uid = w.uid GROUP BY w.kind",
        "kind", "(SELECT t.*, kind FROM t JOIN w ON t.uid = w.uid)", joined="w",
    ),
    "per person": _same(TOTALS, TOTALS),
}  # fmt: skip
