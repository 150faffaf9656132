"""How a cell that Spark stores is read as its declared type: as the other engines read it, or as NULL.

Unlike DuckDB, Spark refuses to analyse a cast between types that do not go together, so the reading
is chosen by the stored type, when the source is opened. Each reading is total: defined for every
cell, so that no row can make the query fail.

A text is read by a grammar of our own, and cast only if it fits: Spark reads '1f' as a number and
'2024' as a date, DuckDB reads '0x1F' and '1_000'.
"""

from __future__ import annotations

from discreet.domains import Type

# Regular expressions that Java and RE2 understand alike. \z, because Java's $ also matches before a last line end.
_SPACE = r"[ \t-\r]*"
WHOLE_TEXT = rf"^{_SPACE}([+-]?[0-9]+)(?:[.]0*)?{_SPACE}\z"
NUMBER_TEXT = rf"^{_SPACE}[+-]?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]+)?{_SPACE}\z"
_TIME = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)?"
_ZONE = r" ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"
_DAY = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}"
DATE_TEXT = rf"^{_SPACE}({_DAY})(?:[ T]{_TIME}(?:{_ZONE})?)?{_SPACE}\z"
TRUE_TEXTS, FALSE_TEXTS = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"  # of Python's calendar, in which results are shown

SQL_TYPES = {"integer": "BIGINT", "float": "DOUBLE", "text": "STRING", "boolean": "BOOLEAN", "date": "DATE"}
WHOLE = ("tinyint", "smallint", "int", "bigint")
FLOATS = ("float", "double")
TEXTS = ("string", "char", "varchar")
TIMES = ("timestamp", "timestamp_ntz")
_EXACT = 2**53  # up to here doubles hold every whole number


def read(cell: str, stored: str, kind: Type, *, person: bool) -> str:
    """Return the reading of a column, in Spark's SQL.

    Args:
        cell: The column; a name of ours.
        stored: Its stored type, as Spark prints it: decimal(5,2), string collate UNICODE.
        kind: Its declared type.
        person: Whether it says who is who: then 0.9 and 1.2 are nobody, and not both the person 1.
    """
    family = stored.split("(", maxsplit=1)[0].split(" ", maxsplit=1)[0]
    if family in TEXTS:
        cell = f"(CAST({cell} AS STRING) COLLATE UTF8_BINARY)"  # byte by byte, whatever its collation
    readers = {"integer": _integer, "float": _float, "text": _text, "boolean": _boolean, "date": _date}
    if kind == "integer" and person:
        found = _person(cell, family, stored)
    else:
        found = readers[kind](cell, family, stored)
    return found or f"CAST(NULL AS {SQL_TYPES[kind]})"


def _integer(cell: str, family: str, stored: str) -> str | None:  # noqa: ARG001 - readers are called alike
    if family in (*WHOLE, "boolean"):
        return f"CAST({cell} AS BIGINT)"
    if family in FLOATS:
        return _nearest(f"CAST({cell} AS DOUBLE)")
    if family == "decimal":
        return f"TRY_CAST(ROUND({cell}, 0) AS BIGINT)"
    if family in TEXTS:
        whole = f"{cell} RLIKE {_quoted(WHOLE_TEXT)}"  # and nothing else, should it be beyond 64 bits
        return f"CASE WHEN {whole} THEN {_whole(cell)} ELSE {_nearest(_number(cell))} END"
    return None


def _person(cell: str, family: str, stored: str) -> str | None:
    """Return a whole number that is one as stored: nothing is rounded, and nothing that a double cannot tell apart."""
    if family in WHOLE:
        return f"CAST({cell} AS BIGINT)"
    if family in FLOATS:
        return _exactly(f"CAST({cell} AS DOUBLE)", _nearest(f"CAST({cell} AS DOUBLE)"))
    if family == "decimal":
        nearest = f"TRY_CAST(ROUND({cell}, 0) AS BIGINT)"
        return nearest if stored.endswith(",0)") else _exactly(f"CAST({cell} AS DOUBLE)", nearest)
    return _whole(cell) if family in TEXTS else None


def _float(cell: str, family: str, stored: str) -> str | None:  # noqa: ARG001
    if family in (*WHOLE, "boolean", "decimal"):
        return f"CAST({cell} AS DOUBLE)"
    if family in FLOATS or family in TEXTS:
        value = _number(cell) if family in TEXTS else f"CAST({cell} AS DOUBLE)"
        return f"CASE WHEN ABS({value}) < CAST('Infinity' AS DOUBLE) THEN {value} END"  # NaN is above all in Spark
    return None


