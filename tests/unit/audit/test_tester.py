"""The tester of mechanisms: what it certifies, what it must not refute, and what it says."""

from __future__ import annotations

import json
import sys
from fractions import Fraction

import numpy as np
import pytest

from discreet import Relation, events
from discreet.audit import Claim, Pair, Verdict, mechanism, one_by_one
from discreet.audit.statistics.rates import binomial_upper_tail
from discreet.audit.tester.events import Allowed
from discreet.errors import InvalidInput, MissingExtra
from discreet.mechanisms import Rng, discrete_gaussian, discrete_laplace
from discreet.release import Internal
from discreet.testing import FixedRng, Nonconforming, check_private

GRID = 2**10
ONE = (Pair("one row or none", [1], [], Relation.ADD_REMOVE),)
PURE = Claim.pure(1.0, relation=Relation.ADD_REMOVE)


def laplace(scale, rng=Rng):
    def run(data, draws):
        return sum(data) + discrete_laplace(draws, scale=Fraction(scale) * GRID, rng=rng()) / GRID

    return run


def gaussian(deviation):
    def run(data, draws):
        return sum(data) + discrete_gaussian(draws, variance=(Fraction(deviation) * GRID) ** 2, rng=Rng()) / GRID

    return run


# ------------------------------------------------------------------------------ what it certifies


@pytest.mark.parametrize(("scale", "least"), [(1, 0.95), (Fraction(1, 2), 1.9)])
def test_laplace_noise_is_certified_to_five_percent(scale, least):
    """At 95 %, as such figures are given. The true bounds, 1 and 2, leave a margin of nearly six deviations."""
    found = mechanism(laplace(scale), claim=Claim.pure(1.5, relation="add_remove"), pairs=ONE, alpha=0.05)
    (bound,) = found.finding.bounds
    assert bound.value >= least
    assert found.refuted is (scale != 1)
    assert found.draws == 400_000 + found.refuted * found.finding.trials
    assert found.tightness == bound.value / 1.5
    assert bound.ceiling > 9


def test_gaussian_noise_is_certified_by_its_curve():
    claim = Claim.gdp(0.5, relation=Relation.ADD_REMOVE)
    found = mechanism(gaussian(2), claim=claim, pairs=ONE, draws=100_000, delta=1e-5, alpha=1e-8)
    epsilon, mu = found.finding.bounds
    assert (epsilon.quantity, mu.quantity) == ("epsilon", "mu")
    assert found.verdict is Verdict.CONSISTENT
    assert 0.4 < mu.value < 0.5
    assert epsilon.delta == 1e-5
    assert found.tightness == pytest.approx(max(epsilon.value / claim.epsilon(1e-5), mu.value / 0.5))
    assert mechanism(gaussian(Fraction(3, 2)), claim=claim, pairs=ONE, draws=100_000).refuted


def test_zcdp_and_events_are_refuted_by_their_curves():
    for claim in (
        Claim.zcdp(0.125, relation=Relation.ADD_REMOVE),  # of a Gaussian with deviation 2
        Claim.event(events.Gaussian(2.0), relation=Relation.ADD_REMOVE),
    ):
        found = mechanism(gaussian(1), claim=claim, pairs=ONE, draws=50_000)
        assert found.refuted, str(found)
        assert found.delta is None
        assert found.finding.bounds[0].quantity == "mu"
        assert not mechanism(gaussian(2), claim=claim, pairs=ONE, draws=50_000, alpha=1e-8).refuted


def test_what_only_one_dataset_can_give_is_a_delta():
    """One output in ten is the data themselves; the rest says nothing."""

    def run(data, draws):
        words = Rng().words(draws)
        return [str(data) if word % 10 == 0 else "nothing" for word in words.tolist()]

    claim = Claim.approximate(1.0, 0.01, relation=Relation.ADD_REMOVE)
    found = mechanism(run, claim=claim, pairs=ONE, draws=20_000, alpha=1e-8)
    assert found.refuted
    assert 0.06 < found.delta < 0.1
    assert "'[1]'" in str(found.counterexample) or "'[]'" in str(found.counterexample)
    good = Claim.approximate(1.0, 0.1, relation=Relation.ADD_REMOVE)
    assert not mechanism(run, claim=good, pairs=ONE, draws=20_000, alpha=1e-8).refuted


def test_the_curve_asked_for_is_nowhere_below_the_claims():
    rates = np.array([0.0, 1e-6, 1e-3, 0.03, 0.4, 0.9, 1.0])
    for claim in (PURE, Claim.approximate(0.5, 1e-3, relation="add_remove"), Claim.gdp(1.3, relation="add_remove")):
        quick = Allowed.by(claim, None)(rates)
        exact = np.array([claim.most(float(rate)) for rate in rates])
        assert np.all(quick >= exact * (1 - 1e-12) - 1e-300)
        assert np.all(quick <= exact + 0.02)


