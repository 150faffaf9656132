from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.mechanisms.exact import below, exp_bounds
from discreet.mechanisms.rng import Rng
from discreet.testing import FixedRng

EXPONENTS = [Fraction(0), Fraction(1, 10**30), Fraction(1, 3), Fraction(1), Fraction(159, 10), Fraction(5000, 7)]


def exact_exp(exponent, bits):
    with mpmath.workprec(bits + 200):
        return mpmath.exp(-mpmath.mpf(exponent.numerator) / exponent.denominator) * mpmath.mpf(2) ** bits


@pytest.mark.parametrize("bits", [8, 64, 128, 400])
@pytest.mark.parametrize("exponent", EXPONENTS, ids=str)
def test_exp_is_enclosed_tightly(exponent, bits):
    lower, upper = exp_bounds(exponent, bits)
    assert 0 <= lower <= exact_exp(exponent, bits) <= upper <= 1 << bits
    assert upper - lower <= 2


@given(st.fractions(min_value=0, max_value=200, max_denominator=10**9), st.integers(4, 300))
def test_exp_is_enclosed_for_any_rational(exponent, bits):
    lower, upper = exp_bounds(exponent, bits)
    with mpmath.workprec(bits + 200):
        assert lower <= exact_exp(exponent, bits) <= upper
    assert upper - lower <= 2


@given(st.fractions(min_value=0, max_value=1, max_denominator=2**20), st.integers(0, 2**16 - 1))
def test_below_decides_as_real_numbers_do(chance, prefix):
    """The generator's next words are known, so U is; the answer must be that of U < chance."""

    def bounds(bits):
        scaled = chance * 2**bits
        return scaled.numerator // scaled.denominator, -(-scaled.numerator // scaled.denominator)

    class Counting(FixedRng):
        def word(self):
            words.append(super().word())
            return words[-1]

    words = []
    answer = below(prefix, 16, bounds, Counting(prefix))
    uniform = Fraction(prefix, 2**16) + sum(Fraction(w, 2 ** (16 + 64 * (i + 1))) for i, w in enumerate(words))
    known = 16 + 64 * len(words)
    assert answer == (uniform < chance)
    assert (uniform + Fraction(1, 2**known) <= chance) == answer  # no further bit could change it


def test_the_generator_gives_fresh_bits():
    rng = Rng()
    assert len(rng.bytes(5)) == 5
    assert rng.bytes(0) == b""
    assert rng.words(3).dtype == np.uint64
    assert rng.words(0).size == 0
    assert 0 <= rng.word() < 2**64
    assert len({rng.bytes(16) for _ in range(1000)}) == 1000


def test_below_does_not_decide_while_the_prefix_straddles():
    """A prefix that is that of the chance itself: what comes after it decides, a third of the time."""

    def third(bits):
        return 2**bits // 3, 2**bits // 3 + 1

    answers = [below(2**64 // 3, 64, third, Rng()) for _ in range(4000)]
    assert 1000 < sum(answers) < 1700  # 1333 expected; 11 standard deviations
