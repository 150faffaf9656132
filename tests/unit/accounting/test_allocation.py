"""Random allocation: the two laws enclose closed forms, exact sums and fresh draws, and a wrong scale falls outside."""

import itertools
import time
from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate
from scipy.special import ndtr

from discreet.accounting.engines import allocation as engine
from discreet.accounting.engines import blocks
from discreet.accounting.engines.allocation import allocation
from discreet.accounting.engines.blocks import Block, Side
from discreet.errors import InvalidInput, UnsupportedEvent

LOST = 1e-14
BOTH = pytest.mark.parametrize("adding", [False, True], ids=["remove", "add"])
SIDES = [Side(adding=adding, above=above) for adding in (False, True) for above in (False, True)]


def delta(law, epsilon):
    """Return the hockey stick of a discrete law, to about 1e-15."""
    held = law.losses > epsilon
    return float((law.masses[held] * -np.expm1(epsilon - law.losses[held])).sum()) + law.infinite


def one(mu, epsilon, at=0.0, *, adding):
    """Return the exact hockey stick for two steps, given that one of the two likelihood ratios is `at`; at = 0: one step."""
    if not adding:  # E(Y - k)+ with k = e^ε - at
        k = np.exp(epsilon) - at
        if k <= 0:
            return 1 - k
        d = (-np.log(k)) / mu + mu / 2
        return ndtr(d) - k * ndtr(d - mu)
    k = np.exp(-epsilon) - at  # e^ε E(k - Y)+
    if k <= 0:
        return 0.0
    d = np.log(k) / mu + mu / 2
    return np.exp(epsilon) * (k * ndtr(d) - ndtr(d - mu))


def two(mu, epsilon, *, adding):
    """Return the exact hockey stick of two steps by quadrature over the first."""

    def inner(x):
        y = np.exp(mu * x - mu * mu / 2)
        if adding:  # e^ε E(2e^-ε - y - Y)+ / 2
            k = 2 * np.exp(-epsilon) - y
            value = 0.0 if k <= 0 else one(mu, -np.log(k), adding=True) * k
            value *= np.exp(epsilon) / 2
        else:
            k = 2 * np.exp(epsilon) - y
            value = (1 - k if k <= 0 else one(mu, np.log(k), adding=False)) / 2
        return value * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    kink = (np.log(2) + (-epsilon if adding else epsilon)) / mu + mu / 2
    ends = [-14.0, kink - 2, kink - 0.5, kink, kink + 0.5, kink + mu, 14.0 + mu]
    ends = sorted(end for end in ends if -14 <= end <= 14 + mu)
    return sum(integrate.quad(inner, a, b, epsabs=0, epsrel=1e-11, limit=400)[0] for a, b in itertools.pairwise(ends))


@BOTH
@pytest.mark.parametrize("mu", [0.02, 0.3, 1.0, 4.0])
def test_one_step_is_the_gaussian_mechanism(mu, adding):
    above, below = allocation(mu, 1, adding=adding, lost=LOST)
    for epsilon in np.array([-2, -0.5, 0, 0.5, 1, 2, 4]) * mu:
        exact = one(mu, epsilon, adding=adding)
        assert delta(below, epsilon) <= exact * (1 + 1e-12)
        assert exact <= delta(above, epsilon) * (1 + 1e-12)
        assert delta(above, epsilon) - delta(below, epsilon) <= 1e-6 * exact + 3 * LOST


@BOTH
@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
def test_two_steps_agree_with_quadrature_and_a_scale_ten_percent_off_does_not(mu, adding):
    above, below = allocation(mu, 2, adding=adding, lost=LOST)
    for epsilon in np.array([0, 0.2, 1, 2]) * mu:
        exact = two(mu, epsilon, adding=adding)
        assert delta(below, epsilon) <= exact * (1 + 1e-10) + 1e-16
        assert exact <= delta(above, epsilon) * (1 + 1e-10)
        for wrong in (mu * 1.1, mu / 1.1):
            other = two(wrong, epsilon, adding=adding)
            assert not delta(below, epsilon) <= other <= delta(above, epsilon)


