"""A release's own facts in plain words: its title, what was asked, and the noise in the data's unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from discreet.explain.words import clean, number
from discreet.release import Release


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
    unit = release.guarantee.unit
    rows = "people" if unit.enforced and unit.max_rows == 1 else "rows"
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
    text = re.sub(r'\b(COUNT|SUM|AVG)\((\*|"[^"]+"|[^()"]+)\)', words, text)
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
    held = facts.get("noise")
    if not isinstance(held, list | tuple):
        return []
    return [
        f"{part.get('of', 'the answer')}: {part.get('mechanism', 'noise')} noise, standard deviation "
        f"{number(float(part['standard_deviation']))}"
        for part in held
        if isinstance(part, Mapping) and isinstance(part.get("standard_deviation"), int | float)
    ]
