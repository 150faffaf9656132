"""Charts of released values: one for each column, a dot for each number, a line for its interval; bars for counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discreet.explain import svg
from discreet.release.shown import clean

MOST_ROWS = 80  # more would be unreadable: the chart shows the first ones and says so


def values(name: str, title: str, table: Mapping[str, Any]) -> list[str]:
    """Return a picture for each column of a released table; none for one row, where there is nothing to compare.

    One picture for a column, not one for all: side by side on a desk, one below the other on a telephone.
    """
    rows = table["rows"][:MOST_ROWS]
    columns = [index for index, column in enumerate(table["columns"]) if _pictured(column, index, rows)]
    if len(rows) < 2:
        return []
    labels = [_label(row["keys"]) for row in rows]
    ordered = len(rows) > 8 and len(table["keys"]) == 1 and all(_number(label) is not None for label in labels)
    drawn = []
    for position, index in enumerate(columns):
        colour = svg.CYCLE[position % len(svg.CYCLE)]
        if ordered:
            picture = _across(table, index, rows, [float(label) for label in labels], colour)
        else:
            picture = _down(table, index, rows, labels, colour, width=6.2 if len(columns) == 1 else 4.2)
        drawn.append(
            svg.draw(
                picture,
                f"{name}-{index}",
                title=f"{title}: {table['columns'][index]['name']}",
                description=f"Dots are the {len(rows)} released values; lines are their intervals. "
                "The table holds the same numbers.",
            )
        )
    return drawn


def _pictured(column: Mapping[str, Any], index: int, rows: list[Any]) -> bool:
    """Return whether a column has a picture: dots without their errors would make much of what chance did."""
    cells = [row["cells"][index] for row in rows if row["cells"][index]["value"] is not None]
    if column["rank_error"] is not None:
        return any(cell["low"] is not None for cell in cells)
    return bool(cells)


def _down(
    table: Mapping[str, Any], index: int, rows: list[Any], labels: list[str], colour: str, *, width: float
) -> Any:
    """One row of the chart for each row of the table; the keys at the left."""
    picture = svg.figure(width, 0.62 + 0.27 * len(rows))
    axes = picture.subplots()
    svg.plain(axes)
    axes.grid(visible=False, axis="y")
    _marks(axes, rows, index, list(range(len(rows))), colour, flat=True)
    axes.set_title(clean(table["columns"][index]["name"]), loc="left", fontsize=10, color=svg.INK, parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=5 if width < 5 else 7)
    if any(labels):
        heading = clean(" · ".join(table["keys"]))
        axes.annotate(heading, (0, 1), xytext=(-9, 6), xycoords="axes fraction", textcoords="offset points",
                      ha="right", fontsize=9, color=svg.SOFT, parse_math=False)  # fmt: skip
        axes.set_yticks(range(len(rows)), labels, parse_math=False, color=svg.INK)
    else:
        axes.set_yticks([])
    _thousands(axes.xaxis)
    _zero(axes, rows, index, bars=colour if _from_zero(table, index) else None)
    return picture


def _across(table: Mapping[str, Any], index: int, rows: list[Any], places: list[float], colour: str) -> Any:
    """Keys that are numbers: a horizontal axis."""
    picture = svg.figure(6.2, 2.6)
    axes = picture.subplots()
    svg.plain(axes)
    axes.grid(visible=False, axis="x")
    _marks(axes, rows, index, places, colour, flat=False)
    axes.set_title(clean(table["columns"][index]["name"]), loc="left", fontsize=10, color=svg.INK, parse_math=False)
    axes.locator_params(axis="y", nbins=5)
    _thousands(axes.yaxis)
    low, high = _span(rows, index)
    if low >= 0 and (low < 0.5 * high or _from_zero(table, index)):
        axes.set_ylim(bottom=0)
    axes.set_xlabel(clean(table["keys"][0]), fontsize=9, color=svg.SOFT, parse_math=False)
    return picture


def _marks(axes: Any, rows: list[Any], index: int, places: list[Any], colour: str, *, flat: bool) -> None:
    for place, row in zip(places, rows, strict=True):
        cell = row["cells"][index]
        if cell["value"] is None:
            continue
        if cell["low"] is not None and cell["high"] is not None:
            ends, at = [cell["low"], cell["high"]], [place, place]
            axes.plot(
                *((ends, at) if flat else (at, ends)), color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt"
            )
        point = (cell["value"], place) if flat else (place, cell["value"])
        axes.plot(*([item] for item in point), "o", color=colour, markersize=5.5, markeredgecolor="white")


def _from_zero(table: Mapping[str, Any], index: int) -> bool:
    return bool(table["columns"][index].get("from_zero"))


def _zero(axes: Any, rows: list[Any], index: int, *, bars: str | None) -> None:
    """Let the axis begin at zero: with bars for what adds up, else with thin lines when that costs little room.

    A count that is shown from anywhere else makes a small difference look enormous.
    """
    low, high = _span(rows, index)
    shown = [(place, value) for place, row in enumerate(rows) if (value := row["cells"][index]["value"]) is not None]
    if bars is not None:
        for place, value in shown:
            axes.barh([place], [value], height=0.62, color=bars, alpha=0.22, linewidth=0, zorder=1)
    elif low >= 0 and low < 0.5 * high:
        for place, value in shown:
            axes.plot([0, value], [place, place], color=svg.GRID, linewidth=1.6, zorder=1)
    if low >= 0 and (bars is not None or low < 0.5 * high):
        axes.set_xlim(left=0, right=high * 1.04 or 1)
    elif low < 0 < high or bars is not None:
        axes.axvline(0, color=svg.SOFT, linewidth=0.8)


def _span(rows: list[Any], index: int) -> tuple[float, float]:
    """Return the least and the greatest end of the intervals."""
    cells = [row["cells"][index] for row in rows if row["cells"][index]["value"] is not None]
    lows = [cell["value"] if cell["low"] is None else cell["low"] for cell in cells]
    highs = [cell["value"] if cell["high"] is None else cell["high"] for cell in cells]
    return min(lows), max(highs)


def _thousands(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    def show(value: float, _place: int) -> str:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
        return text.replace("-", "−")

    axis.set_major_formatter(FuncFormatter(show))


def _label(keys: list[str]) -> str:
    text = " · ".join(keys)
    return text if len(text) <= 40 else text[:39] + "…"


def _number(label: str) -> float | None:
    try:
        value = float(label)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None
