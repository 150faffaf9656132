"""The facts: budget, guarantee and estimate, risks, hazards, registry."""

import math
from fractions import Fraction

import pytest

from discreet import accounting, events
from discreet.errors import InvalidInput
from discreet.explain import questions, words
from discreet.explain.registry import MISSING, flat, missing
from discreet.ledger import Raise, Share
from discreet.profiles import posterior
from discreet.units import PrivacyUnit

ADD = events.Relation.ADD_REMOVE


def test_the_budget_bar_adds_up(make):
    releases = [make.release(), make.release("other", number=2)]
    found = make.report(releases).facts["budget"]
    assert [part["label"] for part in found["parts"]] == ["People by ward", "People by ward"]
    assert sum(part["loss"] for part in found["parts"]) == found["loss"]
    assert found["spent"] + found["left"] == pytest.approx(1)
    assert found["spent"] == pytest.approx(2 * found["parts"][0]["share"])


def test_a_charge_without_its_release_is_in_the_bar(make):
    item = make.release()
    entries = [*make.charged(item), make.entry(9, "charge", loss=2**36, event=item.event)]
    parts = make.report([item], entries=entries).facts["budget"]["parts"]
    assert [part["label"] for part in parts] == ["People by ward", "not in this report"]


def test_two_charges_make_the_composed_number_an_estimate(make):
    releases = [make.release(), make.release("other", number=2)]
    assert make.report(releases[:1]).facts["history"]["label"] == "guarantee"
    history = make.report(releases).facts["history"]
    assert history["label"] == "estimate"
    assert "fixed before the first answer" in history["why"]
    assert history["epsilon"] <= history["filter"] * (1 + 1e-9)
    assert 0 < history["epsilon_lower"] <= history["epsilon"] <= history["epsilon_lower"] * (1 + 1e-4)
    fixed = make.report(releases, project={"fixed_beforehand": True}).facts["history"]
    assert fixed["label"] == "promise"


def test_an_event_that_no_curve_is_known_for_is_named(make):
    item = make.release()
    entries = make.charged(item)
    entries[1].event = events.NonPrivate()
    report = make.report([item], entries=entries)
    assert report.facts["history"]["epsilon"] is None
    assert report.facts["history"]["unknown"]
    assert {view["name"] for view in report.facts["attacker"]["views"]} == {"account", "spent"}
    assert "not known" in report.html("engineer")


def test_beliefs_and_rates_of_the_account(make):
    view = make.report().facts["attacker"]["views"][0]
    assert view["name"] == "account"
    for row, prior in zip(view["beliefs"], (0.01, 0.1, 0.5), strict=True):
        assert row["posterior"] == posterior(2.0, prior)
    # the worst case of (ε, δ): e^ε·a + δ at a small rate, tanh(ε/2) up to δ for the advantage
    for row, rate in zip(view["rates"], (0.01, 0.001), strict=True):
        assert row["true_positive_rate"] == pytest.approx(math.exp(2.0) * rate + 1e-6, rel=0.02)
    assert view["advantage"] == pytest.approx(math.tanh(1.0), rel=1e-3)


def test_what_ran_is_never_shown_worse_than_its_own_worst_case(make):
    views = {view["name"]: view for view in make.report().facts["attacker"]["views"]}
    assert views["history"]["advantage"] <= views["spent"]["advantage"] * (1 + 1e-9)
    for ran, worst in zip(views["history"]["rates"], views["spent"]["rates"], strict=True):
        assert ran["true_positive_rate"] <= worst["true_positive_rate"] * (1 + 1e-9)


def test_zero_epsilon(make):
    item = make.release(event=events.DiscreteGaussian(Fraction(0), Fraction(4)), epsilon=0.0)
    report = make.report([item], epsilon=0.0, capacity=accounting.Cost(0, 0))
    assert report.facts["budget"]["spent"] == 0
    assert all(
        row["prior"] == pytest.approx(row["posterior"]) for row in report.facts["attacker"]["views"][0]["beliefs"]
    )
    page = report.html()
    assert "nothing at all can be learned about one person" in page
    assert "no person can move" in page


