"""Claims: one rule refutes all kinds, and none is without its relation."""

import json
import math

import pytest

from discreet import events
from discreet.audit import Claim
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation

ADD = Relation.ADD_REMOVE
KINDS = [
    Claim.pure(1.0, relation=ADD),
    Claim.approximate(1.0, 1e-5, relation=ADD),
    Claim.gdp(0.5, relation=ADD),
    Claim.zcdp(0.1, relation=ADD),
    Claim.event(events.Laplace(1.0), relation=ADD),
    Claim.event(events.Repeated(100, events.PoissonSampled(0.1, ADD, events.Gaussian(2.0))), relation=ADD),
]


@pytest.mark.parametrize("claim", KINDS, ids=str)
def test_a_point_refutes_a_claim_if_and_only_if_it_lies_above_the_curve(claim):
    for rate in (0.0, 0.001, 0.1, 0.5, 1.0):
        most = claim.most(rate)
        assert rate <= most <= 1
        assert not claim.refuted_by(false_positive_rate=rate, true_positive_rate=most)
        assert most == 1 or claim.refuted_by(false_positive_rate=rate, true_positive_rate=math.nextafter(most, 2))


def test_pure_and_approximate_are_the_textbook_curves():
    assert KINDS[0].most(0.1) == pytest.approx(0.1 * math.e)
    assert KINDS[1].most(0.1) == pytest.approx(0.1 * math.e + 1e-5)
    assert KINDS[0].most(0.6) == pytest.approx(1 - 0.4 / math.e)
    assert KINDS[1].epsilon(1e-5) == pytest.approx(1.0)
    assert KINDS[1].epsilon(0.0) == math.inf
    assert KINDS[0].epsilon(0.0) == pytest.approx(1.0)


def test_mu_is_known_of_gaussian_curves_only():
    assert [claim.mu for claim in KINDS] == [None, None, 0.5, None, None, None]
    several = events.Composed((events.Gaussian(4.0), events.Repeated(3, events.Gaussian(4.0))))
    assert Claim.event(several, relation=ADD).mu == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (KINDS[0], "ε = 1 (add_remove)"),
        (Claim.approximate(0.1 + 0.2, 1e-5, relation="replace_one"), "ε = 0.3, δ = 1e-05 (replace_one)"),
        (KINDS[2], "μ = 0.5 (GDP) (add_remove)"),
        (KINDS[3], "ρ = 0.1 (zCDP) (add_remove)"),
        (KINDS[4], "the curve of the event 'laplace' (add_remove)"),
    ],
)
def test_a_claim_says_what_it_claims_and_under_which_relation(claim, text):
    assert str(claim) == text
    data = json.loads(json.dumps(claim.to_dict(), allow_nan=False))
    assert data["relation"] in str(claim)


def test_claims_of_nothing_at_all_can_be_made():
    nothing = Claim.gdp(0.0, relation=ADD)
    assert nothing.most(0.3) == pytest.approx(0.3)
    assert Claim.pure(0.0, relation=ADD).most(0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("make", [Claim.pure, Claim.gdp, Claim.zcdp])
def test_a_claim_without_a_relation_or_a_number_is_refused(make):
    for relation in (None, "", "neighbours", 3):
        with pytest.raises(InvalidInput, match="a claim names its relation"):
            make(1.0, relation=relation)
    with pytest.raises(TypeError):
        make(1.0)
    for value in (-1.0, math.nan, math.inf, None, "1", True):
        with pytest.raises(InvalidInput):
            make(value, relation=ADD)


def test_other_wrong_claims_are_refused():
    for delta in (-0.1, 1.0, math.nan):
        with pytest.raises(InvalidInput):
            Claim.approximate(1.0, delta, relation=ADD)
    with pytest.raises(InvalidInput, match="needs an event, got float"):
        Claim.event(1.0, relation=ADD)
    with pytest.raises(InvalidInput, match="a claim holds a PrivacyProfile, got float"):
        Claim("ε = 1", 1.0, ADD)


def test_an_event_of_another_relation_is_refused():
    sampled = events.PoissonSampled(0.1, Relation.REPLACE_ONE, events.Gaussian(2.0))
    with pytest.raises(UnsupportedEvent, match="replace_one"):
        Claim.event(sampled, relation=ADD)
    with pytest.raises(UnsupportedEvent):
        Claim.event(events.NonPrivate(), relation=ADD)
