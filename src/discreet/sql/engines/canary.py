"""The self-test of an engine: does this version of DuckDB mean what our plan means?

Runs once a process, on synthetic values, before the first query. Each line is a property the
privacy proof or the accuracy relies on.
"""

from __future__ import annotations

import functools

from discreet.errors import InvalidInput
from discreet.sql.engines import duckdb

GROUPS, PEOPLE = 16, 2000

TWO = (
    'SELECT y FROM (SELECT CAST(x AS VARCHAR) COLLATE "binary" AS y '
    "FROM (VALUES (CAST('a' AS VARCHAR) COLLATE NOCASE), ('A')) AS d(x)) AS f"
)

# Each: the property, an expression that shows it, and what that expression must be.
CANARIES: tuple[tuple[str, str, object], ...] = (
    ("CASE keeps NULL", "CASE WHEN n IS NULL THEN NULL WHEN n <= 0 THEN 0 ELSE n END", None),
    ("integer division truncates", "CAST(-7 AS HUGEINT) // CAST(2 AS BIGINT)", -3),
    ("the remainder has the sign of the dividend", "CAST(-7 AS HUGEINT) % CAST(4 AS BIGINT)", -3),
    ("sums widen to 128 bits", "CAST((SELECT SUM(x) FROM (VALUES (9223372036854775807), (1)) AS b(x)) AS VARCHAR)",
     "9223372036854775808"),
    ("ROUND rounds half away from zero", "ROUND(CAST('2.5' AS DOUBLE)) - ROUND(CAST('-2.5' AS DOUBLE))", 6.0),
    ("unreadable values are NULL", "TRY_CAST('abc' AS BIGINT)", None),
    ("values beyond 64 bits are NULL", "TRY_CAST(CAST('1e30' AS DOUBLE) AS BIGINT)", None),
    ("infinities are found", "ISFINITE(CAST('-inf' AS DOUBLE))", False),
    ("NaN is found", "ISFINITE(CAST('nan' AS DOUBLE))", False),
    ("a binary collation overrides another", "(CAST('a' AS VARCHAR) COLLATE NOCASE) COLLATE \"binary\" = 'A'", False),
    ("a binary collation tells groups apart", f"(SELECT COUNT(*) FROM ({TWO} GROUP BY y) AS e)", 2),
    ("a type has its name", "TYPEOF(CAST('1' AS DOUBLE))", "DOUBLE"),
    ("a whole number with an exponent is read", "TRY_CAST('1e+16' AS BIGINT)", 10**16),
    ("instants are read in UTC", "CAST(TRY_CAST('2024-01-01 23:30:00-05' AS TIMESTAMPTZ) AS VARCHAR)", "2024-01-02 04:30:00+00"),
    ("a sum of nothing is NULL", "(SELECT COALESCE(SUM(x), 7) FROM (VALUES (1)) AS c(x) WHERE x > 1)", 7),
)  # fmt: skip


@functools.cache
def check() -> None:
    """Test the engine, once a process.

    Raises:
        InvalidInput: it does not mean what the plan means.
    """
    with duckdb.connect() as connection:
        chosen = ", ".join(expression for _, expression, _ in CANARIES)
        row = connection.execute(f"SELECT {chosen} FROM (SELECT CAST(NULL AS BIGINT) AS n) AS a").fetchone()
        for (meaning, _, expected), found in zip(CANARIES, row, strict=True):
            if found != expected or type(found) is not type(expected):
                raise _unfit(meaning)
        # Each of 2000 people is in all of 16 groups and keeps 4: the 16 counts vary as they should.
        counts = connection.execute(
            f"SELECT COUNT(*) FROM (SELECT g FROM range({PEOPLE}) AS p(u), range({GROUPS}) AS q(g) "
            "QUALIFY ROW_NUMBER() OVER (PARTITION BY u ORDER BY CAST(hash(u, g, 12345) % 4294967296 AS UINTEGER), g) <= 4) AS s GROUP BY g"
        ).fetchall()
    fair = PEOPLE * 4 / GROUPS
    if sum(count for (count,) in counts) != PEOPLE * 4:
        raise _unfit("QUALIFY keeps exactly the first groups")
    if sum((count - fair) ** 2 / fair for (count,) in counts) > 60:  # chi-square with 15 degrees: 3e-7
        raise _unfit("hash chooses groups fairly")


def _unfit(meaning: str) -> InvalidInput:
    return InvalidInput(
        f"this version of DuckDB ({duckdb.version()}) fails the self-test: {meaning}.",
        remedy="Install a version that constraints.txt names.",
    )
