"""Findings: no null result without its ceiling, no verdict that says private, nothing in a release."""

import json
import math

import pyarrow
import pytest

from discreet import events
from discreet.audit import Claim, Finding, LowerBound, Verdict
from discreet.audit.statistics import one_run
from discreet.audit.statistics.bound import show_down
from discreet.audit.statistics.paired import Counts, epsilon_bound, mu_bound, point
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.profiles import Guarantee
from discreet.release import Internal, Release
from discreet.units import PrivacyUnit

CLAIM = Claim.approximate(1.0, 1e-5, relation=Relation.ADD_REMOVE)
STRONG, NULL, FEW = Counts(900, 1000, 5, 1000), Counts(50, 1000, 50, 1000), Counts(2, 3, 0, 3)


def judged(counts, *, claim=CLAIM, **more):
    bounds = [epsilon_bound(counts, delta=1e-5, alpha=0.05)]
    return Finding.judge(claim, bounds, estimator="paired", alpha=0.05, trials=counts.trials, **more)


@pytest.mark.parametrize(
    ("counts", "verdict"), [(STRONG, Verdict.REFUTED), (NULL, Verdict.CONSISTENT), (FEW, Verdict.UNDERPOWERED)]
)
def test_the_verdict_follows_from_the_bound_and_its_ceiling(counts, verdict):
    found = judged(counts)
    assert found.verdict is verdict
    assert f"of at most {show_down(found.bounds[0].ceiling)};" in str(found)
    assert f"{counts.trials:,} trials" in str(found)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["verdict"] == verdict.value
    assert data["bounds"][0]["ceiling"] == found.bounds[0].ceiling
    assert data["trials"] == counts.trials


def test_no_verdict_says_private_or_passes():
    for verdict in Verdict:
        assert not {"private", "pass", "safe", "ok", "secure"} & set(verdict.value.split())


@pytest.mark.parametrize("verdict", [Verdict.CONSISTENT, Verdict.UNDERPOWERED, Verdict.REFUTED])
def test_a_finding_without_a_bound_cannot_be(verdict):
    with pytest.raises(InvalidInput, match="a null result says nothing without it"):
        Finding(CLAIM, verdict, "paired", 0.05, 2000, ())
    with pytest.raises(InvalidInput):
        Finding.judge(CLAIM, [], estimator="paired", alpha=0.05, trials=2000)


@pytest.mark.parametrize("verdict", [Verdict.CONSISTENT, Verdict.UNDERPOWERED])
def test_a_verdict_that_the_bounds_do_not_support_cannot_be(verdict):
    bounds = (epsilon_bound(STRONG, delta=1e-5, alpha=0.05),)
    with pytest.raises(InvalidInput, match=f"do not support the verdict '{verdict.value}'"):
        Finding(CLAIM, verdict, "paired", 0.05, 2000, bounds)


def test_alpha_covers_every_part():
    bound = epsilon_bound(STRONG, delta=1e-5, alpha=0.05)
    with pytest.raises(InvalidInput, match=r"alpha, 0\.01, is below that of one of its parts, 0\.05"):
        Finding.judge(CLAIM, [bound], estimator="paired", alpha=0.01, trials=2000)
    corner = point(STRONG, alpha=0.05)
    with pytest.raises(InvalidInput, match="below"):
        Finding.judge(
            CLAIM,
            [epsilon_bound(STRONG, delta=1e-5, alpha=0.01)],
            estimator="paired",
            alpha=0.01,
            trials=1,
            point=corner,
        )
    for trials in (0, -1):
        with pytest.raises(InvalidInput, match="trials"):
            Finding.judge(CLAIM, [bound], estimator="paired", alpha=0.05, trials=trials)


def test_an_experimental_bound_refutes_nothing():
    guess = LowerBound("epsilon", 5.0, 9.0, 0.05, 1000, "by hand", delta=1e-5, certified=False)
    found = Finding.judge(CLAIM, [guess], estimator="by hand", alpha=0.05, trials=1000)
    assert found.verdict is Verdict.UNDERPOWERED
    assert not found.certified
    assert "experimental" in str(found)


