"""Charts of released values: one panel a column, a dot for each number, a bar for its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discreet.explain import svg
from discreet.explain.words import clean

MOST_ROWS = 80  # more would be unreadable: the chart shows the first ones and says so
PANELS = 3  # columns side by side


def values(name: str, title: str, table: Mapping[str, Any]) -> str | None:
    """Return a chart of a released table, or None if it holds no number with an interval."""
    rows = table["rows"][:MOST_ROWS]
    columns = [
        index for index in range(len(table["columns"])) if any(row["cells"][index]["value"] is not None for row in rows)
    ]
    if not rows or not columns:
        return None
    labels = [_label(row["keys"]) for row in rows]
    ordered = len(rows) > 8 and len(table["keys"]) == 1 and all(_number(label) is not None for label in labels)
    if ordered:
        picture = _across(table, columns, rows, [float(label) for label in labels])
    else:
        picture = _down(table, columns, rows, labels)
    shown = ", ".join(table["columns"][index]["name"] for index in columns)
    return svg.draw(
        picture,
        name,
        title=f"{title}: {shown}",
        description=f"Dots are the {len(rows)} released values of each column; bars are their intervals. "
        "The table holds the same numbers.",
    )


def _down(table: Mapping[str, Any], columns: list[int], rows: list[Any], labels: list[str]) -> Any:
    """One row of the chart for each row of the table; the keys at the left."""
    across = 2 if len(columns) == PANELS + 1 else min(PANELS, len(columns))  # two and two, not three and one
    down = -(-len(columns) // across)
    tall = 0.62 + 0.27 * max(len(rows), 1)
    picture = svg.figure(8.6, tall * down)
    picture.get_layout_engine().set(wspace=0.08, hspace=0.05)
    panels = picture.subplots(down, across, squeeze=False, sharey=True)
    for position, axes in enumerate(panels.flat):
        if position >= len(columns):
            axes.set_visible(False)
            continue
        index = columns[position]
        svg.plain(axes)
        axes.grid(visible=False, axis="y")
        _marks(axes, rows, index, list(range(len(rows))), svg.CYCLE[position % len(svg.CYCLE)], flat=True)
        axes.set_title(clean(table["columns"][index]["name"]), loc="left", fontsize=10, color=svg.INK, parse_math=False)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.locator_params(axis="x", nbins=(8, 5, 4)[across - 1])
        if any(labels) and position == 0:
            heading = clean(" · ".join(table["keys"]))
            axes.annotate(heading, (0, 1), xytext=(-9, 6), xycoords="axes fraction", textcoords="offset points",
                          ha="right", fontsize=9, color=svg.SOFT, parse_math=False)  # fmt: skip
        if any(labels):
            axes.set_yticks(range(len(rows)), labels, parse_math=False, color=svg.INK)
        else:
            axes.set_yticks([])
        _thousands(axes.xaxis)
        _zero(axes, rows, index)
    return picture


def _across(table: Mapping[str, Any], columns: list[int], rows: list[Any], places: list[float]) -> Any:
    """Keys that are numbers: a horizontal axis, and one panel below the other."""
    picture = svg.figure(8.6, 2.3 * len(columns) + 0.3)
    panels = picture.subplots(len(columns), 1, squeeze=False, sharex=True)
    for position, (index, axes) in enumerate(zip(columns, panels.flat, strict=True)):
        svg.plain(axes)
        axes.grid(visible=False, axis="x")
        _marks(axes, rows, index, places, svg.CYCLE[position % len(svg.CYCLE)], flat=False)
        axes.set_title(clean(table["columns"][index]["name"]), loc="left", fontsize=10, color=svg.INK, parse_math=False)
        axes.locator_params(axis="y", nbins=5)
        _thousands(axes.yaxis)
        low, high = _span(rows, index)
        if low >= 0 and low < 0.5 * high:
            axes.set_ylim(bottom=0)
    panels[-1][0].set_xlabel(clean(table["keys"][0]), fontsize=9, color=svg.SOFT, parse_math=False)
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


def _zero(axes: Any, rows: list[Any], index: int) -> None:
    """Let the axis begin at zero, with a thin line to each dot, when that costs little room."""
    low, high = _span(rows, index)
    if low >= 0 and low < 0.5 * high:
        axes.set_xlim(left=0, right=high * 1.04)
        shown = [(place, row["cells"][index]["value"]) for place, row in enumerate(rows)]
        for place, value in shown:
            if value is not None:
                axes.plot([0, value], [place, place], color=svg.GRID, linewidth=1.6, zorder=1)
    elif low < 0 < high:
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
