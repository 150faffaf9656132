"""Planted bugs in whole mechanisms, as they have been found in the wild: the tester catches each, and clears its twin.

The mechanisms are those of benchmarks/broken.py, where benchmarks/audit.py measures how many draws each takes.
"""

from __future__ import annotations

import pytest

from discreet.testing import Nonconforming, check_private
from tests.benchmark_scripts import load

broken = load("broken")
DRAWS = 40_000

# Every bug that the tester has to catch, whatever the benchmark may add.
MUST_CATCH = {
    "half the scale",
    "a sensitivity of 1 for 2",
    "noise kept between calls",
    "noise of one answer reused for another",
    "a fixed seed",
    "the lattice of floats",
    "sparse vector: no noise on the threshold",
    "sparse vector: no cap on the answers above",
    "noisy max: the winner's noisy value",
    "the exact number of rows",
    "clipping after averaging",
    "Poisson accounting of shuffled batches",
    "a selection that knows the exact number of rows",
}


def test_nothing_is_missing():
    assert {case.name for case in broken.CASES} >= MUST_CATCH


@pytest.mark.parametrize("case", broken.CASES, ids=lambda case: case.name)
def test_a_bug_is_caught(case):
    with pytest.raises(Nonconforming) as caught:
        check_private(case.bad, claim=case.claim, pairs=case.pairs, draws=DRAWS)
    assert "counterexample, pair" in str(caught.value)
    assert "drawn anew" in str(caught.value)


@pytest.mark.parametrize("case", broken.CASES, ids=lambda case: case.name)
def test_its_twin_is_cleared(case):
    check_private(case.good, claim=case.claim, pairs=case.pairs, draws=DRAWS)
