"""A release's own facts in plain words: its title, what was asked, its noise, and what its bounds may cut off."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from discreet.explain.aggregates import aggregates, column, named, outside, replaced
from discreet.explain.words import number
from discreet.profiles import show_up
from discreet.release import Release
from discreet.release.shown import Columns, clean, instead

OFF = {
    "AVG": "means",
    "VAR": "variances",
    "STDDEV": "standard deviations",
    "COVAR": "covariances",
    "CORR": "correlations",
    "QUANTILE": "quantiles",
    "MIN": "least values",
    "MAX": "greatest values",
    "MODE": "most frequent values",
}


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
    facts, columns = release.facts, _columns(release)
    if not columns:
        return str(facts.get("sentence") or "")
    rows = _rows(release)
    asked = [_plain(str(item["expression"]), rows) for item in columns]
    called = [f"“{clean(item['name'])}”" for item in columns]
    if len(asked) > 1 and not all(name in words for name, words in zip(called, asked, strict=True)):
        asked = [f"{name} is {words}" for name, words in zip(called, asked, strict=True)]  # leads to chart and table
    what = _listed(asked)
    keys = [f"“{clean(key)}”" for key in Columns.of(release).keys] if facts.get("keys") else []
    by = f", for each {' and '.join(keys)}" if keys else ""
    where = _where(str(facts.get("sql") or ""))
    only = f", only where {where.replace(chr(34), '')}" if where else ""
    return f"{what[:1].upper()}{what[1:]}{by}{only}."


def _plain(expression: str, rows: str) -> str:
    """Return an expression with its aggregates in words: "the mean of “cost”"."""
    text = expression
    while _wrapped(text):
        text = text[1:-1]
    return replaced(text, rows).replace(" / ", " ÷ ").replace(" * ", " × ").replace(" - ", " − ")


def _wrapped(text: str) -> bool:
    """Say whether one pair of parentheses holds the whole text."""
    return text.startswith("(") and next(outside(text, 1), None) is not None and _end(text) == len(text) - 1


def _end(text: str) -> int:
    return next((place for place in outside(text, 1) if text[place] == ")"), -1)


def _where(sql: str) -> str:
    """Return the condition of a query itself; those of its subqueries stand in parentheses."""
    open_ = set(outside(sql))

    def at(words: str, start: int = 0) -> int:
        found = (match.start() for match in re.finditer(rf" (?:{words}) ", sql[start:]))
        return next((start + place for place in found if start + place in open_), len(sql))

    start = at("WHERE") + len(" WHERE ")
    return sql[start : at("GROUP BY|HAVING|ORDER BY|LIMIT", start)]


def noise(facts: Mapping[str, Any]) -> list[str]:
    """Return how each part was made private: noise in the unit of the data, a draw, or a selection of groups."""
    place = " in each group" if facts.get("keys") else ""
    return [_engineers(part, place) for part in _parts(facts)]


def _engineers(part: Mapping[str, Any], place: str) -> str:
    about = f"{part.get('of', 'the answer')}: {part.get('mechanism', 'noise')}"
    if _spread(part) is not None:
        return f"{about} noise, standard deviation {number(float(part['standard_deviation']))}"
    epsilon = part.get("epsilon")
    said = [f"drawn with ε = {show_up(float(epsilon), 3)}{place}"] if isinstance(epsilon, int | float) else []
    said += [f"{instead(part)} with 95 %"] if instead(part) else []
    return f"{about}, {', '.join(said)}" if said else about


def noise_plainly(release: Release) -> list[str]:
    """Return the noise for those who do not know what a query is made of."""
    rows = _rows(release)
    return [
        f"{_part(str(part.get('of', 'the answer')), rows)}: typically ±{number(float(part['standard_deviation']), 3)}"
        for part in _parts(release.facts)
        if _spread(part) is not None
    ]


def chance_plainly(release: Release) -> list[str]:
    """Return, as sentences, what was not noised but drawn by chance, and how the groups shown were found."""
    drawn = {str(part.get("of")): part for part in _parts(release.facts) if _spread(part) is None}
    rows = _rows(release)
    labelled = [(item["name"], label) for item in _columns(release) for label in item.get("parts") or ()]
    said = [_drawn(drawn[label], clean(name), rows) for name, label in labelled if label in drawn]
    if drawn.keys() - {label for _, label in labelled}:
        said.append("Which groups are shown was found by chance: groups of few people are left out, unnamed.")
    return said


def _drawn(part: Mapping[str, Any], name: str, rows: str) -> str:
    far = instead(part).removeprefix("rank ± ")
    if not far:
        return f"“{name}” was drawn by chance; the more often a value occurs, the likelier."
    what = f"“{name}” was drawn by chance; the nearer a value is to the one asked for, the likelier"
    if rows == "people":
        far = far.replace("rows", "people").replace("row", "person")
    return f"{what}: in 95 of 100 cases its place in the order of all values is off by at most {far}."


def _spread(part: Mapping[str, Any]) -> float | None:
    held = part.get("standard_deviation")
    return float(held) if isinstance(held, int | float) else None


def _parts(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    held = facts.get("noise")
    return [part for part in (held if isinstance(held, list | tuple) else ()) if isinstance(part, Mapping)]


def _part(label: str, rows: str) -> str:
    """Return a measured part in words: "the total of “bmi”"; a label of unknown form as it stands."""
    label, grouping = re.fullmatch(r"(.*?)(, by .+|, in total)?", label, re.DOTALL).groups("")  # type: ignore[union-attr]
    return _measured(label, rows) + grouping


def _measured(label: str, rows: str) -> str:
    if label in ("rows", "COUNT(*)"):
        return f"the number of {rows}"
    if label == "persons":
        return "the number of people"
    if found := re.fullmatch(r"readable values of (.+)", label):
        return f"the number of {rows} with a value of “{clean(named(found[1]))}”"
    if found := re.fullmatch(r"different values of (.+)", label):
        return f"the number of different values of “{clean(named(found[1]))}”"
    if found := re.fullmatch(r"clamped sum of (.+?)(?: around (-?[\d.e+-]+))?", label):
        return f"the total of “{clean(named(found[1]))}”" + (f", counted from {found[2]}" if found[2] else "")
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
    if cells is None or groups < cells:
        of_them = "" if cells is None else f" of the {cells:,}"
        why.append(
            f"a person counts in one group only, even if they belong to several{of_them}"
            if groups == 1
            else f"a person who belongs to more than {groups:,}{of_them} groups counts in {groups:,} only"
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
    functions = {function.partition("_")[0] for function, _ in used}
    domain = _domain(release)
    lower = ["counts"] if functions & {"COUNT", "COUNT DISTINCT"} else []
    summed = [column for function, column in used if function == "SUM"]
    grow = all(_low(domain, column) >= 0 for column in summed)  # what only adds up can only be missing
    lower += ["totals"] if summed and grow else []
    off = ["totals"] if summed and not grow else []
    off += [word for function, word in OFF.items() if function in functions]
    said = [f"{_listed(what)} can be {how}" for what, how in ((lower, "too low"), (off, "off")) if what]
    text = ", ".join(said) or "the numbers can be off"
    return text[:1].upper() + text[1:]


def _listed(words: list[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def plainly(release: Release) -> list[str]:
    """Return what else is done to a person's rows, in plain sentences: once each, and values moved to bounds."""
    groups, rows, grouped = bounds(release)
    if release.facts.get("kind") != "sql":
        return []
    said = []
    used = [(function, column) for function, column in _aggregates(release) if not function.startswith("COUNT")]
    valued = list(dict.fromkeys(column for _, column in used))
    if rows == 1 and release.guarantee.unit.enforced:
        place = " in each group" if grouped and groups != 1 else ""
        means = ", with the mean of their rows" if {function for function, _ in used} <= {"SUM", "AVG"} else None
        shared = ", with the weight of one row for all of theirs" if means is None else means
        said.append(f"A person counts once{place}{shared if used else ''}.")
    domain = _domain(release)
    held = {name: domain.get(name) for name in valued}
    spans = [
        f"“{clean(name)}” from {number(float(facts['low']))} to {number(float(facts['high']))}"
        for name, facts in held.items()
        if isinstance(facts, Mapping) and isinstance(facts.get("low"), int | float) and facts.get("high") is not None
    ]
    if spans:
        said.append(f"Values outside of what was set beforehand count as its nearest end: {', '.join(spans)}.")
    return said


