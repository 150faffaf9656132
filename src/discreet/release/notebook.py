"""A release as a notebook shows it: a table with drawn error bars. All text is escaped, and nothing is fetched.

Colours are the notebook's own or in the middle between black and white, so that both can be read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from discreet.release.shown import Columns, clean, instead, rounded

if TYPE_CHECKING:
    from discreet.release.release import Release

MOST_ROWS = 50
WIDTH, HEIGHT, MARGIN = 120, 14, 3  # of the picture in a cell
FILL = "#4a90d9"
LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
LEFT, RIGHT = (f"text-align:{side};padding:2px 10px;{LINE}" for side in ("left", "right"))


def page(release: Release) -> str:
    """Return a release as a piece of HTML: at most 50 rows, the guarantee, and what has to be known."""
    total = release.value.num_rows
    rows = release.value.slice(0, MOST_ROWS).to_pylist()
    more = total - len(rows)
    parts = [
        f"<p><strong>{_text(release.name)}</strong>, {total:,} {'row' if total == 1 else 'rows'}</p>",
        _table(release, Columns.of(release), rows),
        f"<p>… {more:,} more {'row' if more == 1 else 'rows'}</p>" if more > 0 else "",
        f"<p>{_text(_guarantee(release))}</p>",
        _notes(release),
    ]
    if release.provenance.get("test"):
        parts.insert(0, f"<p><strong>{_text(release.provenance['test'])}</strong></p>")
    return f'<div class="discreet-release">{"".join(parts)}</div>'


def _guarantee(release: Release) -> str:
    sequence, population = release.entry.get("sequence"), release.entry.get("population")
    return f"Guarantee: {release.guarantee}; entry {sequence} of {population!r}."


def _notes(release: Release) -> str:
    held = release.facts.get("notes")
    notes = [_text(note) for note in held] if isinstance(held, list | tuple) else []
    if not notes:
        return ""
    items = "".join(f"<li>{note}</li>" for note in notes)
    return f"<details><summary>How values and people are treated</summary><ul>{items}</ul></details>"


def _table(release: Release, columns: Columns, rows: Sequence[Mapping[str, Any]]) -> str:
    scales = {name: _scale(name, rows) for name in columns.measured}
    head = [f'<th style="{LEFT}">{_text(key)}</th>' for key in columns.keys]
    for name in columns.measured:
        level = _level(release.accuracy[name])
        head.append(f'<th style="{RIGHT}">{_text(name)}</th><th style="{LEFT}" colspan="2">{level}</th>')
    body = []
    for row in rows:
        cells = [f'<td style="{LEFT}">{escape(key)}</td>' for key in columns.row(row)]
        cells += [_answer(name, row, scales[name], release.accuracy[name]) for name in columns.measured]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<table style="border-collapse:collapse"><thead><tr>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _level(accuracy: Any) -> str:
    level = accuracy.get("level") if isinstance(accuracy, Mapping) else None
    return f"{100 * level:g} % interval" if isinstance(level, float) else "interval"


def _answer(name: str, row: Mapping[str, Any], scale: _Scale | None, accuracy: Any) -> str:
    """Return the cells of one number: to its digits, the interval in words, and both as a picture."""
    error, low, high = (row.get(f"{name}_{part}") for part in ("se", "low", "high"))
    said = f"{rounded(low, error)} to {rounded(high, error)}" if low is not None and high is not None else ""
    said = said or instead(accuracy) or "no interval"
    drawn = "" if scale is None else scale.draw(_float(row[name]), _float(low), _float(high), said)
    return (
        f'<td style="{RIGHT}">{escape(rounded(row[name], error))}</td>'
        f'<td style="{LEFT};opacity:.75;white-space:nowrap">{escape(said)}</td><td style="{LEFT}">{drawn}</td>'
    )


class _Scale:
    """The axis that all pictures of a column share; it begins at zero where that leaves the rows apart."""

    def __init__(self, low: float, high: float) -> None:
        self.from_zero = 0 <= low < high / 2 or low < 0 <= high or (high < 0 and high > low / 2)
        self.low = min(low, 0.0) if self.from_zero else low
        self.high = max(high, 0.0) if self.from_zero else high

    def draw(self, value: float | None, low: float | None, high: float | None, said: str) -> str:
        """Return one picture: a bar from zero, if the axis has it, the interval as a line, the value as a dot."""
        if value is None:
            return ""
        middle, at = HEIGHT / 2, self._at(value)
        shapes = []
        if self.from_zero:
            start, end = sorted((self._at(0.0), at))
            shapes.append(
                f'<rect x="{start:.1f}" y="2" width="{end - start:.1f}" height="{HEIGHT - 4}" fill="{FILL}" fill-opacity=".4"/>'
            )
        if low is not None and high is not None:
            ends = f'x1="{self._at(low):.1f}" x2="{self._at(high):.1f}" y1="{middle:g}" y2="{middle:g}"'
            shapes.append(f'<line {ends} stroke="currentColor" stroke-width="1.5"/>')
        shapes.append(f'<circle cx="{at:.1f}" cy="{middle:g}" r="2.5" fill="currentColor"/>')
        opening = f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        return f'{opening} aria-label="{escape(said)}">{"".join(shapes)}</svg>'

    def _at(self, value: float) -> float:
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return MARGIN + (WIDTH - 2 * MARGIN) * min(max(share, 0.0), 1.0)


def _scale(name: str, rows: Sequence[Mapping[str, Any]]) -> _Scale | None:
    """Return the axis of a column; None where there is nothing to compare.

    Dots without their errors would make much of what chance did.
    """
    ends = [_float(row.get(column)) for row in rows for column in (f"{name}_low", f"{name}_high")]
    known = [end for end in ends if end is not None]
    if len(rows) < 2 or not known:
        return None
    known += [value for row in rows if (value := _float(row[name])) is not None]
    return _Scale(min(known), max(known))


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _text(value: Any) -> str:
    return escape(clean(value))