# ------------------------------------------------------------------------------ what must not be refuted


def noise_alone(data, draws):
    """Say nothing of the data, in 64 words."""
    return (Rng().words(draws) % np.uint64(64)).astype(np.int64)


def refuted(runs, alpha):
    claim = Claim.pure(0.01, relation=Relation.ADD_REMOVE)
    return sum(mechanism(noise_alone, claim=claim, pairs=ONE, draws=400, alpha=alpha).refuted for _ in range(runs))


def test_false_alarms_are_no_more_than_promised():
    runs, alpha = 150, 0.2
    assert binomial_upper_tail(refuted(runs, alpha), runs, alpha) > 1e-8


def test_what_chose_an_event_does_not_certify_it():
    """Outputs give the dataset away as long as events are chosen, and from then on not at all."""
    asked = []

    def run(data, draws):
        asked.append(draws)
        secret = len(data) if asked.count(draws) <= 2 and len(set(asked)) <= 2 else 0
        return np.full(draws, secret)

    found = mechanism(run, claim=PURE, pairs=ONE, draws=1_000)
    assert asked == [64, 64, 250, 250, 750, 750]  # two probes, then both datasets to choose, both to certify
    assert [cell.point.counts.members for cell in found.cells] == [750] * len(found.cells)
    assert found.finding.bounds[0].value == 0


# ------------------------------------------------------------------------------ fixed randomness, errors, time


def test_a_fixed_seed_is_seen_though_each_call_has_the_right_law():
    found = mechanism(laplace(1, lambda: FixedRng(3)), claim=PURE, pairs=ONE, draws=2_000)
    assert found.refuted
    assert any("the randomness is fixed" in note for note in found.finding.notes)


def test_a_constant_is_no_fixed_seed():
    found = mechanism(lambda _, draws: np.ones(draws), claim=PURE, pairs=ONE, draws=2_000)
    assert found.verdict is Verdict.CONSISTENT
    assert found.finding.notes == ()


def test_an_error_is_an_output():
    def ratio(data):
        return 1 / len(data)

    found = mechanism(one_by_one(ratio), claim=PURE, pairs=ONE, draws=1_000)
    assert found.refuted
    assert found.counterexample.counts.false_positives == 0

    def mute(data):
        if data:
            raise PermissionError

    found = mechanism(one_by_one(mute), claim=PURE, pairs=ONE, draws=1_000)
    assert "the type and structure of the output is error PermissionError" in str(found) or "is NoneType" in str(found)


def test_a_mechanism_that_only_fails_is_refused():
    def broken(data):
        raise KeyError(f"secret {data}")

    with pytest.raises(InvalidInput, match=r"failed in all 500 draws.*\(error KeyError\)") as caught:
        mechanism(one_by_one(broken), claim=PURE, pairs=ONE, draws=1_000)
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInput, match="failed in all"):
        check_private(one_by_one(broken), claim=PURE, pairs=ONE, draws=1_000)


def test_what_is_no_claim_is_refused():
    with pytest.raises(InvalidInput, match="held against a Claim, got NoneType"):
        mechanism(laplace(1), claim=None, pairs=ONE, draws=1_000)


def test_running_time_counts_only_if_asked_for():
    def slow(data):
        for _ in range(20_000 if data else 10):
            pass
        return 0

    assert not mechanism(one_by_one(slow), claim=PURE, pairs=ONE, draws=400, alpha=1e-8).refuted
    found = mechanism(one_by_one(slow), claim=PURE, pairs=ONE, draws=400, timing=True)
    assert found.refuted
    assert "the running time in seconds" in str(found.counterexample.event)
    assert any("Running times" in note for note in found.finding.notes)


def test_vectors_that_only_a_classifier_tells_apart():
    """Sums of ten parts move: no single part shows more than a tenth of it."""

    def run(data, draws):
        noise = discrete_gaussian(10 * draws, variance=Fraction(GRID) ** 2, rng=Rng()).reshape(draws, 10) / GRID
        return noise + 0.5 * sum(data) * np.array([1, -1] * 5)  # a shift of sqrt(10)/2 deviations

    found = mechanism(run, claim=Claim.gdp(1.0, relation="add_remove"), pairs=ONE, draws=20_000, alpha=1e-8)
    assert found.refuted
    assert 1.2 < found.finding.bounds[0].value < 1.582


# ------------------------------------------------------------------------------ what it says


