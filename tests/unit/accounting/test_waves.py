"""Waves: what sums of exponentials may lose by rounding, in the order that loses most."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from discreet.accounting.engines.waves import SUMMED, waves

UNIT = 2.0**-53
COUNT = 200  # 15 columns of a product; the first node whose wave is made in the last of them is number 14


@pytest.mark.parametrize("size", [20, 128, 640, 1500])
@pytest.mark.parametrize("number", [1, 14, 15, 200])
def test_light_terms_after_a_heavy_one_are_lost_within_what_summing_may_cost(size, number):
    """Each is less than half a unit of the first: added one after another, none of them counts."""
    step = 1.001 * 2.0**-9 / number  # the first sum has a mantissa just above 1, where most is lost
    weights = np.full(size, 0.99 * UNIT)
    weights[0] = 1.0
    found = waves(weights, np.ones(size), step, COUNT)[number]
    with mp.workdps(50):
        true = mp.fsum(map(mp.mpf, weights.tolist())) * mp.expm1(1j * mp.mpf(step) * number)
        error = float(abs(mp.mpc(found) - true))
    assert error <= SUMMED * UNIT * step * number * float(weights.sum())
