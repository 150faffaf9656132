"""Risk cards: which numbers, from which subject, in which words; what is refused."""

import json
import math
import re
from fractions import Fraction

import pytest

from discreet import accounting, events
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation
from discreet.explain import RiskCard, risk, risk_page, risk_words
from discreet.explain.ran import Kept
from discreet.profiles import Bracket, Guarantee, PrivacyProfile, posterior
from discreet.units import PrivacyUnit

ADD = Relation.ADD_REMOVE
PAIR = events.Approximate(1.0, 1e-5)


def numbers(view):
    """Every bound of a view, by its place."""
    found = {"advantage": view.advantage}
    for belief in view.beliefs:
        found |= {("posterior", belief.prior): belief.posterior, ("accuracy", belief.prior): belief.accuracy}
    for rate in view.rates:
        found["rate", rate.false_positive_rate] = rate.true_positive_rate
        found |= {("precision", rate.false_positive_rate, prior): share for prior, share in rate.precision}
    return found | {("guess", guess.baseline): guess.success for guess in view.guesses}


def test_a_stated_pair_has_its_worst_case_alone():
    card = risk(PAIR, relation=ADD)
    assert card.own is None
    assert "not what ran" in card.unknown
    assert (card.worst.epsilon, card.worst.delta, card.worst.label) == (1.0, 1e-5, "promise")
    found = numbers(card.worst)
    assert found["rate", 0.01] == pytest.approx(math.e * 0.01 + 1e-5)
    assert found["guess", 0.1] == pytest.approx(math.e * 0.1 + 1e-5)
    assert found["posterior", 0.1] == posterior(1.0, 0.1)
    assert found["precision", 0.01, 0.5] == pytest.approx((math.e * 0.01 + 1e-5) / (math.e * 0.01 + 1e-5 + 0.01))
    assert found["accuracy", 0.5] == pytest.approx((1 + found["advantage"]) / 2)
    assert found["accuracy", 0.01] == pytest.approx(1 - 0.01 * (1 - 1e-5))  # beyond ε only δ helps
    assert card.worst.guesses[1].gain == pytest.approx(found["guess", 0.1] - 0.1)


def test_an_event_has_its_own_curve_beside_it_and_nowhere_above():
    card = risk(events.Repeated(10, events.Gaussian(4.0)), relation=ADD, delta=1e-6)
    own, worst = numbers(card.own), numbers(card.worst)
    assert all(own[place] <= worst[place] for place in worst)
    exact = accounting.profile(events.Gaussian(4 / math.sqrt(10)))
    assert own["rate", 0.01] == pytest.approx(exact.true_positive_rate(0.01).upper)
    assert own["advantage"] == pytest.approx(exact.advantage().upper)
    assert own["accuracy", 0.1] == pytest.approx(exact.accuracy(0.1).upper)
    assert worst["rate", 0.01] > 2 * own["rate", 0.01]
    assert card.worst.epsilon == pytest.approx(exact.epsilon(1e-6).upper)


def test_a_release_names_its_unit_and_is_a_guarantee(make):
    card = risk(make.release())
    assert (card.unit, card.relation, card.worst.label) == (PrivacyUnit(column="id"), ADD, "guarantee")
    assert (card.worst.epsilon, card.worst.delta) == (0.4, 1e-7)
    assert card.own.epsilon <= 0.4
    assert "the release 'by_ward'" in str(card)
    assert "per id (add_remove)" in str(card)
    told = make.release(guarantee=Guarantee(PrivacyUnit(column="id"), 0.4, 1e-7, "tried", evidence="measured"))
    assert risk(told).worst.label == "estimate"


def test_a_guarantee_alone_is_its_worst_case():
    card = risk(Guarantee(PrivacyUnit(relation=Relation.REPLACE_ONE), 0.5, 0.0, "pure"))
    assert card.own is None
    assert card.relation is Relation.REPLACE_ONE
    assert numbers(card.worst)["advantage"] == pytest.approx(math.tanh(0.25))
    without = risk(Guarantee(PrivacyUnit(), math.inf, 1e-6, "none"))
    assert without.worst.epsilon is None
    found = numbers(without.worst)
    assert {number for place, number in found.items() if "precision" not in place} == {1.0}
    assert found["precision", 0.01, 0.5] == pytest.approx(1 / 1.01)  # who wrongly lists 1 % is not right in everything
    for audience in ("person", "policy", "engineer"):
        assert "no bound" in without.words(audience)[0]
    assert "∞" in str(without)


