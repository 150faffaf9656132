"""Draw the pictures of how-the-accountant-works.md anew: `python docs/explanation/accountant/pictures.py`.

They show what the engines themselves compute, so a picture that no longer fits its caption says that
the engine has changed. Needs the `report` extra.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from discreet import events
from discreet.accounting.engines.contour import Composition, Contour, contour
from discreet.accounting.engines.grid import compose, dominated, dominating
from discreet.accounting.engines.law import Law, gathered
from discreet.accounting.engines.pairs import pair
from discreet.explain.svg import BLUE, GREEN, INK, ORANGE, SOFT, plain

HERE = Path(__file__).parent
STEPS, DELTA = 10_000, 1e-5


def law() -> Law:
    """Return one step of the example: one record in a hundred, noise 1, a person removed."""
    found = pair(events.PoissonSampled(0.01, events.Relation.ADD_REMOVE, events.Gaussian(1.0)), "remove")
    assert found is not None
    return found.law


def kept(figure: Figure, name: str) -> None:
    """Write a picture whose bytes depend on nothing but what it shows."""
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(HERE / f"{name}.svg", metadata={"Date": None, "Creator": None})


def axes(count: int, width: float = 8.4, height: float = 3.2) -> tuple[Figure, list[Any]]:
    """Return a figure with so many quiet axes in a row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    found = list(figure.subplots(1, count, squeeze=False)[0])
    for each in found:
        plain(each)
    return figure, found


def integrand(line: Contour, composition: Composition) -> None:
    """Draw f on the contour: what is summed, and how far it can be from 0 beyond the last node."""
    z = line.c + 1j * line.u
    f = np.exp(line.shape + 1j * line.u * (line.phase - line.near)) / (z * (1 + z))
    top = abs(f[0])
    bound = sum(count * part.decay(line.c, 1e-20).log_bound(line.u) for part, count in composition.parts)
    figure, (left, right) = axes(2)
    left.plot(line.u, f.real / top, color=BLUE, linewidth=1)
    left.plot(line.u, f.real / top, "o", color=BLUE, markersize=4, label=f"the {line.u.size} nodes that are summed")
    left.set(xlabel="u", title="real part of f(c + iu) / f(c)")
    left.legend(frameon=False, fontsize=8)
    right.semilogy(line.u, np.abs(f) / top, "o", color=BLUE, markersize=4, label="|f(c + iu)| / f(c)")
    envelope = np.exp(bound[1:]) / line.u[1:] ** 2 / top
    right.semilogy(line.u[1:], np.minimum(envelope, 10), color=ORANGE, label="proved envelope for all larger u")
    right.set(xlabel="u", title="modulus, and its envelope")
    right.legend(frameon=False, fontsize=8)
    kept(figure, "integrand")


def losses(one: Law) -> None:
    """Draw the law of the loss of one step, and of all of them."""
    step = 2e-3
    once = dominating(gathered(one, step, 0.0, 1e-12)[0], step, 0.0)
    at = step * (once.first + np.arange(once.masses.size))
    figure, (left, right) = axes(2)
    left.semilogy(at, np.maximum(once.masses / step, 1e-12), color=BLUE)
    left.set(
        xlabel="privacy loss of one step",
        title="one step",
        xlim=(-0.1, 1.5),
        ylim=(1e-8, 1e3),
        ylabel="density under P",
    )
    fine = 1e-3
    law_above = dominating(gathered(one, fine, 0.0, 1e-20)[0], fine, 0.0)
    whole = compose([(law_above, STEPS)], fine, 1e-3, 6.2, 1e-12, above=True)
    density = whole.tilted * np.exp(whole.scale - whole.c * whole.points) / fine
    shown = (whole.points > -6) & (whole.points < 10) & (np.arange(whole.points.size) % 64 == 0)
    right.plot(whole.points[shown], density[shown], color=BLUE)
    over = whole.points >= 6.1877
    right.fill_between(whole.points[over & shown], density[over & shown] * 1000, color=ORANGE, alpha=0.6)
    right.annotate("beyond 6.19\n(1,000 times too high)", (3.4, 0.14), color=INK, fontsize=8)
    right.set(xlabel="privacy loss of 10,000 steps", title="10,000 steps")
    kept(figure, "losses")


def closing(line: Contour, composition: Composition, one: Law) -> None:
    """Draw how wide the bracket of δ is after so many nodes, and that of a short run for so fine a lattice."""
    figure, (left, right) = axes(2)
    counts, widths = range(4, line.u.size), []
    for count in counts:
        u = line.u[: count + 1]
        end = sum(times * float(part.decay(line.c, 1e-20).log_bound(u[-1:])[0]) for part, times in composition.parts)
        part = replace(line, u=u, shape=line.shape[: count + 1], errors=line.errors[: count + 1], log_end=end)
        terms = part.delta(line.near)
        widths.append((terms.upper - terms.lower) / DELTA)
    left.semilogy(list(counts), widths, "o-", color=BLUE, markersize=4)
    left.set(xlabel="nodes of the contour", title="10,000 steps: width of δ / δ")
    steps = [2.0**-k for k in range(7, 14)]
    tilt, near, _ = Composition(((one, 10),)).saddle(log_delta=math.log(DELTA))
    spans = []
    for step in steps:
        over, under = gathered(one, step, 0.0, 1e-20)
        laws = dominating(over, step, 0.0), dominated(under, step, 0.0)
        sides = [
            compose([(each, 10)], step, tilt, near, 1e-12, above=above).delta(near)
            for each, above in zip(laws, (True, False), strict=True)
        ]
        spans.append((sides[0] - sides[1]) / sides[0])
    right.loglog(steps, spans, "o-", color=GREEN, markersize=4, label="measured")
    right.loglog(steps, [spans[0] * (step / steps[0]) ** 2 for step in steps], "--", color=SOFT, label="step²")
    right.set(xlabel="step of the lattice", title="10 steps: width of δ / δ")
    right.legend(frameon=False, fontsize=8)
    kept(figure, "closing")


def main() -> None:
    """Draw all of them."""
    one = law()
    composition = Composition(((one, STEPS),))
    line = contour(composition, delta=DELTA)
    assert math.isfinite(line.c)
    cut = composition.windowed(1e-12 * DELTA)
    integrand(line, cut)
    losses(one)
    closing(line, cut, one)


if __name__ == "__main__":
    main()
