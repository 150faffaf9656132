"""Few atoms, run a moderate number of times: all their sums, one by one, without a lattice."""

from __future__ import annotations

import math

import numpy as np

from discreet.accounting.engines.atoms import Array, Atoms
from discreet.accounting.engines.law import Law, TableLaw

MOST = 200_000  # sums


def enumerated(parts: tuple[tuple[Law, int], ...]) -> Law | None:
    """Return the composition as one discrete law, or None where it has pieces or too many sums.

    The masses are products of binomial laws by ratios of neighbours: relative errors of a few EPS a step,
    all inside the law's slack.
    """
    size, infinite, slack = 1, 0.0, 1e-13
    for law, count in parts:
        atoms = law.atoms
        if law.pieces or law.tail > 0 or isinstance(law, TableLaw) or not 1 <= atoms.losses.size <= 3:
            return None
        size *= math.comb(count + atoms.losses.size - 1, atoms.losses.size - 1)
        if size > MOST:
            return None
        infinite += count * math.log1p(-law.infinite)
        slack += count * (law.slack + 4e-15)
    losses, masses = np.zeros(1), np.ones(1)
    for law, count in parts:
        more = _sums(law.atoms, count)
        losses = np.add.outer(losses, more.losses).ravel()
        masses = np.multiply.outer(masses, more.masses).ravel()
    held = masses > 0
    return Law(atoms=Atoms(losses[held], masses[held]), infinite=-math.expm1(infinite), slack=slack)


def _sums(atoms: Atoms, count: int) -> Atoms:
    losses, masses = atoms.losses, atoms.masses
    if losses.size == 1:
        return Atoms(losses * count, masses**count)
    if losses.size == 2:
        k = np.arange(count + 1)
        return Atoms(k * losses[1] + (count - k) * losses[0], _binomial(count, float(masses[0]), float(masses[1])))
    rest = float(masses[1] + masses[2])
    outer = _binomial(count, float(masses[0]), rest)
    found: list[Atoms] = []
    for both in range(count + 1):  # so many of the count fall on the last two
        inner = _sums(Atoms(losses[1:], masses[1:] / rest), both)
        found.append(Atoms(inner.losses + (count - both) * losses[0], inner.masses * outer[both]))
    return Atoms(np.concatenate([part.losses for part in found]), np.concatenate([part.masses for part in found]))


def _binomial(count: int, first: float, second: float) -> Array:
    """Return C(count, k)·first^(count-k)·second^k for every k: ratios from the mode, scaled to the known total."""
    k = np.arange(count)
    ratios = (count - k) / (k + 1) * (second / first)
    mode = int(np.searchsorted(-ratios, -1.0))
    with np.errstate(under="ignore"):
        up, down = np.cumprod(ratios[mode:]), np.cumprod(1 / ratios[:mode][::-1])[::-1]
    terms = np.concatenate([down, [1.0], up])
    return terms * ((first + second) ** count / float(terms.sum()))