def test_a_bound_of_mu_refutes_gaussian_claims_only():
    bound = mu_bound(STRONG, alpha=0.05)

    def verdict(claim):
        return Finding.judge(claim, [bound], estimator="paired", alpha=0.05, trials=2000).verdict

    assert verdict(Claim.gdp(1.0, relation="add_remove")) is Verdict.REFUTED
    assert verdict(Claim.gdp(bound.value + 0.01, relation="add_remove")) is Verdict.CONSISTENT
    assert verdict(Claim.gdp(bound.ceiling, relation="add_remove")) is Verdict.UNDERPOWERED
    assert verdict(CLAIM) is Verdict.UNDERPOWERED


def test_a_point_refutes_what_no_single_epsilon_would():
    """At this δ the claim allows more ε than was found; its curve does not allow this point."""
    claim = Claim.gdp(1.0, relation="add_remove")
    counts = Counts(700, 1000, 100, 1000)
    alone = judged(counts, claim=claim)
    assert alone.verdict is Verdict.CONSISTENT
    found = judged(counts, claim=claim, point=point(counts, alpha=0.05))
    assert found.verdict is Verdict.REFUTED
    assert "the claim allows 0.4" in str(found)
    assert found.to_dict()["point"]["counts"]["true_positives"] == 700


def test_a_point_has_a_ceiling_too():
    claim = Claim.zcdp(0.5, relation="add_remove")
    loose = LowerBound("epsilon", 0.0, 0.1, 0.05, 6, "by hand", delta=1e-5)
    for counts, verdict in ((NULL, Verdict.CONSISTENT), (FEW, Verdict.UNDERPOWERED)):
        found = Finding.judge(claim, [loose], estimator="paired", alpha=0.05, trials=6, point=point(counts, alpha=0.05))
        assert found.verdict is verdict


def test_a_test_of_the_curve_counts():
    claim = Claim.event(events.Laplace(1.0), relation="add_remove")
    loose = LowerBound("epsilon", 0.0, 0.1, 0.05, 500, "by hand", delta=1e-5)

    def found(rejected, could, profile=claim.profile):
        test = one_run.CurveTest(profile, rejected, could, 0.05, 500, "one run")
        return Finding.judge(claim, [loose], estimator="one run", alpha=0.05, trials=500, curve=test)

    assert found(True, True).verdict is Verdict.REFUTED
    assert found(False, True).verdict is Verdict.CONSISTENT
    assert found(False, False).verdict is Verdict.UNDERPOWERED
    assert "whole curve is not refuted" in str(found(False, True))
    assert found(True, True).to_dict()["curve"]["rejected"] is True
    with pytest.raises(InvalidInput, match="another curve"):
        found(True, True, CLAIM.profile)


def test_an_invalid_design_says_why():
    found = Finding.invalid_design(CLAIM, estimator="paired", alpha=0.05, trials=10, notes=["The coins are sorted."])
    assert found.verdict is Verdict.INVALID_DESIGN
    assert "The coins are sorted." in str(found)
    with pytest.raises(InvalidInput, match="needs a note"):
        Finding.invalid_design(CLAIM, estimator="paired", alpha=0.05, trials=10, notes=[])


def test_a_finding_is_internal():
    found = judged(NULL)
    assert isinstance(found, Internal)
    assert str(found).endswith("internal: computed from raw data outside the door")
    assert found.to_dict()["internal"] == "internal: computed from raw data outside the door"
    with pytest.raises(InvalidInput, match="outside of the door"):
        Release(
            name="audit",
            value=pyarrow.table({"n": [1]}),
            event=events.ZCDP(0.1),
            guarantee=Guarantee(PrivacyUnit(column="id"), 1.0, 1e-6, "zCDP"),
            accuracy={},
            facts={"audit": found},
            provenance={},
            entry={},
        )


def test_words_are_strict():
    """A refutation names its chance of being wrong; a null says that it is no proof."""
    assert "or a chance of at most 0.05 came up" in str(judged(STRONG))
    assert "That is no proof of it." in str(judged(NULL))
    assert "could not have refuted the claim" in str(judged(FEW))
    assert math.isfinite(judged(NULL).bounds[0].ceiling)