def test_no_bound_at_all(make):
    entries = [*make.charged(make.release()), make.entry(8, "charge", loss=1, delta=2**60, event=events.NonPrivate())]
    report = make.report(entries=entries, epsilon=math.inf)
    assert report.facts["history"]["filter"] is None  # all of δ is used up: no finite statement
    assert report.facts["attacker"]["views"][0]["beliefs"][0]["posterior"] == 1.0
    page = report.html()
    assert "ε = ∞" in page
    assert "there is no bound on what could be learned" in page
    assert "no limit on what can be found out" in page
    assert "no limit on what can be found out" in report.markdown("person")


def test_a_raise_after_release_is_said(make):
    entries = [*make.charged(make.release()), make.entry(7, "raise", who="owner")]
    report = make.report(
        entries=entries, epsilon=2.0, opened_epsilon=1.0, raises=(Raise(2.0, "2026-02-01T00:00:00Z", 1),)
    )
    assert report.facts["account"]["chosen_after"] is True
    for text in (report.html("policy"), report.markdown("policy"), report.html("engineer")):
        assert "chosen after release" in text.lower()
    assert any("raised once" in row.answer for row in report.hazards)
    assert "ε = 1 at opening" in report.html("policy")
    assert "chosen after release" not in make.report().html().lower()


def test_a_raise_before_any_release_is_not_blamed(make):
    entries = [make.entry(1, "open"), make.entry(2, "raise")]
    report = make.report([], entries=entries, opened_epsilon=1.0, raises=(Raise(2.0, "2026-02-01T00:00:00Z", 0),))
    assert report.facts["account"]["chosen_after"] is False
    assert "chosen after release" not in report.html().lower()
    assert any("before anything had been released" in row.answer for row in report.hazards)


def test_shares_of_analysts(make):
    item = make.release()
    entries = make.charged(item)
    entries[1].analyst = "bo"
    shares = {"bo": Share(1.0, accounting.Cost(2**36, 0)), "cy": Share(2.0, accounting.Cost(2**37, 0))}
    report = make.report([item], entries=entries, shares=shares)
    rows = {row["analyst"]: row for row in report.facts["budget"]["analysts"]}
    assert rows["bo"]["granted"] == 0.5
    assert rows["bo"]["of_own"] == pytest.approx(2 * rows["bo"]["spent"])
    assert rows["cy"]["spent"] == 0
    assert "By analyst" in report.html("policy")
    assert report.registry()["deployment"]["deployment_model"]["access_type"] == "Interactive"


def test_the_same_hazards_are_answered_in_every_report(make):
    report = make.report()
    assert {row.how for row in report.hazards} == {"evidence", "promise", "unknown"}
    assert [row.layer.split(":")[0] for row in report.hazards] == sorted(
        (row.layer.split(":")[0] for row in report.hazards), key=["top", "middle", "base"].index
    )
    for row in report.hazards:
        assert row.question.endswith("?")
        assert row.answer


def test_a_promised_unit_is_a_promise(make):
    unit = PrivacyUnit(max_rows=3)
    report = make.report([make.release(unit=unit)], unit=unit)
    row = next(row for row in report.hazards if row.question == "Is a whole person protected?")
    assert row.how == "promise"
    assert "up to 3 rows" in row.answer


def test_floating_point_is_unknown_unless_all_noise_is_exact(make):
    exact = make.report().hazards
    floating = make.report([make.release(event=events.Composed((events.Gaussian(10.0),)))]).hazards
    question = "Can floating-point rounding leak?"
    assert next(row.how for row in exact if row.question == question) == "evidence"
    assert next(row.how for row in floating if row.question == question) == "unknown"