@BOTH
@pytest.mark.parametrize(("mu", "steps"), [(1.0, 3), (0.2, 37), (2.5, 60), (5.0, 7), (1.0, 1000)])
def test_the_laws_are_ordered_close_and_nearly_whole(mu, steps, adding):
    above, below = allocation(mu, steps, adding=adding, lost=LOST, step=2.0**-11)
    for law in (above, below):
        assert np.all(np.diff(law.losses) > 0)
        assert np.all(law.masses >= 0)
        assert len(law.losses) <= 1 << 20
    assert 1 <= above.masses.sum() + above.infinite <= 1 + 1e-8
    assert 1 - 1e-8 <= below.masses.sum() <= 1
    assert below.infinite == 0
    assert 0 < above.infinite <= LOST
    # Q's masses: a likelihood ratio has mean at most 1.
    assert (below.masses * np.exp(-below.losses)).sum() <= 1
    for epsilon in np.linspace(-3, 6, 91):
        up, low = delta(above, epsilon), delta(below, epsilon)
        assert low <= up
        if low > 1e-8:
            assert up - low <= 1e-4 * up


def test_two_resolutions_agree():
    finer = allocation(1.0, 20, adding=False, lost=LOST)
    coarser = allocation(1.0, 20, adding=False, lost=LOST, step=2.0**-8)
    for epsilon in np.linspace(-1, 4, 41):
        assert delta(coarser[1], epsilon) <= delta(finer[0], epsilon)
        assert delta(finer[1], epsilon) <= delta(coarser[0], epsilon)
    assert delta(coarser[0], 0.5) - delta(coarser[1], 0.5) > 50 * (delta(finer[0], 0.5) - delta(finer[1], 0.5))


