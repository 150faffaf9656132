"""A release's own facts in plain words: its title, what was asked, its noise, and what its bounds may cut off."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from discreet.explain.words import clean, number
from discreet.release import Release

AGGREGATE = r'\b(COUNT|SUM|AVG)\((\*|"[^"]+"|[^()"]+)\)'


def title(release: Release, purpose: str | None) -> str:
    """Return the title that the vertical left, or the purpose in the ledger, or the release's name as words."""
    given = release.facts.get("title")
    if not given and purpose not in (release.name, release.facts.get("sql")):
        given = purpose
    if given:
        return str(given)
    text = release.name.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]


def sentence(release: Release) -> str:
    """Return what was asked: one sentence without SQL where its form is known, else the vertical's own."""
    facts = release.facts
    columns = facts.get("columns")
    if facts.get("kind") != "sql" or not isinstance(columns, list | tuple):
        return str(facts.get("sentence") or "")
    rows = _rows(release)
    asked = [_plain(str(column["expression"]), rows) for column in columns]
    named = all(f"“{clean(column['name'])}”" in words for column, words in zip(columns, asked, strict=True))
    if len(asked) > 1 and not named:  # the names lead from the sentence to the chart and the table
        asked = [f"“{clean(column['name'])}” is {words}" for column, words in zip(columns, asked, strict=True)]
    what = " and ".join((", ".join(asked[:-1]), asked[-1])) if len(asked) > 1 else "".join(asked)
    grouped = facts.get("keys") or ()  # its order is lost in storage; the table's is not
    keys = [f"“{clean(key)}”" for key in release.value.column_names if key in grouped]
    by = f", for each {' and '.join(keys)}" if keys else ""
    where = re.search(
        r"\bWHERE (.+?)(?= GROUP BY | HAVING | ORDER BY | LIMIT |$)", str(facts.get("sql") or ""), re.DOTALL
    )
    only = f", only where {where[1].replace(chr(34), '')}" if where else ""
    return f"{what[:1].upper()}{what[1:]}{by}{only}."


def _plain(expression: str, rows: str) -> str:
    """Return an expression with its aggregates in words: "the mean of “cost”"."""

    def words(match: re.Match[str]) -> str:
        column = clean(match[2].strip('"'))
        if match[1] == "COUNT":
            return f"the number of {rows}" if column == "*" else f"the number of {rows} with a value of “{column}”"
        return f"the {'total' if match[1] == 'SUM' else 'mean'} of “{column}”"

    text = expression
    while _wrapped(text):
        text = text[1:-1]
    text = re.sub(AGGREGATE, words, text)
    return text.replace(" / ", " ÷ ").replace(" * ", " × ").replace(" - ", " − ")


def _wrapped(text: str) -> bool:
    """Say whether one pair of parentheses holds the whole text."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return letter == ")" and place == len(text) - 1
    return False


def noise(facts: Mapping[str, Any]) -> list[str]:
    """Return the noise of each measured part in the unit of the data, where the vertical left it."""
    return [
        f"{part.get('of', 'the answer')}: {part.get('mechanism', 'noise')} noise, standard deviation "
        f"{number(float(part['standard_deviation']))}"
        for part in _noises(facts)
    ]


def noise_plainly(release: Release) -> list[str]:
    """Return the same noise for those who do not know what a query is made of."""
    rows = _rows(release)
    return [
        f"{_part(str(part.get('of', 'the answer')), rows)}: typically ±{number(float(part['standard_deviation']), 3)}"
        for part in _noises(release.facts)
    ]


def _noises(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    held = facts.get("noise")
    return [
        part
        for part in (held if isinstance(held, list | tuple) else ())
        if isinstance(part, Mapping) and isinstance(part.get("standard_deviation"), int | float)
    ]


def _part(label: str, rows: str) -> str:
    """Return a measured part in words: "the total of “bmi”"; a label of unknown form as it stands."""
    if label in ("rows", "COUNT(*)"):
        return f"the number of {rows}"
    if found := re.fullmatch(r"readable values of (.+)", label):
        return f"the number of {rows} with a value of “{clean(found[1])}”"
    if found := re.fullmatch(r"clamped sum of (.+?)(?: around (\S+))?", label):
        return f"the total of “{clean(found[1])}”" + (f", counted from {found[2]}" if found[2] else "")
    return label


def _rows(release: Release) -> str:
    """Return what is counted: people, if nobody counts with more than one row."""
    unit = release.guarantee.unit
    return "people" if unit.enforced and unit.max_rows == 1 else "rows"


def bounds(release: Release) -> tuple[int | None, int, bool]:
    """Return the groups and rows one unit counts with in *this* release, and whether it is grouped at all.

    The unit of a table may allow more groups than a question has.
    """
    unit, held = release.guarantee.unit, release.facts.get("bounds")
    if not isinstance(held, Mapping) or not isinstance(held.get("max_rows"), int):
        return unit.max_groups, unit.max_rows, True
    return held.get("max_groups"), held["max_rows"], bool(release.facts.get("keys"))


def limits(release: Release) -> str | None:
    """Return what the bounds on a person's rows and groups may have cut off, or None if they cannot have."""
    groups, rows, grouped = bounds(release)
    if release.facts.get("kind") != "sql" or not release.guarantee.unit.enforced or groups is None:
        return None
    cells, why = _reach(release), []
    if groups < cells:
        why.append(
            f"a person counts in one group only, even if they belong to several of the {cells:,}"
            if groups == 1
            else f"a person who belongs to more than {groups:,} of the {cells:,} groups counts in {groups:,} only"
        )
    place = " in a group" if grouped else ""
    if rows > 1:
        why.append(f"a person with more than {rows:,} rows{place} counts like one with {rows:,}")
    elif any(function == "SUM" for function, _ in _aggregates(release)):  # counts and means are then ones of people
        why.append(f"a person with several rows{place} adds the mean of them only")
    if not why:
        return None
    return (
        f"{_off(release)}: {', and '.join(why)}. How often that happened is private, and the intervals do not cover it."
    )