def test_an_event_of_which_no_curve_is_known_keeps_the_worst_case(make):
    card = risk(make.release(event=events.Composed((events.NonPrivate(), events.Gaussian(3.0)))))
    assert card.own is None
    assert "only ε" not in card.unknown
    assert f"not known; {card.unknown}" in str(card)


def test_a_group_is_told_apart_better_and_its_delta_grows():
    one, two = risk(PAIR, relation=ADD), risk(PAIR, relation=ADD, group=2)
    assert two.worst.epsilon == pytest.approx(2.0)
    assert two.worst.epsilon >= 2.0
    assert two.worst.delta == pytest.approx(1e-5 * (1 + math.e))
    assert all(
        there >= here for here, there in zip(numbers(one.worst).values(), numbers(two.worst).values(), strict=True)
    )
    assert numbers(two.worst)["rate", 0.01] == pytest.approx(math.e * (math.e * 0.01 + 1e-5) + 1e-5)
    assert numbers(two.worst)["posterior", 0.1] == pytest.approx(posterior(2.0, 0.1))
    noise = risk(events.Gaussian(4.0), relation=ADD, delta=1e-6, group=3)
    assert noise.own.advantage == pytest.approx(accounting.profile(events.Gaussian(4 / 3)).advantage().upper)
    assert noise.own.delta == noise.worst.delta
    assert noise.own.epsilon <= noise.worst.epsilon
    assert "3 together" in str(noise)
    assert "3 people together" in noise.words("person")[0]
    many = risk(PAIR, relation=ADD, group=1000)
    assert (many.worst.epsilon, many.worst.delta) == (None, 1.0)
    family = risk(
        events.Gaussian(0.5), relation=ADD, delta=1e-5, group=4
    )  # nothing is left of (ε, δ), but of the noise
    assert family.worst.epsilon is None
    assert family.own.delta == 1e-5
    assert family.own.epsilon == pytest.approx(accounting.gaussian_epsilon(8.0, 1e-5))
    assert "1 in 50,000" in " ".join(family.words("person"))
    zero = risk(events.Approximate(0.0, 1e-6), relation=ADD, group=4)
    assert zero.worst.delta == pytest.approx(4e-6)
    assert zero.worst.delta >= 4e-6


def test_what_is_asked_is_answered():
    card = risk(PAIR, relation="replace_one", priors=[0.3], false_positive_rates=(0.2,), baselines=[0.25, 0.75])
    assert card.relation is Relation.REPLACE_ONE
    assert [belief.prior for belief in card.worst.beliefs] == [0.3]
    assert [rate.false_positive_rate for rate in card.worst.rates] == [0.2]
    assert [guess.baseline for guess in card.worst.guesses] == [0.25, 0.75]
    assert "30 %" in card.words("person")[1]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"relation": ADD, "priors": []}, "at least one"),
        ({"relation": ADD, "priors": [math.nan]}, "priors must lie in"),
        ({"relation": ADD, "priors": [1.5]}, "priors must lie in"),
        ({"relation": ADD, "baselines": [-0.1]}, "baselines must lie in"),
        ({"relation": ADD, "false_positive_rates": [0.0]}, "above 0"),
        ({"relation": ADD, "group": 0}, "from 1 to 1,000"),
        ({"relation": ADD, "group": True}, "from 1 to 1,000"),
        ({"relation": ADD, "group": 1001}, "from 1 to 1,000"),
        ({"relation": ADD, "delta": 1e-6}, "δ = 1e-05 of its own"),
        ({"relation": "everybody"}, "relation must be one of"),
        ({}, "names no relation"),
    ],
)
def test_what_means_nothing_is_refused(given, part):
    with pytest.raises(InvalidInput, match=part):
        risk(PAIR, **given)


