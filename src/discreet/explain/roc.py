"""The picture of a membership attack: members found by others wrongly accused, on log axes, with exact intervals.

Drawn from plain data, as `Roc.to_dict` of `discreet.audit` writes it. What was computed from real records is
internal: it may be drawn into a file of its owner's, which then says so, and into no report.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discreet.errors import InvalidInput
from discreet.explain import svg
from discreet.explain.words import percent
from discreet.release.shown import clean

FORMATS = (".svg", ".png", ".pdf")
Curves = Mapping[str, Mapping[str, Any]]

INTERNAL = "internal: computed from real records; not for release"


def picture(name: str, curves: Curves) -> str:
    """Return the curves as inline SVG for a report: of canaries, on a model that was released.

    Args:
        name: Makes the picture's ids unique in its page.
        curves: A curve for each attack, by what to call it.

    Raises:
        InvalidInput: a curve is internal, or there is none.
        MissingExtra: matplotlib is not installed.
    """
    internal = [clean(title) for title, curve in curves.items() if curve.get("internal")]
    if internal:
        raise InvalidInput(
            f"the curve of {', '.join(internal)} was computed from real records, and is internal.",
            state="Nothing was drawn.",
            remedy="Show in a report what canaries found on a model that was released, or draw it into a file by save.",
        )
    return svg.draw(
        _figure(curves, None),
        name,
        title="Members found by an attack, by others wrongly accused",
        description="; ".join(f"{clean(title)}: {_words(curve)}" for title, curve in curves.items()),
    )


def save(curves: Curves, path: Path) -> None:
    """Write the curves into a picture that only its owner can read; the file's suffix says in which format.

    Raises:
        InvalidInput: there is no curve, or the file cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidInput(
            f"{path.suffix or 'no suffix'} is no format of a picture.",
            state="Nothing was drawn.",
            remedy=f"Name a file that ends in {', '.join(FORMATS)}.",
        )
    drawn = _figure(curves, INTERNAL if any(curve.get("internal") for curve in curves.values()) else None)
    import matplotlib

    dated = {".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix.lower())  # one curve, one file: no clock in it
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        path.chmod(0o600)
        with matplotlib.rc_context({"svg.hashsalt": "roc", "svg.fonttype": "none"}):
            drawn.savefig(path, dpi=200, metadata={"Title": "Membership attack"} | ({dated: None} if dated else {}))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", remedy="Choose another folder.") from None


def _figure(curves: Curves, note: str | None) -> Any:
    if not curves:
        raise InvalidInput("there is no curve to draw.", state="Nothing was drawn.", remedy="Give one.")
    drawn = svg.figure(5.0, 4.6)
    axes = drawn.subplots()
    svg.plain(axes)
    least = min(0.5 / max(curve["others"], curve["members"], 2) for curve in curves.values())
    axes.plot([least, 1], [least, 1], color=svg.SOFT, linewidth=1.2, linestyle=(0, (4, 3)), label="guessing")
    for colour, (title, curve) in zip(_colours(len(curves)), curves.items(), strict=True):
        _curve(axes, clean(title), curve["curve"], colour, least)
    for scale in (axes.set_xscale, axes.set_yscale):
        scale("log")
    axes.set_xlim(least, 1)
    axes.set_ylim(least, 1)
    axes.set_aspect("equal")
    axes.minorticks_off()
    ticks = [10.0**power for power in range(-6, 1) if 10.0**power >= least]
    labels = [percent(tick) for tick in ticks]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("others wrongly accused (left edge: nobody)", fontsize=9, color=svg.INK)
    axes.set_ylabel("members found", fontsize=9, color=svg.INK)
    axes.legend(loc="lower right", fontsize=9, frameon=False, labelcolor=svg.INK)
    if note is not None:
        axes.set_title(note, loc="left", fontsize=9, color=svg.ORANGE)
    return drawn


def _curve(axes: Any, title: str, points: Mapping[str, list[float]], colour: str, least: float) -> None:
    """Draw one curve and its band; nothing found, or nobody accused, stands on the edge, for log axes have no zero."""
    x = [max(value, least) for value in points["false_positive_rate"]]
    low, high = ([max(value, least) for value in points[side]] for side in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, [max(value, least) for value in points["true_positive_rate"]], color=colour, linewidth=2, label=title)


def _colours(count: int) -> list[str]:
    return [svg.CYCLE[place % len(svg.CYCLE)] for place in range(count)]


def _words(curve: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{percent(found['rate'])} of {found['members']} members found at {percent(found['at'])} wrongly accused "
        f"(between {percent(found['low'])} and {percent(found['high'])})"
        for found in curve["found"]
    )
