"""Exact intervals and tails for counts: Clopper-Pearson, Wilson, binomial, hypergeometric, Dvoretzky-Kiefer-Wolfowitz.

The only module that calls scipy.special. Its incomplete beta functions are good to about 1e-14; each end is moved
outward by far more than that, so that a bound is never inside of the exact one.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from discreet.audit.statistics.bound import check_alpha
from discreet.errors import InvalidInput, missing_extra

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

OUTWARD = 1e-11  # relative; far above what scipy's beta functions lose
TINY = 1e-300  # a tail below what floats hold is not 0


def clopper_pearson_lower(successes: ArrayLike, trials: ArrayLike, *, alpha: float) -> Floats:
    """Return the rate that is a lower bound of the true one with confidence 1 - alpha, for each count.

    Guarantee: whatever the true rate, the chance that the returned one lies above it is at most alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials of one success rate, and a number of trials fixed beforehand.
    """
    k, n = _counts(successes, trials)
    alpha = check_alpha(alpha)
    found = _special().betaincinv(np.maximum(k, 1), n - k + 1, alpha)
    lower: Floats = np.where(k == 0, 0.0, found * (1 - OUTWARD))
    return lower


def clopper_pearson_upper(successes: ArrayLike, trials: ArrayLike, *, alpha: float) -> Floats:
    """Return the rate that is an upper bound of the true one with confidence 1 - alpha, for each count.

    Guarantee: whatever the true rate, the chance that the returned one lies below it is at most alpha.
    Evidence: proven, docs/proofs/paired_audit.md.
    Assumes: independent trials of one success rate, and a number of trials fixed beforehand.
    """
    k, n = _counts(successes, trials)
    return _upper(k, n, check_alpha(alpha))


def clopper_pearson_rest(successes: ArrayLike, trials: ArrayLike, *, alpha: float) -> Floats:
    """Return 1 - `clopper_pearson_lower`, without the cancellation: the upper bound of the rate of failures."""
    k, n = _counts(successes, trials)
    return _upper(n - k, n, check_alpha(alpha))


def _upper(k: Integers, n: Integers, alpha: float) -> Floats:
    found = _special().betainccinv(k + 1, np.maximum(n - k, 1), alpha)
    upper: Floats = np.where(k == n, 1.0, np.minimum(1.0, found * (1 + OUTWARD)))
    return upper


def wilson(successes: int, trials: int, *, alpha: float) -> tuple[float, float]:
    """Return the centre and the half-width of Wilson's two-sided interval: an approximation, to compare with others."""
    k, n = (int(value[()]) for value in _counts(successes, trials))
    z = NormalDist().inv_cdf(1 - check_alpha(alpha) / 2)
    centre = (k + z * z / 2) / (n + z * z)
    return centre, z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)


def binomial_upper_tail(successes: ArrayLike, trials: ArrayLike, rate: ArrayLike) -> Floats:
    """Return P[Bin(trials, rate) >= successes], rounded up."""
    k, n = _counts(np.maximum(successes, 0), trials)
    p = _rates(rate)
    inside = _special().betainc(np.maximum(k, 1), n - k + 1, p)
    tail: Floats = np.where(k == 0, 1.0, np.minimum(1.0, inside * (1 + OUTWARD) + TINY))
    return tail


def binomial_lower_tail(successes: ArrayLike, trials: ArrayLike, rate: ArrayLike) -> Floats:
    """Return P[Bin(trials, rate) <= successes], rounded up."""
    k, n = _counts(successes, trials)
    p = _rates(rate)
    inside = _special().betaincc(k + 1, np.maximum(n - k, 1), p)
    tail: Floats = np.where(k == n, 1.0, np.minimum(1.0, inside * (1 + OUTWARD) + TINY))
    return tail


def log_binomials(successes: ArrayLike, trials: int, rate: float) -> Floats:
    """Return log P[Bin(trials, rate) = successes] for a rate in (0, 1), rounded down."""
    k, n = np.asarray(successes, dtype=np.float64), float(trials)
    first, second, third = _log_choose(n, k), k * math.log(rate), (n - k) * math.log1p(-rate)
    # Each gammaln is good to 1e-15 of its own size, at most n·log(n).
    size = 1e-14 * (1 + n * math.log(n + 1)) + 1e-15 * (np.abs(first) + np.abs(second) + np.abs(third))
    found: Floats = first + second + third - size
    return found


def hypergeometric_upper_tail(hits: int, population: int, marked: int, draws: int) -> float:
    """Return P[at least `hits` of `draws` are marked], drawing without replacement from `population`; rounded up."""
    for name, value in (("hits", hits), ("population", population), ("marked", marked), ("draws", draws)):
        check_whole(name, value)
    if marked > population or draws > population:
        raise InvalidInput(
            f"of {population} units neither {marked} can be marked nor {draws} be drawn: at most all of them can."
        )
    least, most = max(0, draws + marked - population), min(draws, marked)
    if hits <= least:
        return 1.0
    if hits > most:
        return 0.0
    x = np.arange(hits, most + 1, dtype=np.float64)
    logs = _log_choose(float(marked), x) + _log_choose(float(population - marked), draws - x)
    logs -= _log_choose(float(population), np.array(float(draws)))
    # Each gammaln is good to 1e-15 of its own size, at most population·log(population).
    size = 1e-14 * (1 + population * math.log(population + 1))
    top = float(logs.max())
    return min(1.0, math.exp(top + math.log(float(np.exp(logs - top).sum())) + size))


def hypergeometric_lower_tail(hits: int, population: int, marked: int, draws: int) -> float:
    """Return P[at most `hits` of `draws` are marked], drawing without replacement from `population`; rounded up."""
    check_whole("hits", hits)
    return hypergeometric_upper_tail(max(0, draws - hits), population, population - marked, draws)


def dkw_radius(trials: int, *, alpha: float) -> float:
    """Return how far an empirical distribution function is from the true one, at most, with confidence 1 - alpha.

    Massart's constant, two-sided: sqrt(ln(2 / alpha) / (2·trials)), rounded up.
    """
    check_whole("trials", trials, least=1)
    return math.sqrt(math.log(2 / check_alpha(alpha)) / (2 * trials)) * (1 + 1e-12)


def check_whole(name: str, value: object, *, least: int = 0) -> int:
    """Return `value` if it is a whole number of at least `least`.

    Raises:
        InvalidInput: it is not.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidInput(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def _counts(successes: ArrayLike, trials: ArrayLike) -> tuple[Integers, Integers]:
    """Return both as whole numbers of one shape."""
    arrays = []
    for name, value in (("successes", successes), ("trials", trials)):
        array = np.asarray(value)
        if array.dtype == np.bool_ or not np.issubdtype(array.dtype, np.integer):
            raise InvalidInput(f"{name} must be whole numbers, got {array.dtype}.")
        arrays.append(array.astype(np.int64))
    k, n = arrays
    if np.any(n < 1) or np.any(k < 0) or np.any(k > n):
        raise InvalidInput("counts of successes must lie between 0 and the number of trials, which is at least 1.")
    return k, n


def _rates(rate: ArrayLike) -> Floats:
    p = np.asarray(rate, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise InvalidInput("a rate must lie in [0, 1].")
    return p


def _log_choose(n: float, k: Floats) -> Floats:
    gammaln = _special().gammaln
    found: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found


def _special() -> Any:
    try:
        import scipy.special
    except ImportError:
        raise missing_extra("audit", "scipy") from None
    return scipy.special
