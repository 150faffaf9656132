"""Pictures of risk and budget: beliefs before and after, attackers' best rates, the budget bar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from discreet.explain import svg
from discreet.explain.words import at_most, epsilon, percent
from discreet.release.shown import clean


def beliefs(name: str, attacker: Mapping[str, Any]) -> str:
    """Draw how far a belief in somebody's presence can move, for every belief held before."""
    picture = svg.figure(4.3, 4.3)
    axes = picture.subplots()
    svg.plain(axes)
    grid = [i / 200 for i in range(201)]
    axes.plot([0, 1], [0, 1], color=svg.SOFT, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(0.56, 0.5, "nothing learned", color=svg.SOFT, fontsize=9, rotation=42, rotation_mode="anchor")
    for view, colour in zip(_pair(attacker), (svg.ORANGE, svg.BLUE), strict=False):
        e = view["epsilon"]
        high = [_moved(p, e) for p in grid]
        low = [_moved(p, None if e is None else -e, down=True) for p in grid]
        axes.fill_between(grid, low, high, color=colour, alpha=0.10, linewidth=0)
        axes.plot(grid, high, color=colour, linewidth=2, label=f"{view['short']} (ε = {epsilon(e)})")
        axes.plot(grid, low, color=colour, linewidth=1)
    _square(axes)
    axes.set_xlabel("belief before the release", fontsize=9, color=svg.INK)
    axes.set_ylabel("highest and lowest belief after it", fontsize=9, color=svg.INK)
    _percentages(axes)
    _legend(axes)
    return svg.draw(
        picture,
        name,
        title="Belief that a person is in the data, before and after",
        description="; ".join(
            f"{view['short']}: "
            + ", ".join(f"{percent(r['prior'])} becomes at most {at_most(r['posterior'])}" for r in view["beliefs"])
            for view in _pair(attacker)
        ),
    )


def rates(name: str, attacker: Mapping[str, Any]) -> str:
    """Draw the best true-positive rate of any attacker against the false-positive rate, on log axes."""
    picture = svg.figure(4.3, 4.3)
    axes = picture.subplots()
    svg.plain(axes)
    ends = [1e-4, 1.0]
    axes.plot(ends, ends, color=svg.SOFT, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(1.6e-3, 1.05e-3, "guessing", color=svg.SOFT, fontsize=9, rotation=42, rotation_mode="anchor")
    for view, colour in zip(_pair(attacker), (svg.ORANGE, svg.BLUE), strict=False):
        x, y = [p[0] for p in view["curve"]], [p[1] for p in view["curve"]]
        axes.plot(x, y, color=colour, linewidth=2, label=view["short"])
        for rate in view["rates"]:
            axes.plot(
                [rate["false_positive_rate"]],
                [rate["true_positive_rate"]],
                "o",
                color=colour,
                markersize=5.5,
                markeredgecolor="white",
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    axes.minorticks_off()
    ticks = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    labels = ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("people wrongly accused of being in the data", fontsize=9, color=svg.INK)
    axes.set_ylabel("people rightly found, at best", fontsize=9, color=svg.INK)
    _legend(axes)
    return svg.draw(
        picture,
        name,
        title="Best true-positive rate of any attacker by false-positive rate",
        description="; ".join(
            f"{view['short']}: "
            + ", ".join(
                f"at most {at_most(r['true_positive_rate'])} found at {percent(r['false_positive_rate'])} wrongly accused"
                for r in view["rates"]
            )
            for view in _pair(attacker)
        ),
    )


def budget(name: str, facts: Mapping[str, Any]) -> str:
    """Draw the account's budget as one bar: what each release took, and what is left."""
    parts = facts["parts"]
    picture = svg.figure(8.6, 1.45)
    axes = picture.subplots()
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    left = 0.0
    for position, part in enumerate(parts):
        colour = svg.CYCLE[position % len(svg.CYCLE)]
        axes.barh([0], [part["share"]], left=left, height=0.62, color=colour, edgecolor="white", linewidth=1.2)
        if part["share"] >= 0.035:
            axes.text(
                left + part["share"] / 2,
                0,
                str(part["number"]),
                color="white",
                fontsize=10,
                fontweight="bold",
                ha="center",
                va="center",
            )
        left += part["share"]
    if left < 1:
        axes.barh(
            [0],
            [1 - left],
            left=left,
            height=0.62,
            color="#f1f4f6",
            edgecolor="#9aa7b2",
            linewidth=0.8,
            hatch="///",
            alpha=0.9,
        )
        if 1 - left > 0.12:
            axes.text((1 + left) / 2, 0, f"left: {percent(1 - left)}", color=svg.INK, fontsize=10, ha="center", va="center",
                      bbox={"facecolor": "#f1f4f6", "edgecolor": "none", "pad": 2})  # fmt: skip
    axes.set_xlim(0, max(1.0, left))
    axes.set_yticks([])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.tick_params(colors=svg.SOFT, labelsize=9, length=3)
    for label, side in zip(axes.get_xticklabels(), ["left", "center", "center", "center", "right"], strict=True):
        label.set_horizontalalignment(side)
    return svg.draw(
        picture,
        name,
        title="The budget of the account",
        description="; ".join(f"{clean(part['label'])} {percent(part['share'])}" for part in parts)
        + f"; left {percent(facts['left'])}",
    )


def _pair(attacker: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the two views that pictures compare: the promise of the account, and what ran."""
    return [view for view in attacker["views"] if view["name"] in {"account", "history"}]


def _moved(prior: float, epsilon: float | None, *, down: bool = False) -> float:
    if prior in (0.0, 1.0):
        return prior
    if epsilon is None:
        return 0.0 if down else 1.0
    return 1 / (1 + (1 - prior) / prior * math.exp(min(700.0, -epsilon)))


def _legend(axes: Any) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=9, frameon=False, labelcolor=svg.INK, borderaxespad=0.2
    )


def _square(axes: Any) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")


def _percentages(axes: Any) -> None:
    ticks = [0, 0.25, 0.5, 0.75, 1]
    labels = ["0 %", "25 %", "50 %", "75 %", "100 %"]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
