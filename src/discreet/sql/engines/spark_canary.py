"""The self-test of Spark: does this version, as this cluster is set up, mean what our plan means?

Runs once per session that lends something, on synthetic values, before the first query. Each line is
a property that the privacy proof, the accuracy, or the agreement with other engines relies on.
"""

from __future__ import annotations

import datetime
import functools
from decimal import Decimal
from typing import Any

from discreet.errors import InvalidInput
from discreet.sql.engines.spark_cells import read
from discreet.sql.engines.spark_session import beside, version

GROUPS, PEOPLE = 16, 2000


def _cell(literal: str, stored: str, kind: Any, *, person: bool = False) -> str:
    return read(f"CAST({literal} AS {stored})", stored, kind, person=person)


# Each: the property, an expression that shows it, and what that expression must be.
CANARIES: tuple[tuple[str, str, object], ...] = (
    ("CASE keeps NULL", "CASE WHEN n IS NULL THEN NULL WHEN n <= 0 THEN 0 ELSE n END", None),
    ("a sum of nothing is NULL", "(SELECT COALESCE(SUM(x), 7) FROM VALUES (1) AS c(x) WHERE x > 1)", 7),
    ("sums keep 38 digits",
     "(SELECT CAST(SUM(CAST(x AS DECIMAL(38, 0))) AS STRING) FROM VALUES (9223372036854775807), (1) AS b(x))",
     "9223372036854775808"),
    ("a product keeps 38 digits",
     "CAST(CAST('309485009821345068724781056' AS DECIMAL(38, 0)) * 2147483648 AS STRING)",
     "664613997892457936451903530140172288"),
    ("a wide quotient is cut off towards zero",
     "CAST(CAST((w - w % CAST(7 AS DECIMAL(38, 0))) / CAST(7 AS DECIMAL(38, 0)) AS DECIMAL(38, 0)) AS STRING)",
     "-17636684144620811271604938270"),
    ("a remainder has the sign of the dividend", "w % CAST(7 AS DECIMAL(38, 0))", Decimal(-3)),
    ("a remainder is exact", "w % CAST(4294967296 AS DECIMAL(38, 0))", Decimal(-1312754389)),
    ("ROUND rounds half away from zero", "ROUND(CAST('2.5' AS DOUBLE)) - ROUND(CAST('-2.5' AS DOUBLE))", 6.0),
    ("what does not fit is NULL", "TRY_CAST(40000 AS SMALLINT)", None),
    ("unreadable text is NULL", "TRY_CAST('abc' AS BIGINT)", None),
    ("NaN is above all numbers", "ABS(CAST('NaN' AS DOUBLE)) < CAST('Infinity' AS DOUBLE)", False),
    ("a root is rounded correctly", "SQRT(CAST(2 AS DOUBLE))", 2.0**0.5),
    ("texts are compared byte by byte", "('é' > 'z') AND ('a' > 'B') AND ('a' <> 'A') AND ('a' <> 'a ')", True),
    ("a collation is overridden", "(CAST('a' AS STRING COLLATE UTF8_LCASE) COLLATE UTF8_BINARY) = 'A'", False),
    ("NULL equals NULL in a join", "CAST(NULL AS BIGINT) IS NOT DISTINCT FROM CAST(NULL AS BIGINT)", True),
    ("two backslashes of a literal are one", r"LENGTH('\\z')", 2),
    ("variables in literals are not looked up", "'${env:HOME}${spark.app.name}' LIKE '%{env:HOME}%'", True),
    ("weeks start on Monday", "CAST(DATE_TRUNC('week', DATE '2024-02-04') AS DATE)", datetime.date(2024, 1, 29)),
    ("days of the week count from 1", "DATE_PART('dow', DATE '2024-02-04')", 1),
    ("times are in UTC", "CAST(TIMESTAMP '2024-01-01 23:30:00+00:00' AS STRING)", "2024-01-01 23:30:00"),
    ("a whole number with an exponent is read", _cell("'1e+16'", "string", "integer"), 10**16),
    ("a half is rounded to the even one", _cell("'2.5'", "double", "integer"), 2),
    ("numbers beyond 64 bits are NULL", _cell("'9223372036854775808'", "double", "integer"), None),
    ("what only Spark reads as a number is NULL", _cell("'1f'", "string", "float"), None),
    ("a number that is not whole is nobody", _cell("'1.2'", "string", "integer", person=True), None),
    ("a date is found in a text", _cell("' 2024/1/2 10:00'", "string", "date"), datetime.date(2024, 1, 2)),
    ("half a date is none", _cell("'2024-01'", "string", "date"), None),
)  # fmt: skip


@functools.lru_cache(maxsize=4)
def check(lender: Any) -> None:
    """Test the Spark of a session, once.

    Args:
        lender: The caller's session.

    Raises:
        InvalidInput: it does not mean what the plan means.
    """
    failed = False
    try:
        with beside(lender) as session:
            row, counts = _answers(session, lender)
    except Exception:  # noqa: BLE001 - what Spark says of it helps nobody who asked for an answer
        failed = True
    if failed:
        raise _unfit("it runs the self-test")
    for i, (meaning, _, expected) in enumerate(CANARIES):
        if row[f"c{i}"] != expected or type(row[f"c{i}"]) is not type(expected):
            raise _unfit(meaning)
    fair = PEOPLE * 4 / GROUPS
    if sum(counts) != PEOPLE * 4:
        raise _unfit("ROW_NUMBER keeps exactly the first groups")
    if sum((count - fair) ** 2 / fair for count in counts) > 60:  # chi-square with 15 degrees: 3e-7
        raise _unfit("the hash chooses groups fairly")


def _answers(session: Any, lender: Any) -> tuple[dict[str, Any], list[int]]:
    """Return what each expression is, and how many people keep each group: of 2000 in 16 groups, 4 of each."""
    from discreet.sql.engines.spark import Opened

    with Opened(session).borrowed(lender.range(1)) as rows:
        assert rows.columns == ["r0"]
    chosen = ", ".join(f"{expression} AS c{i}" for i, (_, expression, _) in enumerate(CANARIES))
    numbers = "SELECT CAST(NULL AS BIGINT) AS n, CAST('-123456789012345678901234567893' AS DECIMAL(38, 0)) AS w"
    [row] = session.sql(f"SELECT {chosen} FROM ({numbers}) AS a").toArrow().to_pylist()
    place = "ROW_NUMBER() OVER (PARTITION BY u.id ORDER BY XXHASH64(u.id, g.id, 12345) & 4294967295, g.id)"
    ranked = f"SELECT g.id AS g, {place} AS place FROM RANGE({PEOPLE}) AS u, RANGE({GROUPS}) AS g"
    counts = session.sql(f"SELECT g, COUNT(*) AS n FROM ({ranked}) AS s WHERE place <= 4 GROUP BY g").toArrow()
    return row, counts.column("n").to_pylist()


def _unfit(meaning: str) -> InvalidInput:
    return InvalidInput(
        f"this Spark (PySpark {version()}) fails the self-test: {meaning}.",
        remedy="Install a version that constraints.txt names, and start the session without settings of the SQL parser.",
    )