def test_what_does_not_belong_to_its_subject_is_refused(make):
    for subject in (make.release(), make.release().guarantee):
        with pytest.raises(InvalidInput, match="its own relation and delta"):
            risk(subject, relation=ADD)
        with pytest.raises(InvalidInput, match="its own relation and delta"):
            risk(subject, delta=1e-6)
    with pytest.raises(InvalidInput, match="needs the delta"):
        risk(events.Gaussian(1.0), relation=ADD)
    for delta in (math.nan, 1.0, -1e-9, True):
        with pytest.raises(InvalidInput, match="delta must lie"):
            risk(events.Gaussian(1.0), relation=ADD, delta=delta)
    with pytest.raises(UnsupportedEvent, match="no finite ε"):
        risk(events.Gaussian(1.0), relation=ADD, delta=0)
    with pytest.raises(UnsupportedEvent, match="bounded under replace_one"):
        risk(events.RandomizedResponse(1.0, 2), relation=ADD, delta=1e-6)
    for subject in (1.0, None, "release", (1.0, 1e-6)):
        with pytest.raises(InvalidInput, match="is that of a Release"):
            risk(subject)
    with pytest.raises(InvalidInput, match="an audience is one of"):
        risk(PAIR, relation=ADD).words("judge")


def test_a_sampled_event_names_its_relation():
    event = events.PoissonSampled(0.1, Relation.ZERO_OUT, events.Gaussian(1.0))
    assert risk(event, delta=1e-6).relation is Relation.ZERO_OUT
    with pytest.raises(UnsupportedEvent, match="bounded under zero_out"):
        risk(event, relation=ADD, delta=1e-6)


def test_a_card_is_plain_data():
    card = risk(events.DiscreteGaussian(Fraction(1), Fraction(9)), relation=ADD, delta=1e-6)
    data = json.loads(json.dumps(card.to_dict(), allow_nan=False))
    assert list(data) == ["subject", "relation", "unit", "group", "views", "unknown"]
    assert [view["name"] for view in data["views"]] == ["worst", "own"]
    assert list(data["views"][0]["rates"][0]) == ["false_positive_rate", "true_positive_rate", "precision"]
    assert isinstance(card, RiskCard)


def test_every_number_of_a_table_is_rounded_up():
    card = risk(events.Gaussian(3.0), relation=ADD, delta=1e-6)
    rows = {row.text: row.cells for row in risk_words.rows(card.views)}
    found = [one.rates[0].true_positive_rate for one in card.views]
    for cell, exact in zip(rows["people found at 1 % wrongly accused, at most"], found, strict=True):
        assert exact * 100 <= float(cell.split()[0]) <= exact * 100 * 1.1 + 0.01
    assert all(len(row.cells) == 2 for row in risk_words.rows(card.views))
    text = str(card)
    assert all(row.text in text for row in risk_words.rows(card.views)[:-1])


@pytest.mark.parametrize("relation", list(Relation))
@pytest.mark.parametrize("audience", ["person", "policy", "engineer"])
def test_words_for_everybody(relation, audience):
    lines = risk(events.Gaussian(3.0), relation=relation, delta=1e-6).words(audience)
    assert all(line[0].isupper() and line.rstrip().endswith((".", "%")) for line in lines)
    text = " ".join(lines)
    assert "{" not in text
    assert "worst case" in text.lower()
    if audience == "person":
        assert risk_words.SUSPECTED[relation.value][0] in text
    if audience != "engineer":
        assert "1 in 500,000" in text  # twice δ
        assert "TPR" not in text
    assert not re.search(r"\b(safe|private|harmless)\b", text)


def test_at_a_delta_of_zero_nothing_goes_beyond():
    lines = risk(events.Laplace(2.0), relation=ADD, delta=0.0).words("person")
    assert not any("Some results" in line for line in lines)


@pytest.mark.parametrize(
    ("probability", "text"), [(2e-6, "1 in 500,000"), (0.3, "1 in 3"), (1.0, "1 in 1"), (2e-12, "1 in 500,000,000,000")]
)
def test_once_in(probability, text):
    assert risk_words.once(probability) == text
    assert 1 / float(text.split()[-1].replace(",", "")) >= probability * (1 - 1e-9)


class Silent(PrivacyProfile):
    """A curve whose engine never answers."""

    method = "silent"

    def delta(self, epsilon):
        raise UnsupportedEvent("out of reach.")

    def epsilon(self, delta):
        raise UnsupportedEvent("out of reach.")