def from_zero(release: Release) -> list[str]:
    """Return the columns whose picture must begin at zero: counts, totals and their ratios, but no means."""
    adding = {"COUNT", "COUNT DISTINCT", "SUM"}
    return [
        str(item["name"])
        for item in _columns(release)
        if all(found.function in adding for found in aggregates(str(item["expression"])))
    ]


def _columns(release: Release) -> list[Mapping[str, Any]]:
    """Return what a question in SQL says of its columns."""
    held = release.facts.get("columns")
    return list(held) if release.facts.get("kind") == "sql" and isinstance(held, list | tuple) else []


def _aggregates(release: Release) -> list[tuple[str, str]]:
    """Return each aggregate that was asked for: its function and its column, or each of them."""
    return [
        (found.function, named(argument))
        for item in _columns(release)
        for found in aggregates(str(item["expression"]))
        for argument in found.arguments or ("*",)
    ]


def source(release: Release) -> str | None:
    """Return the tables that the release was made from; None where nothing says it."""
    own, others = release.provenance.get("table"), release.provenance.get("tables")
    named = [own, *others] if isinstance(others, Mapping) else [own]
    return ", ".join(str(name) for name in named if name) or None


def _domain(release: Release) -> Mapping[str, Any]:
    """Return the declared columns of all tables; of two that have one name and differ, neither."""
    tables = release.provenance.get("tables")
    others = [table.get("domain") for table in tables.values()] if isinstance(tables, Mapping) else []
    found: dict[str, Any] = {}
    for domain in (release.provenance.get("domain"), *others):
        for name, facts in domain.items() if isinstance(domain, Mapping) else ():
            found[name] = facts if found.get(name, facts) == facts else None
    return found


def _low(domain: Mapping[str, Any], column: str) -> float:
    held = domain.get(column)
    low = held.get("low") if isinstance(held, Mapping) else None
    return float(low) if isinstance(low, int | float) else -1.0


def _reach(release: Release) -> int | None:
    """Return in how many of the declared groups one unit could be; None where nobody declared them."""
    unit, keys = release.guarantee.unit, release.facts.get("keys")
    held = keys.items() if isinstance(keys, Mapping) else ()
    sizes = [size for name, size in held if column(name) not in (unit.column, unit.per)]
    return None if None in sizes else math.prod(map(int, sizes))
