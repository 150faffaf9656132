"""The tables' certificate: every fast decision agrees with exact arithmetic."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.mechanisms import discrete_laplace, inversion
from discreet.mechanisms.exact import exp_bounds
from discreet.mechanisms.inversion import CELL_BITS, Law, _exact_place, _first, _fold, _sums, _unfold, table
from discreet.testing import FixedRng

LAWS = [
    *(
        Law(1, 1 / scale)
        for scale in (Fraction(1, 100), Fraction(3, 10), Fraction(10), Fraction(1000), Fraction(2**46))
    ),
    *(
        Law(2, 1 / (2 * s * s))
        for s in (Fraction(1, 100), Fraction(3, 10), Fraction(10), Fraction(1000), Fraction(2**46))
    ),
]
PRECISION = 112


def exact_ends(built):
    """Cumulative probabilities as fractions of a certified total, and the width of that certificate."""
    lower, upper, least, most = _sums(built.law, built.bits, PRECISION)
    assert (most - least) / least < 2.0**-60
    assert max(b - a for a, b in zip(lower, upper, strict=True)) / least < 2.0**-60
    return [Fraction(value, least) for value in lower[1:]]


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_floating_point_ends_are_far_within_the_tolerance(law):
    built = table(law)
    exact = exact_ends(built)
    error = max(abs(Fraction(float(end)) - exact[i]) for i, end in enumerate(built.ends))
    assert error < 2.0**-43


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2]), st.fractions(min_value=Fraction(1, 50), max_value=10**9, max_denominator=10**6))
def test_the_same_for_any_rational_scale(power, scale):
    test_floating_point_ends_are_far_within_the_tolerance(Law(power, 1 / scale if power == 1 else 1 / (2 * scale**2)))


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_each_decided_cell_lies_inside_its_stratum(law):
    built = table(law)
    exact = [float(end) for end in exact_ends(built)]
    places = {int(_unfold(np.array([p]))[0]): p for p in range(len(exact))}
    decided = np.flatnonzero(built.head != inversion._UNDECIDED)
    assert decided.size > 0.98 * 2**CELL_BITS - 1
    for cell in decided[:: max(1, decided.size // 4000)]:
        place = places[int(built.head[cell])]
        assert (exact[place - 1] if place else 0.0) < cell / 2**CELL_BITS + (place == 0)
        assert (cell + 1) / 2**CELL_BITS < exact[place]


@pytest.mark.parametrize("law", [law for law in LAWS if law.stratum_bits], ids=str)
def test_each_quick_acceptance_is_below_the_least_chance_of_its_stratum(law):
    built = table(law)
    width = 1 << built.bits
    for cell in range(0, 2**CELL_BITS, 97):
        head = int(built.head[cell])
        if head == int(inversion._UNDECIDED):
            assert built.limit[cell] == 0
            continue
        start = head * width if head >= 0 else ~head * width + 1
        excess = law.exponent(start + width - 1) - law.exponent(start)
        assert int(built.limit[cell]) << (PRECISION - CELL_BITS) <= exp_bounds(excess, PRECISION)[0]
    assert np.median(built.limit) > 0.9 * 2**CELL_BITS


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_exact_inversion_is_that_of_the_exact_ends(law):
    built = table(law)
    ends = exact_ends(built)
    for prefix in (0, 1, 2**60, 2**63, 2**63 + 12345, 2**64 - 2**40):
        assert _exact_place(law, built.bits, prefix, FixedRng(1)) == bisect_right(ends, Fraction(prefix, 2**64))


def test_exact_inversion_reveals_bits_until_it_is_sure():
    """A prefix that a boundary cuts: both strata come up, in the share that the boundary says."""
    law = Law(1, Fraction(1, 10))
    _, _, least, _ = _sums(law, 0, 80)
    end = _sums(law, 0, 80)[0][1] / least
    prefix = int(end * 2**64)
    places = {_exact_place(law, 0, prefix + step, FixedRng(seed)) for step in (-4096, 4096) for seed in range(3)}
    assert places == {0, 1}


def test_strata_cover_the_integers_once():
    place = np.arange(40)
    assert sorted(_unfold(place).tolist()) == list(range(-20, 20))
    values = [int(_fold(np.array([p]), np.array([rest]), 3)[0]) for p in place for rest in range(8)]
    assert sorted(values) == list(range(-160, 160))
    for p in place:
        members = [abs(int(_fold(np.array([p]), np.array([rest]), 3)[0])) for rest in range(8)]
        assert min(members) == members[0] == int(_first(np.array([p]), 3)[0])


@pytest.mark.parametrize("size", [0, 1, 5, 1000, 2**15, 2**15 + 1, 100_003])
@pytest.mark.parametrize("scale", [Fraction(1), Fraction(10**6)])
def test_any_size_is_filled(size, scale):
    samples = discrete_laplace(size, scale=scale, rng=FixedRng(5))
    assert samples.shape == (size,)
    assert samples.dtype == np.int64


def test_fast_and_exact_decisions_agree_bit_for_bit():
    """Without rejection, the same bits give the same values whether the table or exact arithmetic decides."""
    law = Law(1, Fraction(1, 10))
    words = np.arange(0, 2**16, 7, dtype=np.uint16)
    built = table(law)
    decided = built.head[words] != inversion._UNDECIDED
    exact = [_exact_place(law, 0, int(word) << 48, FixedRng(0)) for word in words[decided]]
    assert (_unfold(np.array(exact)) == built.head[words[decided]]).all()


def test_tables_are_shared_and_read_only():
    built = table(Law(1, Fraction(1, 10)))
    assert built is table(Law(1, Fraction(1, 10)))
    for array in (built.ends, built.head):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_value_beyond_64_bits_is_an_error_not_a_wrapped_number(monkeypatch):
    monkeypatch.setattr(inversion, "_exact_place", partial(lambda *_: 2**70))
    built = table.__wrapped__(Law(1, Fraction(1, 10)), 8, 0.5)
    with pytest.raises(OverflowError):
        built.draw(100, FixedRng(1))