def test_where_no_engine_answers_nothing_is_claimed():
    kept = Kept(Silent())
    assert kept.delta(1.0) == Bracket(0.0, 1.0)
    assert kept.epsilon(1e-6).upper == math.inf
    assert kept.true_positive_rate(0.2) == Bracket(0.2, 1.0)
    assert kept.advantage().upper == kept.accuracy(0.3).upper == kept.reconstruction(0.1).upper == 1.0
    assert kept.group(2).true_positive_rate(0.2).upper == 1.0


def test_what_was_asked_once_is_kept():
    class Counted(Silent):
        asked = 0

        def delta(self, epsilon):
            self.asked += 1
            return Bracket(0.0, 0.5)

    inner = Counted()
    kept = Kept(inner)
    assert kept.delta(1.0) == kept.delta(1.0)
    assert inner.asked == 1


# ------------------------------------------------------------------------------------------------ in reports


def test_a_report_tells_each_audience_what_can_be_guessed(make):
    report = make.report()
    view = report.facts["attacker"]["views"][0]
    assert view["guesses"][1]["success"] == pytest.approx(math.exp(2.0) * 0.1 + 1e-6, rel=1e-3)
    assert report.facts["attacker"]["table"][0]["text"] == "ε"
    person, policy, engineer = (report.markdown(audience) for audience in ("person", "policy", "engineer"))
    assert "can be guessed right in 10 % of cases without your data is guessed right in at most" in person
    assert "a guess about a record that is right in 10 % becomes at most" in policy
    assert "accusations that are right" not in policy
    assert "accusations that are right at 1 %, where 10 % are in, at most" in engineer
    page = report.html()
    assert "makes a list of people whom they suspect" in page
    assert '<tr data-part="engineer"><th>accusations that are right at 1 %' in page
    assert "accusations that are right" not in report.html("policy")
    assert "accusations that are right" in report.html("engineer")


def test_no_report_says_that_a_belief_is_held_except_with_probability_delta(make):
    """It is not: what holds is that it goes far with twice δ at most."""
    report = make.report()
    for text in (report.html(), *(report.markdown(one) for one in ("person", "policy", "engineer"))):
        assert "may fail with a probability" not in text
        assert "except with a probability" not in text
    assert "about 1 in 500,000" in report.markdown("person")
    assert "about 1 in 500,000" in report.html("policy")


# --------------------------------------------------------------------------------------------------- the page


def test_the_page_begins_with_the_card_as_near_as_its_sliders_go():
    card = risk(
        events.Pure(50.0), relation=ADD, priors=[0.0, 0.2, 1.0], false_positive_rates=[1e-9], baselines=[1e-9, 0.3]
    )
    assert risk_page._start(card) == {
        "epsilon": 20.0,
        "delta": 0.0,
        "prior": 0.2,
        "false_positive_rate": 1e-4,
        "baseline": 0.3,
    }
    small = risk(events.Approximate(1e-4, 1e-30), relation=ADD)
    assert risk_page._start(small)["epsilon"] == 0.01
    assert risk_page._start(small)["delta"] == 1e-12
    without = risk(Guarantee(PrivacyUnit(), math.inf, 1e-6, "none"))
    assert risk_page._start(without)["epsilon"] == 20.0


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        (lambda: risk(events.Approximate(1e-9, 0.5), relation=ADD), "51 %"),  # found at 1 % wrongly accused
        (lambda: risk(events.Approximate(30.0, 1e-6), relation=ADD), ">30<"),
        (lambda: risk(Guarantee(PrivacyUnit(), math.inf, 1e-6, "none")), ">∞<"),
        (lambda: risk(events.Gaussian(1.0), relation=ADD, delta=1e-6, group=40), ">∞<"),
    ],
)
def test_a_page_whose_sliders_do_not_reach_its_card_says_so_and_shows_the_card(card, shown):
    page = card().html()
    assert "The sliders do not reach the ε and δ of" in page
    assert shown in page.split('id="try"')[0]


def test_a_page_whose_sliders_reach_its_card_says_nothing_of_it():
    assert "do not reach" not in risk(PAIR, relation=ADD).html()
    assert "do not reach" not in risk(events.Pure(1.0), relation=ADD).html()


def test_names_in_a_page_are_text(make):
    page = risk(make.release("</script><script>alert(1)</script>")).html()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page or "&lt;/script&gt;" in page


def test_a_page_without_jinja_says_what_to_type(monkeypatch):
    import sys

    from discreet.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match="report"):
        risk(PAIR, relation=ADD).html()
