"""The picture of a privacy profile: δ by ε, and the best attacker's rates, each drawn with both its ends."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from discreet.errors import InvalidInput
from discreet.explain import svg
from discreet.profiles import Bracket, PrivacyProfile

LEAST_DELTA = 1e-12  # where the first picture ends
LEAST_RATE = 1e-4
POINTS = 49


def save(profile: PrivacyProfile, path: Path) -> None:
    """Write the picture of a profile; the file's suffix says in which format.

    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidInput: the file cannot be written.
    """
    picture = svg.figure(8.6, 3.9)
    left, right = picture.subplots(1, 2)
    _deltas(left, profile)
    _rates(right, profile)
    import matplotlib

    dated = {".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix.lower())  # one curve, one file: no clock in it
    try:
        with matplotlib.rc_context({"svg.hashsalt": "curve", "svg.fonttype": "none"}):
            picture.savefig(path, dpi=200, metadata={"Title": "Privacy profile"} | ({dated: None} if dated else {}))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", remedy="Choose another folder.") from None


def _deltas(axes: Any, profile: PrivacyProfile) -> None:
    """Draw δ by ε, from 0 to where δ is as small as anybody asks for."""
    end = profile.epsilon(LEAST_DELTA).upper
    if not 0 < end < math.inf:
        end = 10.0
    grid = [end * k / (POINTS - 1) for k in range(POINTS)]
    found = zip(grid, profile.curve(grid), strict=True)
    svg.plain(axes)
    _both(axes, [(x, ends) for x, ends in found if ends.upper >= LEAST_DELTA / 100], svg.BLUE, least=LEAST_DELTA / 100)
    axes.set_yscale("log")
    axes.set_ylim(LEAST_DELTA / 2, 2)
    axes.set_xlim(0, end)
    axes.minorticks_off()
    axes.set_xlabel("ε", fontsize=9, color=svg.INK)
    axes.set_title("δ(ε)", loc="left", fontsize=10, color=svg.INK)


def _rates(axes: Any, profile: PrivacyProfile) -> None:
    """Draw the trade-off: what share of members an attacker finds at each share falsely accused, on log axes."""
    grid = [LEAST_RATE ** (1 - k / POINTS) for k in range(POINTS)]
    found = [(x, profile.true_positive_rate(x)) for x in grid] + [(1.0, Bracket(1.0, 1.0))]
    svg.plain(axes)
    axes.plot([LEAST_RATE, 1], [LEAST_RATE, 1], color=svg.SOFT, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(1.6e-3, 1.05e-3, "guessing", color=svg.SOFT, fontsize=9, rotation=40, rotation_mode="anchor")
    _both(axes, found, svg.ORANGE, least=LEAST_RATE)
    for scale in (axes.set_xscale, axes.set_yscale):
        scale("log")
    axes.set_xlim(LEAST_RATE, 1)
    axes.set_ylim(LEAST_RATE, 1)
    axes.minorticks_off()
    axes.set_xlabel("falsely accused", fontsize=9, color=svg.INK)
    axes.set_title("members found, at best", loc="left", fontsize=10, color=svg.INK)
    axes.legend(loc="lower right", fontsize=9, frameon=False, labelcolor=svg.INK)


def _both(axes: Any, found: list[tuple[float, Bracket]], colour: str, *, least: float) -> None:
    """Draw both ends, and shade what lies between them; where they are close the eye sees one line."""
    grid = [x for x, _ in found]
    upper = [max(ends.upper, least) for _, ends in found]
    lower = [max(ends.lower, least) for _, ends in found]  # zero has no place on a log axis
    axes.fill_between(grid, lower, upper, color=colour, alpha=0.15, linewidth=0)
    axes.plot(grid, upper, color=colour, linewidth=2, label="upper end, the proved bound")
    axes.plot(grid, lower, color=svg.INK, linewidth=1, linestyle=(0, (2, 2)), label="lower end")