def _text(cell: str, family: str, stored: str) -> str | None:
    if family in TEXTS:
        return cell
    if family in (*WHOLE, "boolean"):
        return f"CAST({cell} AS STRING)"
    if family == "decimal":
        width, scale = stored.removeprefix("decimal(").removesuffix(")").split(",")
        text = f"CAST({cell} AS STRING)"  # of 0.5, as decimal(1,1), DuckDB prints .5
        return f"REGEXP_REPLACE({text}, '^(-?)0[.]', '$1.')" if width == scale else text
    if family in FLOATS:
        return _printed(f"CAST(CAST({cell} AS STRING) AS DOUBLE)" if family == "float" else cell)
    if family == "date":
        return f"CAST({_within(cell)} AS STRING)"
    if family in TIMES:
        zone = " || '+00'" if family == "timestamp" else ""
        return f"CASE WHEN {_within(f'CAST({cell} AS DATE)')} IS NOT NULL THEN CAST({cell} AS STRING){zone} END"
    return None


def _boolean(cell: str, family: str, stored: str) -> str | None:  # noqa: ARG001
    if family in TEXTS:
        yes, no = (", ".join(f"'{text}'" for text in texts) for texts in (TRUE_TEXTS, FALSE_TEXTS))
        return f"CASE WHEN LOWER({cell}) IN ({yes}) THEN TRUE WHEN LOWER({cell}) IN ({no}) THEN FALSE END"
    return f"CAST({cell} AS BOOLEAN)" if family in (*WHOLE, *FLOATS, "decimal", "boolean") else None


def _date(cell: str, family: str, stored: str) -> str | None:  # noqa: ARG001
    if family == "date":
        return _within(cell)
    if family in TIMES:
        return _within(f"CAST({cell} AS DATE)")
    if family in TEXTS:
        day = f"REGEXP_EXTRACT({cell}, {_quoted(DATE_TEXT)}, 1)"  # '' where it does not match, which is no date
        return _within(f"TRY_CAST(REPLACE({day}, '/', '-') AS DATE)")
    return None


def _whole(text: str) -> str:
    """Return a text that is a whole number, as one; no double in between."""
    return f"TRY_CAST(REGEXP_EXTRACT({text}, {_quoted(WHOLE_TEXT)}, 1) AS BIGINT)"


def _number(text: str) -> str:
    return f"CASE WHEN {text} RLIKE {_quoted(NUMBER_TEXT)} THEN TRY_CAST({text} AS DOUBLE) END"


def _nearest(double: str) -> str:
    """Return the whole number nearest to a double, of two the even one. TRY_CAST alone would read 2**63 as 2**63 - 1."""
    value = f"({double})"
    low, high = f"CAST('{-(2.0**63)!r}' AS DOUBLE)", f"CAST('{2.0**63!r}' AS DOUBLE)"
    return f"CASE WHEN {value} >= {low} AND {value} < {high} THEN TRY_CAST(RINT({value}) AS BIGINT) END"


def _exactly(double: str, nearest: str) -> str:
    same = f"CAST({nearest} AS DOUBLE) = {double}"
    return f"CASE WHEN {same} AND ABS({double}) <= CAST('{float(_EXACT)!r}' AS DOUBLE) THEN {nearest} END"


def _printed(double: str) -> str:
    """Return a double as text: a whole number as such, another if it has at most six decimals.

    Not as Spark prints it: that is 1.0E7, and on Java 17 not always the shortest.
    """
    size = f"ABS({double})"
    parts = f"CAST(RINT({size} * 1000000) AS BIGINT)"
    sign = f"CASE WHEN {double} < 0 THEN '-' ELSE '' END"
    decimals = f"RTRIM('0', LPAD(CAST({parts} % 1000000 AS STRING), 6, '0'))"
    nearest = _nearest(double)
    return (
        f"CASE WHEN CAST({nearest} AS DOUBLE) = {double} THEN CAST({nearest} AS STRING) "
        f"WHEN {size} >= CAST('0.0001' AS DOUBLE) AND {size} < CAST('1000000000.0' AS DOUBLE) "
        f"AND CAST({parts} AS DOUBLE) / CAST('1000000.0' AS DOUBLE) = {size} "
        f"THEN {sign} || CAST({parts} DIV 1000000 AS STRING) || '.' || {decimals} END"
    )


def _within(day: str) -> str:
    return f"CASE WHEN {day} BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}' THEN {day} END"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