def test_what_is_not_here_is_not_vouched_for(make):
    """Answers that the ledger recorded and the report was not given are unknown, never "nothing was released"."""
    items = [make.release(), make.release("other", number=2)]
    for given, start in (
        ([], "2 released answers could not"),
        (items[:1], "No, for those shown. 1 released answer could"),
    ):
        report = make.report(given, entries=make.charged(*items))
        rows = {row.question: row for row in report.hazards}
        numerics = rows["Can floating-point rounding leak?"]
        assert numerics.how == "unknown"
        assert numerics.answer.startswith(start)
        assert "could not be examined" in rows["Are the algorithms right?"].answer
        assert not any("Nothing" in row.answer and "released" in row.answer for row in report.hazards)
        assert "Nothing was released" not in str(report.registry(3))
    assert any(row.answer == "Nothing is recorded as released." for row in make.report([]).hazards)


def test_the_report_leaves_the_comparison_of_delta_to_who_knows_the_people(make):
    row = next(row for row in make.report().hazards if row.question.startswith("Is δ small"))
    assert "one over the number of people" in row.answer
    assert "private" not in row.answer


def test_who_bears_the_error_names_the_smallest_group(make):
    row = next(row for row in make.report().hazards if row.question == "Who bears the error?")
    assert "people of B" in row.answer
    assert "51 %" in row.answer  # 28.5 / 56


def test_the_registry_record_takes_prose_from_the_project_or_says_that_it_is_missing(make):
    bare = make.report().registry()
    assert bare["tier"] == 2
    assert "deployment.basic.name" in missing(bare)
    told = make.report(project={"name": "Wards", "curator": "County Hospital", "sector": "Health"}).registry()
    assert told["deployment"]["basic"]["name"] == "Wards"
    assert told["url_slug"] == "wards"
    assert "deployment.basic.name" not in missing(told)
    assert "deployment.implementation.justification" in missing(told)


def test_the_registry_record_has_the_fields_of_each_tier(make):
    report = make.report()
    assert set(report.registry(1)["deployment"]) == {"basic", "administrative"}
    second, third = report.registry(2), report.registry(3)
    parts = {
        "basic",
        "dp_variant",
        "privacy_loss",
        "deployment_model",
        "accounting",
        "implementation",
        "administrative",
    }
    assert set(second["deployment"]) == set(third["deployment"]) == parts
    assert not any(path.endswith("_details") for path, _ in flat(second))
    assert any(path.endswith("_details") for path, _ in flat(third))
    assert third["deployment"]["privacy_loss"]["privacy_parameters"] == {"epsilon": 2.0, "delta": 1e-6, "rho": 0.125}
    assert third["deployment"]["dp_variant"]["variant_name"] == "Zero-concentrated DP"
    with pytest.raises(InvalidInput, match="1, 2 or 3"):
        report.registry(4)


def test_the_date_is_that_of_the_newest_fact(make):
    assert make.report().facts["as_of"] == "2026-01-01T10:00:00+00:00"
    assert make.report().registry()["deployment"]["basic"]["publication_date"] == "2026-01-01"
    assert make.report([], entries=[]).registry()["deployment"]["basic"]["publication_date"] == MISSING


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (0.0, "0 %"),
        (0.0307, "3.1 %"),
        (0.031, "3.1 %"),
        (0.0311, "3.2 %"),
        (0.5, "50 %"),
        (0.501, "51 %"),
        (0.9991, "99.91 %"),
        (0.99912, "99.92 %"),
        (0.99999, "100 %"),
        (1.0, "100 %"),
        (1e-07, "0.01 %"),
    ],
)
def test_a_bound_is_never_shown_below_itself(bound, text):
    assert words.at_most(bound) == text
    assert float(text.split()[0]) >= bound * 100 - 1e-9


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.01, "1 %"),
        (0.001, "0.1 %"),
        (0.5, "50 %"),
        (1.0, "100 %"),
        (0.99999, "over 99.99 %"),
        (1e-6, "under 0.01 %"),
    ],
)
def test_percent(share, text):
    assert words.percent(share) == text


