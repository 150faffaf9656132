"""Canaries: fair coins that are fixed before the training, and scores of whoever sees every step."""

import json

import numpy as np
import pytest

from discreet.audit.canaries import Estimator, Flip, directions, flip, step_scores
from discreet.audit.claims import Claim
from discreet.audit.verdict import Verdict
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.release import Internal
from discreet.testing.fit import FALSE_ALARM, chance_interval
from tests.unit.test_release import release

RNG = np.random.default_rng(31)


def test_coins_are_fair_and_never_the_same():
    first, second = flip(200_000), flip(200_000)
    for coins in (first, second):
        low, high = chance_interval(int(coins.included.sum()), 200_000, FALSE_ALARM)
        assert low <= 0.5 <= high
        assert high - low < 0.02  # coins of 52 % would be seen
    assert first.commitment != second.commitment
    same = int((first.included == second.included).sum())
    low, high = chance_interval(same, 200_000, FALSE_ALARM)
    assert low <= 0.5 <= high


@pytest.mark.parametrize("count", [2, 7, 8, 9, 1000])
def test_any_number_of_coins(count):
    coins = flip(count)
    assert coins.included.shape == (count,)
    assert coins.included.dtype == np.bool_


@pytest.mark.parametrize("wrong", [0, 1, -3, 2.0, True, "8"])
def test_a_number_of_coins_is_checked(wrong):
    with pytest.raises(InvalidInput, match="count must be a whole number of at least 2"):
        flip(wrong)


def test_coins_cannot_be_changed_after_they_fell():
    coins = flip(10)
    with pytest.raises(ValueError, match="read-only"):
        coins.included[0] = True


def test_the_commitment_fixes_coins_and_shows_none(tmp_path):
    coins = flip(64)
    coins.write(tmp_path / "coins.json")
    assert (tmp_path / "coins.json").stat().st_mode & 0o777 == 0o600
    again = Flip.read(tmp_path / "coins.json")
    assert np.array_equal(again.included, coins.included)
    assert (again.commitment, again.source, again.real) == (coins.commitment, coins.source, False)
    assert len(coins.commitment) == 64
    # the same coins under another salt have another commitment: it cannot be looked up
    assert Flip(coins.included, b"\0" * 32, coins.source).commitment != coins.commitment


def test_a_changed_coin_is_found(tmp_path):
    record = flip(64).to_dict()
    turned = "1" if record["included"][0] == "0" else "0"
    with pytest.raises(InvalidInput, match="the 64 coins are not those of their commitment"):
        Flip.from_dict(record | {"included": turned + record["included"][1:]})
    with pytest.raises(InvalidInput, match="63 coins are not those"):
        Flip.from_dict(record | {"included": record["included"][:-1]})


def test_a_file_is_never_overwritten(tmp_path):
    flip(8).write(tmp_path / "coins.json")
    before = (tmp_path / "coins.json").read_bytes()
    with pytest.raises(InvalidInput, match="exists already"):
        flip(8).write(tmp_path / "coins.json")
    assert (tmp_path / "coins.json").read_bytes() == before
    with pytest.raises(InvalidInput, match="cannot be written"):
        flip(8).write(tmp_path / "nowhere" / "coins.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no valid JSON"),
        ("[]", "no recorded coins"),
        ("{}", "no recorded coins"),
        (
            json.dumps({"v": 1, "included": "012", "salt": "00", "commitment": "", "source": "", "real": False}),
            "no recorded",
        ),
        (
            json.dumps({"v": 9, "included": "01", "salt": "00", "commitment": "", "source": "", "real": False}),
            "version 9",
        ),
    ],
)
def test_what_is_no_record_of_coins_is_refused(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        Flip.read(tmp_path / "x.json")
    with pytest.raises(InvalidInput, match="cannot be read"):
        Flip.read(tmp_path / "y.json")


# ---------------------------------------------------------------------------- coins from outside


def test_fair_coins_from_outside_are_taken():
    coins = flip(500).included
    assert np.array_equal(Flip.given(coins).included, coins)
    assert np.array_equal(Flip.given(coins.astype(int).tolist()).included, coins)
    assert "outside" in Flip.given(coins).source


@pytest.mark.parametrize(
    ("coins", "message"),
    [
        ([True] * 300 + [False] * 100, "300 of 400 coins are heads"),
        ([True] * 200 + [False] * 200, "coins equal the one before"),
        ([True, False] * 200, "coins equal the one before"),
        ([True] * 20, "all 20 canaries were in"),
        ([0.5, 1.0, 0.0], "zeros and ones"),
        ([[True, False]], "one row"),
        ([], "one row"),
    ],
    ids=["too many", "sorted", "alternating", "one class", "no coins", "two rows", "none"],
)
def test_coins_that_are_not_fair_are_refused(coins, message):
    with pytest.raises(InvalidInput, match=message):
        Flip.given(coins)


# ------------------------------------------------------------------------------- every step seen


def test_directions_have_norm_one_and_hardly_meet():
    found = directions(40, 5000)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(40))
    products = found @ found.T
    assert np.abs(products[~np.eye(40, dtype=bool)]).max() < 8 / np.sqrt(5000)
    assert not np.array_equal(found, directions(40, 5000))


