"""What a series releases errs as it says: through the engine, the ledger and what is kept. A scale 10 % off fails."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit
from discreet.sql.continual.state import State
from tests.series_cases import clinic, end, follow, month, open_account

GROUPS = 20_000
STEPS = 3
# Standard errors of a sample variance or covariance of 20,000 nearly normal numbers: 1e-8 for all of them together,
# while a scale 10 % off is 19 % of a variance: 19 standard errors.
DEVIATION = 7.0


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Run a series of many groups; return its plan, its table by step, and the exact totals."""
    folder = tmp_path_factory.mktemp("series")
    unit = PrivacyUnit(column="id", max_groups=1, max_rows=1)
    open_account(folder, unit=unit)
    people = np.arange(3 * GROUPS)
    source = pa.table({
        "id": people,
        "cell": people % GROUPS,
        "day": pa.array([month(1 + person // GROUPS) for person in people], type=pa.date32()),
    })  # fmt: skip
    domain = Domain(id="integer", day="date", cell=list(range(GROUPS)))
    dataset = clinic(folder, source, unit=unit, domain=domain)
    text = "SELECT cell, COUNT(*) AS n FROM t GROUP BY cell"
    found = follow(folder, None, text, dataset=dataset, steps=STEPS, participations=2, epsilon=1.0)
    found.open()
    found.advance(end(STEPS))
    kept = State.read(found.path)
    exact = np.array(list(kept.so_far[0].exact))
    assert exact.sum(axis=1).tolist() == [GROUPS] * STEPS
    table = found.value().to_pydict()
    return found.plan, {name: np.array(column).reshape(STEPS, GROUPS) for name, column in table.items()}, exact


def deviation(errors, claimed):
    """Return how far the sample variance of errors is from what is claimed, in its standard errors."""
    return abs(float(errors @ errors) / errors.size / claimed**2 - 1) / math.sqrt(2 / errors.size)


@pytest.mark.parametrize("step", range(1, STEPS + 1))
@pytest.mark.parametrize("name", ["n", "n_step"])
def test_errors_have_the_standard_deviation_that_is_stated(released, name, step):
    _, table, exact = released
    truth = exact.cumsum(axis=0)[step - 1] if name == "n" else exact[step - 1]
    errors, claimed = table[name][step - 1] - truth, table[f"{name}_se"][step - 1][0]
    assert deviation(errors, claimed) < DEVIATION
    for factor in (0.9, 1.1):
        assert deviation(errors, claimed * factor) > DEVIATION


@pytest.mark.parametrize("step", range(1, STEPS + 1))
@pytest.mark.parametrize("name", ["n", "n_step"])
def test_intervals_cover_as_often_as_they_say(released, name, step):
    _, table, exact = released
    truth = exact.cumsum(axis=0)[step - 1] if name == "n" else exact[step - 1]
    covered = (table[f"{name}_low"][step - 1] <= truth) & (truth <= table[f"{name}_high"][step - 1])
    spread = math.sqrt(0.05 * 0.95 * GROUPS)
    assert abs(covered.sum() - 0.95 * GROUPS) < DEVIATION * spread
    # an interval of noise whose scale is 10 % off covers 92.2 % or 96.9 %: 18 and 12 standard errors away
    for factor in (0.9, 1.1):
        middle, half = table[name][step - 1], (table[f"{name}_high"] - table[f"{name}_low"])[step - 1] / 2 * factor
        other = np.abs(middle - truth) <= half
        assert abs(other.sum() - 0.95 * GROUPS) > DEVIATION * spread


def test_totals_share_noise_as_the_matrix_says(released):
    """The covariance of the totals of two steps is that of the weights; with noise of each step alone it is not."""
    plan, table, exact = released
    [sums] = plan.sums.values()
    weights = [np.append(plan.matrix.weights(last), np.zeros(STEPS - last)) for last in range(1, STEPS + 1)]
    errors = table["n"] - exact.cumsum(axis=0)
    for a in range(STEPS):
        for b in range(a):
            theory = float(sums.variance) * float(weights[a] @ weights[b])
            spread = math.sqrt((table["n_se"][a][0] * table["n_se"][b][0]) ** 2 + theory**2) / math.sqrt(GROUPS)
            found = float(errors[a] @ errors[b]) / GROUPS
            assert abs(found - theory) < DEVIATION * spread
            assert abs(found - table["n_se"][b][0] ** 2) > DEVIATION * spread  # what a random walk would have