def test_a_sql_release_is_told_in_plain_words(make):
    facts = {
        "kind": "sql",
        "sentence": "COUNT(*), AVG(cost) of visits by ward where age >= 60.",
        "sql": "SELECT ward, COUNT(*) AS n, AVG(cost) AS cost FROM visits WHERE age >= 60 GROUP BY ward",
        "columns": [{"name": "n", "expression": "COUNT(*)"}, {"name": "cost", "expression": "AVG(cost)"}],
        "keys": {"ward": 2},
        "noise": [{"of": "COUNT(*)", "mechanism": "discrete Gaussian", "standard_deviation": 14.142, "share": 1.0}],
    }
    shown = make.report([make.release("wards_by-age", facts=facts)]).facts["releases"][0]
    assert shown["title"] == "Wards by age"
    assert (
        shown["sentence"]
        == "“n” is the number of people and “cost” is the mean of “cost”, for each “ward”, only where age >= 60."
    )
    assert shown["noise"] == ["COUNT(*): discrete Gaussian noise, standard deviation 14.14"]


@pytest.mark.parametrize(
    ("event", "part"),
    [
        (events.DiscreteLaplace(Fraction(2), Fraction(20)), "scale 20 grid steps"),
        (events.Gaussian(1.5), "noise_multiplier 1.5"),
        (events.ExponentialMechanism(0.5), "Exponential mechanism"),
        (events.KeySelection(0.5, 1e-7, 3), "Selection of keys"),
        (events.Repeated(10, events.Gaussian(2.0)), "10 runs of: Gaussian noise"),
        (events.Composed((events.ZCDP(0.1), events.ZCDP(0.1))), "2 times"),
        (events.RDP((2.0,), (0.1,)), "Rényi curve"),
        (events.Tabulated((0.5, 0.5), (0.25, 0.75)), "chances of its outputs"),
        (events.Mixture((0.5, 0.5), (events.Pure(0.5), events.Gaussian(2.0))), "public coin"),
        (events.RandomAllocation(9, ADD, events.Gaussian(2.0)), "each person in one of them at random: Gaussian noise"),
        (events.CyclicPoissonSampled(0.1, 4, 9, ADD, events.Gaussian(2.0)), "4 fixed groups"),
        (events.PoissonSampled(0.1, ADD, events.Gaussian(2.0)), "random sample of people (sample_rate 0.1): Gaussian"),
        (events.Shuffled((0.5, 1.0), (100, 3), 2), "epsilon 1 from 3 reports"),
        (events.PrivateSelection(9.0, 1.0, events.Gaussian(2.0)), "mean 9"),
        (events.PoissonSelection(9.0, events.Gaussian(2.0)), "the only one published"),
    ],
)
def test_every_mechanism_has_words(event, part):
    assert part in "; ".join(words.mechanisms(event))


def test_the_purpose_in_the_ledger_is_the_title(make):
    item = make.release("wards", facts={"sql": "SELECT 1"})
    entries = make.charged(item)
    entries[1].purpose = "How many people each ward treats"
    report = make.report([item], entries=entries)
    assert report.facts["releases"][0]["title"] == "How many people each ward treats"
    assert report.facts["budget"]["parts"][0]["label"] == "How many people each ward treats"
    entries[1].purpose = "SELECT 1"  # what an ad-hoc query says
    assert make.report([item], entries=entries).facts["releases"][0]["title"] == "Wards"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("COUNT(*)", "the number of rows"),
        ("COUNT(bmi)", "the number of rows with a value of “bmi”"),
        ('SUM("a b")', "the total of “a b”"),
        ("((100 * SUM(x)) / COUNT(*))", "(100 × the total of “x”) ÷ the number of rows"),
        ("(SUM(x) + SUM(y)) / (COUNT(*))", "(the total of “x” + the total of “y”) ÷ (the number of rows)"),
    ],
)
def test_expressions_in_words(expression, text):
    assert questions._plain(expression, "rows") == text