def drawn(mu, steps, epsilon, *, adding, draws=200_000, alarm=5e-9):
    """Return an interval that misses the hockey stick with probability at most `alarm` (Maurer and Pontil 2009)."""
    rng = np.random.default_rng()
    parts = []
    for _ in range(20):
        x = rng.standard_normal((draws // 20, steps))
        if not adding:
            x[:, 0] += mu  # by symmetry, the step of the unit may be the first
        ratio = np.exp(mu * x - mu * mu / 2).mean(axis=1)
        parts.append(np.maximum(0, 1 - np.exp(epsilon) * (ratio if adding else 1 / ratio)))
    sample = np.concatenate(parts)
    log = np.log(4 / alarm)
    radius = np.sqrt(2 * sample.var(ddof=1) * log / draws) + 7 * log / (3 * (draws - 1))
    return sample.mean() - radius, sample.mean() + radius


@BOTH
def test_fresh_draws_over_a_hundred_steps_agree_and_tell_a_scale_ten_percent_off(adding):
    low, high = drawn(1.0, 100, 0.0, adding=adding)
    for mu, agrees in ((1.0, True), (1.1, False), (1 / 1.1, False)):
        above, below = allocation(mu, 100, adding=adding, lost=1e-12, step=2.0**-9)
        assert (delta(above, 0.0) >= low and delta(below, 0.0) <= high) == agrees
    low, high = drawn(1.0, 100, 0.1, adding=adding)
    above, below = allocation(1.0, 100, adding=adding, lost=1e-12, step=2.0**-9)
    assert delta(above, 0.1) >= low
    assert delta(below, 0.1) <= high


# ------------------------------------------------------------------------------------- its parts, exactly


def exactly(row):
    return [Fraction(float(v)) for v in row]


def convolved(x, y):
    found = [Fraction(0)] * (len(x) + len(y) - 1)
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            found[i + j] += a * b
    return found


@pytest.mark.parametrize("side", SIDES, ids=str)
@pytest.mark.parametrize("spread", [0.0, 40.0])
def test_rounding_in_convolutions_stays_on_its_side(side, spread):
    rng = np.random.default_rng()
    x, y = (np.exp(-spread * rng.random((1 if side.above else 2, 48))) for _ in range(2))
    found = blocks.convolved(Block(3, x), Block(5, y), side)
    assert found.start == 8
    mass = convolved(exactly(x[0]), exactly(y[0]))
    if side.above:
        assert all(Fraction(float(f)) >= m for f, m in zip(found.rows[0], mass, strict=True))
        return
    first, second = convolved(exactly(x[1]), exactly(y[0])), convolved(exactly(x[0]), exactly(y[1]))
    for f, d, m, offset in zip(
        *(exactly(row) for row in found.rows), mass, map(sum, zip(first, second, strict=True)), strict=True
    ):
        assert f <= m
        if f > 0:
            assert (d * m >= offset * f) if side.adding else (d * m <= offset * f)


def test_the_tilt_makes_a_far_tail_relatively_accurate():
    k = np.arange(400.0)
    x = np.exp(-0.5 * ((k - 100) / 25) ** 2)[None, :]
    exact = convolved(exactly(x[0]), exactly(x[0]))
    for side, at in ((SIDES[1], 420), (SIDES[3], 20)):  # ten and seven deviations out
        found = blocks.convolved(Block(0, x), Block(0, x), side).rows[0, at]
        assert exact[at] <= Fraction(float(found)) <= exact[at] * Fraction(1 + 1e-5)


@pytest.mark.parametrize("side", SIDES, ids=str)
@pytest.mark.parametrize("start", [6, 7])
def test_a_coarser_level_keeps_the_convex_order(side, start):
    rng = np.random.default_rng()
    rows = rng.random((1 if side.above else 2, 21))
    fine, coarse = Block(start, rows), blocks.coarser(Block(start, rows), side)

    def call(block, spacing, strike):
        total = 0.0
        for i, mass in enumerate(block.rows[0]):
            at = spacing * (block.start + i + (0 if side.above else block.rows[1, i] / mass if mass else 0))
            total += mass * max(0.0, strike - at if side.adding else at - strike)
        return total

    for strike in np.linspace(0, 32, 65):
        difference = call(coarse, 2, strike) - call(fine, 1, strike)
        assert difference >= -1e-12 if side.above else difference <= 1e-12


# --------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("mu", [12.0, 60.0, 1e6])
def test_hopeless_noise_is_refused_at_once(mu):
    begin = time.perf_counter()
    with pytest.raises(UnsupportedEvent, match="noise multiplier"):
        allocation(mu, 100, adding=False, lost=LOST)
    assert time.perf_counter() - begin < 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        *({"mu": value} for value in (0.0, -1.0, float("nan"), float("inf"))),
        *({"steps": value} for value in (0, True, 1.5)),
        *({"lost": value} for value in (0.0, 1.0, float("nan"))),
        *({"step": value} for value in (0.0, 1.0, float("nan"))),
    ],
)
def test_wrong_input_is_refused(wrong):
    with pytest.raises(InvalidInput):
        allocation(**{"mu": 1.0, "steps": 2, "adding": False, "lost": LOST, **wrong})


# ------------------------------------------------------------------------------------------------ trims


@pytest.mark.parametrize("side", SIDES, ids=str)
@pytest.mark.parametrize(("lossy", "harmless"), [(1e-3, 1e-2), (0.05, 0.3), (0.2, 0.9)])
def test_what_is_trimmed_moves_to_the_safe_side(side, lossy, harmless):
    rng = np.random.default_rng()
    heights = [np.exp(-((np.arange(64) - peak) ** 2) / 40) for peak in (40, 20)]
    total = 2 * sum(h.sum() for h in heights)
    rows = [np.stack([h, h * rng.random(64)])[: 1 if side.above else 2] / total for h in heights]
    before = {-3: Block(0, rows[0]), -2: Block(16, rows[1])}  # they overlap
    law = engine.Law(6, dict(before))
    engine._trim(law, 6, side, lossy, harmless)
    assert law.cells < 128

    def call(blocks, strike):
        total = 0.0
        for e, block in blocks.items():
            offset = 0.0 if side.above else block.rows[1] / block.rows[0]
            at = 2.0**e * (np.arange(block.start, block.end) + offset)
            total += (block.rows[0] * np.maximum(0, strike - at if side.adding else at - strike)).sum()
        return total

    for strike in np.linspace(0, 24, 49):
        difference = call(law.blocks, strike) - call(before, strike)
        if side.above:
            assert difference + (law.mass * strike if side.adding else law.moment) >= -1e-14
        else:
            assert difference <= 1e-14
            assert law.mass == law.moment == 0