def test_a_score_is_the_sum_over_steps():
    sums = [[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]]
    canaries = [[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]
    assert step_scores(sums, canaries) == pytest.approx([1.5, 0.6 * 1.0 + 0.8 * 3.0])
    assert step_scores(iter(np.array(sums)), np.array(canaries)) == pytest.approx([1.5, 3.0])


@pytest.mark.parametrize(
    ("sums", "canaries", "message"),
    [
        ([], [[1.0]], "no step"),
        ([[1.0, 2.0]], [[1.0]], "step 0 must have 1 finite numbers"),
        ([[1.0], [np.nan]], [[1.0]], "step 1 must have 1 finite numbers"),
        ([[1.0]], [1.0], "rows of finite numbers"),
        ([[1.0]], [[np.inf]], "rows of finite numbers"),
        ([[1.0]], np.empty((0, 1)), "rows of finite numbers"),
    ],
    ids=str,
)
def test_wrong_steps_are_refused(sums, canaries, message):
    with pytest.raises(InvalidInput, match=message):
        step_scores(sums, canaries)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0] * 9, "10 coins need as many scores, got 9"),
        ([1.0] * 9 + [np.nan], "1 of 10 are not"),
        ([2.0] * 10, "all 10 scores are equal"),
    ],
    ids=["lengths", "nan", "constant"],
)
def test_wrong_scores_are_refused(scores, message):
    coins = Flip(np.arange(10) % 3 == 0, b"", "by hand")
    with pytest.raises(InvalidInput, match=message):
        coins.roc(scores)


def test_canaries_of_one_class_are_refused():
    with pytest.raises(InvalidInput, match="all 4 canaries are on one side"):
        Flip(np.zeros(4, dtype=bool), b"", "by hand").roc([1.0, 2.0, 3.0, 4.0])


# -------------------------------------------------------------------------------------- findings


PURE = Claim.pure(1.0, relation=Relation.ADD_REMOVE)
GAUSSIAN = Claim.gdp(1.0, relation=Relation.ADD_REMOVE)


def shown(shift, canaries=2000):
    """Coins, and scores of a training whose every canary moves by `shift` standard deviations of its noise."""
    coins = flip(canaries)
    return coins, RNG.normal(size=canaries) + shift * coins.included


@pytest.mark.parametrize("estimator", Estimator)
def test_a_training_that_gives_all_away_is_refuted(estimator):
    coins, scores = shown(8.0)
    finding = coins.audit(scores, claim=PURE, estimator=estimator)
    assert finding.verdict is Verdict.REFUTED
    assert finding.certified
    assert coins.commitment in str(finding)
    assert finding.to_dict()["trials"] == 2000


@pytest.mark.parametrize("estimator", Estimator)
def test_a_training_that_gives_nothing_away_is_consistent(estimator):
    coins, scores = shown(0.0)
    finding = coins.audit(scores, claim=PURE, estimator=estimator)
    assert finding.verdict is Verdict.CONSISTENT
    assert finding.bounds[0].value < finding.bounds[0].ceiling


def test_few_canaries_cannot_refute_a_large_claim():
    coins, scores = shown(8.0, canaries=100)
    finding = coins.audit(scores, claim=Claim.pure(8.0, relation=Relation.ADD_REMOVE))
    assert finding.verdict is Verdict.UNDERPOWERED
    assert finding.bounds[0].ceiling < 8


