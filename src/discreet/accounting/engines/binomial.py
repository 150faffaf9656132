"""The upper tail of a binomial law, to about twelve digits, for a number of trials up to 1e15.

References: Loader 2000, "Fast and accurate computation of binomial probabilities".
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def binomial_tail(trials: int, rate: float, least: int) -> float:
    """Return P(Bin(trials, rate) ≥ least)."""
    if least <= 0:
        return 1.0
    if least > trials:
        return 0.0
    if least <= trials * rate:
        return 1.0 - binomial_tail(trials, 1 - rate, trials - least + 1)
    first = _probability(trials, rate, least)
    if first == 0.0:
        return 0.0
    total, factor, at, odds = 0.0, 1.0, least, rate / (1 - rate)
    while at <= trials:  # blocks of the ratios p(k+1)/p(k), which fall
        k = np.arange(at, min(at + 4096, trials + 1), dtype=np.float64)
        terms = factor * np.cumprod(np.concatenate([[1.0], (trials - k) / (k + 1) * odds]))
        total += float(terms[:-1].sum())
        factor = float(terms[-1])
        if factor < 1e-17 * total:
            break
        at += 4096
    return min(1.0, first * total)


def _probability(trials: int, rate: float, k: int) -> float:
    if k == 0:
        return math.exp(trials * math.log1p(-rate))
    if k == trials:
        return math.exp(trials * math.log(rate))
    rest = trials - k
    log = _stirling(trials) - _stirling(k) - _stirling(rest)
    mean = Fraction(rate) * trials
    log -= _deviance(k, mean) + _deviance(rest, trials - mean)
    return math.exp(log - 0.5 * (math.log(2 * math.pi) + math.log(k) + math.log1p(-k / trials)))


def _stirling(n: int) -> float:
    """Return log n! - log(√(2πn)·(n/e)ⁿ)."""
    if n < 16:
        return math.lgamma(n + 1) - ((n + 0.5) * math.log(n) - n + 0.5 * math.log(2 * math.pi))
    s = 1.0 / n / n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 * s) * s) * s) * s) / n


def _deviance(x: int, mean: Fraction) -> float:
    """Return x·log(x/mean) + mean - x without cancellation."""
    apart = float(x - mean)
    if abs(apart) < 0.1 * (x + float(mean)):
        v = float((x - mean) / (x + mean))
        total, power = apart * v, 2 * x * v
        for j in range(1, 1000):
            power *= v * v
            following = total + power / (2 * j + 1)
            if following == total:
                break
            total = following
        return total
    return x * math.log(float(x / mean)) - apart
