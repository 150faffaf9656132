"""Random allocation against numbers from elsewhere: peers' bounds, and a linear grid written a second time."""

import numpy as np
import pytest
from scipy.special import ndtr

from discreet.accounting.engines.allocation import allocation


def delta(law, epsilon):
    held = law.losses > epsilon
    return float((law.masses[held] * -np.expm1(epsilon - law.losses[held])).sum()) + law.infinite


def composed(law, times, delta, step=1e-4, tilt=3.0):
    """Return ε(δ) of a composition after spreading every atom to a lattice, P- and Q-mass kept (error about step²)."""
    place = np.floor(law.losses / step).astype(int)
    up = np.expm1(place * step - law.losses) / np.expm1(-step)
    first = place.min()
    masses = np.zeros(place.max() - first + 2)
    np.add.at(masses, place - first, law.masses * (1 - up))
    np.add.at(masses, place - first + 1, law.masses * up)
    losses = (first + np.arange(len(masses))) * step
    held = (losses > -4) & (losses < 6)  # beyond lies a mass of less than 1e-13
    losses, masses = losses[held], masses[held] * np.exp(tilt * losses[held])
    total = masses.sum()
    size = 1 << (2 * len(masses)).bit_length()
    spectrum = np.fft.rfft(masses / total, size) ** times
    start = int(times * (masses @ losses) / total / step) - size // 2  # the window lies around the tilted mean
    index = np.arange(start, start + size)
    sums = index * step
    law_of_sum = np.fft.irfft(spectrum, size)[(index - times * round(losses[0] / step)) % size]
    weights = law_of_sum * np.exp(times * np.log(total) - tilt * sums)

    def excess(epsilon):
        above = sums > epsilon
        return float((weights[above] * -np.expm1(epsilon - sums[above])).sum()) + times * law.infinite - delta

    low, high = 0.0, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


@pytest.mark.parametrize(("adding", "expected"), [(False, 1.7014984), (True, 1.5477274)])
def test_ten_epochs_lie_between_the_bounds_of_peers(adding, expected):
    # T13: 1 of 100 steps, 10 epochs, σ = 1, δ = 1e-5, the worse direction. pld-accounting 2.0 (grid 1e-4) gives
    # [1.66441075, 1.73982462], opake 0.16.1 (grid 1e-4) at most 1.72902912.
    above, below = allocation(1.0, 100, adding=adding, lost=1e-14)
    up, low = composed(above, 10, 1e-5), composed(below, 10, 1e-5)
    assert low < up < low * (1 + 1e-6)
    assert up == pytest.approx(expected, abs=1e-6)
    if not adding:
        assert low >= 1.66441075
        assert up <= 1.72902912


def linear(mu, steps, strike, spacing, stop):
    """Return E(S - k)+ above and below for cells of one width, by one power of one transform; absolute error 1e-13."""
    edges = np.arange(stop + 1) * spacing
    with np.errstate(divide="ignore"):
        x = np.log(edges) / mu + mu / 2
    mass, mean = np.diff(ndtr(x)), np.diff(ndtr(x - mu))
    share = np.divide(mean / spacing - np.arange(stop) * mass, mass, out=np.zeros(stop), where=mass > 1e-30)
    upper = np.zeros(stop + 1)
    upper[:-1] += mass * (1 - share)
    upper[1:] += mass * share
    size = 1 << (2 * stop).bit_length()
    law = np.fft.irfft(np.fft.rfft(upper, size) ** steps, size)
    points = np.arange(size) * spacing
    # A cell's conditional mean lies at most half a width, on average, from an end: E(S - k)+ above is too large by at
    # most the variance that spreading has added, times half the greatest density of S.
    added = steps * spacing**2 / 4
    value = float((law * np.maximum(0, points - strike)).sum())
    return value, value - added / 2 * law.max() / spacing * 1.1


@pytest.mark.parametrize("ratio", [1.0, 1.1, 1.3])
def test_a_linear_grid_agrees(ratio):
    above, below = allocation(1.0, 100, adding=False, lost=1e-13)
    high, low = (value / 100 for value in linear(1.0, 100, 100 * ratio, 2.0**-8, 3000 * 2**8))
    assert high - low < 1e-6
    assert delta(below, np.log(ratio)) <= high + 1e-10
    assert delta(above, np.log(ratio)) >= low - 1e-10