def test_a_counterexample_can_be_counted_again():
    run = laplace(Fraction(1, 2))
    found = mechanism(run, claim=PURE, pairs=ONE, draws=20_000)
    example = found.counterexample
    assert example.again
    assert example.pair is ONE[0]
    first, second = (np.mean(example.holds(run(data, 20_000))) for data in (example.pair.first, example.pair.second))
    mine, other = (first, second) if example.event.side == "first" else (second, first)
    assert mine > 4 * other  # e^2 is 7.4, e is 2.7
    assert example.counts.members == found.finding.trials // 2
    text = str(example)
    assert "the output is " in text  # "at most 0.2", or "in" some intervals
    assert "first = [1]" in text


def test_a_null_result_says_how_little_it_is():
    found = mechanism(laplace(1), claim=PURE, pairs=ONE, draws=2_000, alpha=1e-8)
    assert found.counterexample is None
    text = str(found)
    assert "That is no proof of it." in text
    assert "of at most" in text
    assert "trials" in text
    assert not {"passes", "private", "safe"} & set(text.casefold().split())


def test_too_few_draws_are_underpowered():
    claim = Claim.pure(8.0, relation=Relation.ADD_REMOVE)
    assert mechanism(laplace(1), claim=claim, pairs=ONE, draws=400).verdict is Verdict.UNDERPOWERED


def test_a_finding_is_plain_data_and_stays_internal():
    found = mechanism(laplace(Fraction(1, 2)), claim=PURE, pairs=ONE, draws=2_000)
    assert isinstance(found, Internal)
    data = json.loads(json.dumps(found.to_dict()))
    assert data["finding"]["verdict"] == "refuted"
    assert data["finding"]["internal"].startswith("internal")
    assert data["counterexample"]["first"] == "[1]"
    assert any(cell["refutes"] for cell in data["cells"])
    assert data["draws"] == found.draws


def test_all_pairs_share_one_confidence():
    pairs = [Pair(f"copy {i}", [1], [], Relation.ADD_REMOVE) for i in range(5)]
    found = mechanism(laplace(1), claim=PURE, pairs=pairs, draws=2_000, alpha=0.01)
    assert sum(cell.point.alpha for cell in found.cells) == pytest.approx(0.01)
    assert {cell.pair for cell in found.cells} == {pair.name for pair in pairs}
    assert found.draws == 5 * 2 * 2_000


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pairs": []}, "there are no pairs"),
        ({"pairs": [([1], [])]}, "pairs holds a tuple, not a Pair"),
        (
            {"pairs": [Pair("x", [1], [2], Relation.REPLACE_ONE)]},
            "one of replace_one, the claim holds under add_remove",
        ),
        ({"draws": 199}, "draws must be a whole number of at least 200, got 199"),
        ({"draws": 1e4}, "draws must be a whole number"),
        ({"draws": True}, "draws must be a whole number"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"delta": 1.0}, "delta must lie in"),
        ({"delta": float("nan")}, "delta must lie in"),
    ],
)
def test_wrong_input_is_refused(change, says):
    with pytest.raises(InvalidInput, match=says):
        mechanism(laplace(1), **({"claim": PURE, "pairs": ONE} | change))


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda data, draws: 1.0, "run must return a list, a tuple or an array of outputs, got a float"),
        (lambda data, draws: np.array(1.0), "got a ndarray"),
        (lambda data, draws: "x" * draws, "got a str"),
        (lambda data, draws: [1.0], "run was asked for 64 outputs and returned 1"),
        (lambda data, draws: [object()] * draws, "outputs of the type object cannot be compared"),
    ],
)
def test_a_run_that_is_none_is_refused(run, says):
    with pytest.raises(InvalidInput, match=says):
        mechanism(run, claim=PURE, pairs=ONE, draws=400)


def test_an_error_of_run_itself_is_the_callers():
    def run(data, draws):
        raise KeyError("bad")

    with pytest.raises(KeyError, match="bad"):
        mechanism(run, claim=PURE, pairs=ONE, draws=400)


def test_what_needs_scikit_learn_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtra, match="scikit-learn"):
        mechanism(lambda _, draws: np.zeros((draws, 2)), claim=PURE, pairs=ONE, draws=400)


# ------------------------------------------------------------------------------ check_private


def test_check_private_clears_and_catches():
    check_private(laplace(1), claim=PURE, pairs=ONE, draws=10_000)
    with pytest.raises(Nonconforming, match="counterexample, pair 'one row or none'"):
        check_private(laplace(Fraction(1, 2)), claim=PURE, pairs=ONE, draws=10_000)


def test_check_private_refuses_to_be_a_check_that_cannot_fail():
    with pytest.raises(InvalidInput, match="this check could not fail"):
        check_private(laplace(1), claim=Claim.pure(8.0, relation="add_remove"), pairs=ONE, draws=1_000)
