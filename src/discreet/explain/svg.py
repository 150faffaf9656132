"""Draw with matplotlib, without its global figures, into a piece of SVG that HTML can hold.

Text stays text (small, searchable, read out by screen readers); ids are made unique by the
picture's own name; nothing in the result depends on the clock or on a counter.
"""

from __future__ import annotations

import io
import re
import warnings
from html import escape
from typing import Any

from discreet.errors import missing_extra
from discreet.release.shown import clean

INK, SOFT, GRID = "#1b2733", "#52616f", "#dfe5ea"
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#56b4e9", "#e0a800"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW)  # Okabe and Ito's colours: told apart by most eyes
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"


def figure(width: float, height: float) -> Any:
    """Return an empty figure that belongs to nobody (no pyplot, no window)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("report", "matplotlib") from None
    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: Any) -> None:
    """Give axes the house's quiet look."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelsize=9, length=0)
    axes.tick_params(axis="x", length=3)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def draw(picture: Any, name: str, *, title: str, description: str) -> str:
    """Return `picture` as inline SVG with a title and a description for those who cannot see it."""
    import matplotlib

    held = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        warnings.simplefilter("ignore")  # keys in scripts that the measuring font lacks: the browser has others
        picture.savefig(held, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = held.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([0-9.]+px) [^;\"]+", rf"font-size: \1; font-family: {FONTS}", text)
    text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)  # a hundredth of a point is below what anyone sees
    size = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', text)
    assert size is not None
    width = f"{float(size[1]) * 4 / 3:.0f}"
    opening = (
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'style="max-width: {width}px" viewBox="0 0 {size[1]} {size[2]}">'
        f'<title id="{name}-title">{escape(clean(title))}</title><desc id="{name}-desc">{escape(clean(description))}</desc>'
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1).strip()