def test_a_curve_refutes_what_no_single_epsilon_does():
    """Twice the noise multiplier that is claimed: the curve sees it, bets at one δ see less."""
    coins, scores = shown(2.5, canaries=20_000)
    finding = coins.audit(scores, claim=GAUSSIAN, estimator=Estimator.CURVE)
    assert finding.verdict is Verdict.REFUTED
    assert {bound.quantity for bound in finding.bounds} == {"mu"}
    right, scores = shown(1.0, canaries=20_000)
    assert right.audit(scores, claim=GAUSSIAN, estimator=Estimator.CURVE).verdict is Verdict.CONSISTENT


def test_a_claim_that_promises_nothing_at_this_delta_is_refused():
    coins, scores = shown(1.0)
    with pytest.raises(InvalidInput, match="promises no ε at δ = 0") as refused:
        coins.audit(scores, claim=GAUSSIAN)
    assert "estimator 'curve'" in refused.value.remedy
    assert coins.audit(scores, claim=GAUSSIAN, delta=1e-6).bounds[0].delta == 1e-6


def test_a_delta_that_leaves_nothing_to_bet_is_refused():
    coins, scores = shown(1.0)
    with pytest.raises(InvalidInput, match=r"costs 0\.1 of the 0\.05"):
        coins.audit(scores, claim=GAUSSIAN, delta=1e-4)
    assert coins.audit(scores, claim=GAUSSIAN, delta=1e-4, estimator=Estimator.GUESSES).trials == 2000


@pytest.mark.parametrize("estimator", Estimator)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores[:-1], "2000 coins need as many scores, got 1999"),
        (lambda scores: np.where(np.arange(2000) == 3, np.nan, scores), "1 of 2000 are not"),
        (lambda scores: np.ones(2000), "all 2000 scores are the same"),
    ],
    ids=["lengths", "nan", "constant"],
)
def test_wrong_scores_make_no_finding(estimator, change, message):
    coins, scores = shown(1.0)
    with pytest.raises(InvalidInput, match=message):
        coins.audit(change(scores), claim=PURE, estimator=estimator)


@pytest.mark.parametrize(("name", "value"), [("delta", 1.0), ("delta", -0.1), ("alpha", 0.0), ("alpha", 0.7)])
def test_wrong_levels_make_no_finding(name, value):
    coins, scores = shown(1.0)
    with pytest.raises(InvalidInput, match=name):
        coins.audit(scores, claim=PURE, **{name: value})


def test_what_is_no_claim_or_no_estimator_is_refused():
    coins, scores = shown(1.0, 100)
    with pytest.raises(InvalidInput, match="held against a Claim, got str"):
        coins.audit(scores, claim="ε = 1")
    with pytest.raises(InvalidInput, match="an estimator is one of betting, guesses, curve"):
        coins.audit(scores, claim=Claim.pure(1.0, relation=Relation.ADD_REMOVE), estimator="best")


@pytest.mark.parametrize("estimator", Estimator)
def test_a_finding_says_what_left_out_has_to_mean_under_its_claim(estimator):
    coins, scores = shown(5.0, 100)
    said = {
        relation: str(coins.audit(scores, claim=Claim.pure(1.0, relation=relation), estimator=estimator))
        for relation in Relation
    }
    assert "stood in" not in said[Relation.ADD_REMOVE]
    assert "only if another record stood in for each that was left out" in said[Relation.REPLACE_ONE]
    assert "only if a blank stood in" in said[Relation.ZERO_OUT]


def test_a_claim_without_a_relation_cannot_be_made():
    with pytest.raises(TypeError, match="relation"):
        Claim.pure(1.0)
    with pytest.raises(InvalidInput, match="a claim names its relation"):
        Claim.pure(1.0, relation=None)


def test_a_finding_is_internal_and_no_release_takes_it():
    coins, scores = shown(1.0)
    finding = coins.audit(scores, claim=PURE)
    assert isinstance(finding, Internal)
    assert "internal" in str(finding)
    with pytest.raises(InvalidInput, match="computed from raw data"):
        release(facts={"audit": finding})