def _off(release: Release) -> str:
    """Return which kinds of number can be off, and how."""
    used = _aggregates(release)
    domain = _domain(release)
    lower = ["counts"] if any(function == "COUNT" for function, _ in used) else []
    summed = [column for function, column in used if function == "SUM"]
    grow = all(_low(domain, column) >= 0 for column in summed)  # what only adds up can only be missing
    lower += ["totals"] if summed and grow else []
    off = (["totals"] if summed and not grow else []) + (["means"] if any(f == "AVG" for f, _ in used) else [])
    said = [f"{' and '.join(what)} can be {how}" for what, how in ((lower, "too low"), (off, "off")) if what]
    text = ", ".join(said) or "the numbers can be off"
    return text[:1].upper() + text[1:]


def plainly(release: Release) -> list[str]:
    """Return what else is done to a person's rows, in plain sentences: once each, and values moved to bounds."""
    groups, rows, grouped = bounds(release)
    if release.facts.get("kind") != "sql":
        return []
    said = []
    valued = list(dict.fromkeys(column for function, column in _aggregates(release) if function != "COUNT"))
    if rows == 1 and release.guarantee.unit.enforced:
        place = " in each group" if grouped and groups != 1 else ""
        said.append(f"A person counts once{place}" + (", with the mean of their rows." if valued else "."))
    domain = _domain(release)
    held = {column: domain.get(column) for column in valued}
    spans = [
        f"“{clean(column)}” from {number(float(facts['low']))} to {number(float(facts['high']))}"
        for column, facts in held.items()
        if isinstance(facts, Mapping) and isinstance(facts.get("low"), int | float) and facts.get("high") is not None
    ]
    if spans:
        said.append(f"Values outside of what was set beforehand count as its nearest end: {', '.join(spans)}.")
    return said


def from_zero(release: Release) -> list[str]:
    """Return the columns whose picture must begin at zero: counts, totals and their ratios, but no means."""
    columns = release.facts.get("columns")
    if release.facts.get("kind") != "sql" or not isinstance(columns, list | tuple):
        return []
    return [str(column["name"]) for column in columns if "AVG(" not in str(column["expression"])]


def _aggregates(release: Release) -> list[tuple[str, str]]:
    """Return each aggregate that was asked for: its function and its column."""
    columns = release.facts.get("columns")
    text = " ".join(str(column["expression"]) for column in columns) if isinstance(columns, list | tuple) else ""
    return [(found[1], found[2].strip('"')) for found in re.finditer(AGGREGATE, text)]


def _domain(release: Release) -> Mapping[str, Any]:
    held = release.provenance.get("domain")
    return held if isinstance(held, Mapping) else {}


def _low(domain: Mapping[str, Any], column: str) -> float:
    held = domain.get(column)
    low = held.get("low") if isinstance(held, Mapping) else None
    return float(low) if isinstance(low, int | float) else -1.0


def _reach(release: Release) -> int:
    """Return in how many of the declared groups one unit could be."""
    unit, keys = release.guarantee.unit, release.facts.get("keys")
    sizes = keys.items() if isinstance(keys, Mapping) else ()
    return math.prod(int(size) for name, size in sizes if name not in (unit.column, unit.per))
