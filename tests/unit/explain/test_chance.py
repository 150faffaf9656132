"""Drawn answers, groups that a selection found, several tables, totals: as reports show them."""

import pyarrow
import pytest

from discreet.units import PrivacyUnit

NOTHING = [None, None]
UNIT = PrivacyUnit(column="id", max_groups=2, max_rows=1)


def sql_facts(*columns, keys=None, noise=(), bounds=(2, 1), sql="SELECT … FROM patients"):
    return {
        "kind": "sql",
        "sentence": "…",
        "sql": sql,
        "columns": [
            {"name": name, "expression": text, "mechanism": "…", "parts": [label]} for name, text, label in columns
        ],
        "keys": keys or {},
        "groups_released": None,
        "bounds": {"max_groups": bounds[0], "max_rows": bounds[1], "enforced": True},
        "noise": list(noise),
        "notes": ["Rows without id are left out."],
    }


@pytest.fixture
def median(make):
    """A median by ward, and the drug given most."""
    parts = {f"{name}_{part}": pyarrow.array(NOTHING, pyarrow.float64()) for name in ("middle", "most")
             for part in ("se", "low", "high")}  # fmt: skip
    table = {"ward": ["A", "B"], "middle": [40.0, 52.5], "most": ["x|y", "<b>"], **parts}
    noise = [
        {
            "of": "quantiles 0.5 of age",
            "mechanism": "exponential mechanism",
            "epsilon": 0.25,
            "rank_error": 13.2,
            "share": 0.5,
        },
        {"of": "mode of drug", "mechanism": "permute-and-flip", "epsilon": 0.5, "share": 0.5},
    ]
    asked = (("middle", "QUANTILE(age, 0.5)", "quantiles 0.5 of age"), ("most", "MODE(drug)", "mode of drug"))
    return make.release(
        "ages",
        table=table,
        accuracy={"middle": {"level": 0.95, "rank_error": 13.2, "interval": "none: …"}, "most": {"level": 0.95, "interval": "none: …"}},
        facts=sql_facts(*asked, keys={"ward": 2}, noise=noise),
        unit=UNIT,
        provenance={"domain": {"age": {"type": "integer", "low": 0, "high": 100}}},
    )  # fmt: skip


def test_a_median_stands_with_the_error_of_its_rank(make, median):
    report = make.report([median])
    shown = report.facts["releases"][0]
    assert [column["instead"] for column in shown["table"]["columns"]] == ["rank ± 14 rows", "no interval"]
    assert [cell["text"] for cell in shown["table"]["rows"][0]["cells"]] == ["40.0000", "x|y"]
    assert shown["sentence"] == (
        "“middle” is the median of “age” and “most” is one of the most frequent values of “drug”, for each “ward”."
    )
    page = report.html("policy")
    assert page.count("rank ± 14 rows") == 2
    assert "chart-r1" not in page, "dots without their errors would make much of what chance did"
    assert "chart-r1" in make.report().html("policy")
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "x\\|y" in report.markdown("policy")


def test_a_drawn_answer_is_said_to_be_drawn(make, median):
    report = make.report([median])
    shown = report.facts["releases"][0]
    assert shown["chance_plainly"] == [
        (
            "“middle” was drawn by chance; the nearer a value is to the one asked for, the likelier: "
            "in 95 of 100 cases its place in the order of all values is off by at most 14 people."
        ),
        "“most” was drawn by chance; the more often a value occurs, the likelier.",
    ]
    assert shown["noise_plainly"] == []
    assert shown["noise"] == [
        "quantiles 0.5 of age: exponential mechanism, drawn with ε = 0.25 in each group, rank ± 14 rows with 95 %",
        "mode of drug: permute-and-flip, drawn with ε = 0.5 in each group",
    ]
    for text in (report.html("policy"), report.markdown("policy")):
        assert "drawn by chance; the nearer" in text
        assert "Random noise was added" not in text
    for text in (report.html("engineer"), report.markdown("engineer")):
        assert "drawn with ε = 0.25" in text
    for text in (report.html("person"), report.markdown("person")):
        assert "or it was drawn by chance from near the true one" in text
    assert ["Rank", report.facts["glossary"][-1][1]] == report.facts["glossary"][-1]


def test_where_nothing_was_drawn_nothing_is_said_of_it(make):
    report = make.report()
    assert report.facts["releases"][0]["chance_plainly"] == []
    for audience in ("person", "policy", "engineer"):
        assert "drawn" not in report.html(audience).partition("What can undermine")[0]
    assert "Rank" not in dict(report.facts["glossary"])
    accurate = next(row for row in report.hazards if row.question == "Is each result accurate enough?")
    assert "drawn" not in accurate.answer


def test_hazards_know_of_draws(make, median):
    rows = {row.question: row for row in make.report([median]).hazards}
    assert "one that was drawn" in rows["Is each result accurate enough?"].answer
    assert rows["Can floating-point rounding leak?"].how == "evidence"
    assert "Who bears the error?" not in rows, "a rank is no error relative to the value"


def test_draws_of_others_are_not_known_to_be_exact(make):
    from discreet import events

    item = make.release(event=events.ExponentialMechanism(0.5))
    row = next(row for row in make.report([item]).hazards if row.question == "Can floating-point rounding leak?")
    assert row.how == "unknown"


def test_means_and_ranks_are_not_drawn_from_zero(make, median):
    columns = make.report([median]).facts["releases"][0]["table"]["columns"]
    assert [column["from_zero"] for column in columns] == [False, False]


@pytest.fixture
def cities(make):
    """Groups that nobody declared."""
    noise = [
        {"of": "rows", "mechanism": "discrete Gaussian", "standard_deviation": 15.9, "share": 0.5},
        {"of": "which groups there are", "mechanism": "weighted Gaussian", "share": 0.5},
    ]
    return make.release(
        "cities",
        table={"city": ["Ely", "York"], **make.column("n", [120.0, 60.0], 30.0)},
        accuracy={"n": {"level": 0.95}},
        facts=sql_facts(("n", "COUNT(*)", "rows"), keys={"city": None}, noise=noise, bounds=(2, 3)),
        unit=PrivacyUnit(column="id", max_groups=2, max_rows=3),
    )


def test_groups_that_a_selection_found(make, cities):
    report = make.report([cities])
    shown = report.facts["releases"][0]
    assert shown["sentence"] == "The number of rows, for each “city”."
    assert "a person who belongs to more than 2 groups counts in 2 only" in shown["limits"]
    assert shown["noise"][1] == "which groups there are: weighted Gaussian"
    found = "Which groups are shown was found by chance: groups of few people are left out, unnamed."
    assert shown["chance_plainly"] == [found]
    assert shown["noise_plainly"] == ["the number of rows: typically ±15.9"]
    for text in (report.html("policy"), report.markdown("policy")):
        assert found in text
    assert "which groups there are" in report.html("engineer")


def test_one_group_only_of_unknown_many(make, cities):
    cities.facts["bounds"]["max_groups"] = 1
    limits = make.report([cities]).facts["releases"][0]["limits"]
    assert "a person counts in one group only, even if they belong to several," in limits


def test_a_joined_question_names_its_tables(make):
    item = make.release(
        "prices",
        table={"ward": ["A", "B"], **make.column("price", [20.0, 21.0], 3.0)},
        accuracy={"price": {"level": 0.95}},
        facts=sql_facts(
            ("price", "AVG(l.price)", "clamped sum of l.price around 25"), keys={"v.ward": 2}, bounds=(2, 4)
        ),
        provenance={
            "table": "patients",
            "version": "lines=1;visits=7",
            "domain": {"age": {"type": "integer", "low": 0, "high": 100}, "both": {"low": 0, "high": 1}},
            "tables": {
                "lines": {
                    "domain": {"price": {"type": "float", "low": 0.0, "high": 50.0}, "both": {"low": 0, "high": 9}}
                },
                "visits": {"domain": {"ward": {"type": "text"}}},
            },
        },
        unit=PrivacyUnit(column="id", max_groups=2, max_rows=4),
    )
    report = make.report([item])
    shown = report.facts["releases"][0]
    assert shown["source"] == "patients, lines, visits"
    assert shown["sentence"] == "The mean of “price”, for each “ward”."
    assert shown["plainly"] == [
        "Values outside of what was set beforehand count as its nearest end: “price” from 0 to 50."
    ]
    assert "Tables with declared columns: patients, lines, visits." in str(report.registry())
    assert "patients, lines, visits, version lines=1;visits=7" in report.html("engineer")


def test_a_column_that_two_tables_declare_otherwise_has_no_bounds_here(make):
    item = make.release(
        facts=sql_facts(("people", "SUM(both)", "clamped sum of both")),
        unit=UNIT,
        provenance={
            "domain": {"both": {"low": 0, "high": 1}},
            "tables": {"b": {"domain": {"both": {"low": -5, "high": 9}}}},
        },
    )
    shown = make.report([item]).facts["releases"][0]
    assert shown["plainly"] == ["A person counts once, with the mean of their rows."]


def test_totals_and_numbers_before_agreement_are_no_keys(make):
    people = make.column("people", [30.0, 90.0], 6.0)
    item = make.release(
        table={"ward": ["A", None], "ward_total": [False, True], **people, "people_raw": [29.0, 91.0]},
        facts=sql_facts(
            ("people", "COUNT(*)", "rows"), keys={"ward": 3}, sql="SELECT … GROUP BY GROUPING SETS ((ward), ())"
        ),
    )
    shown = make.report([item]).facts["releases"][0]
    assert shown["table"]["keys"] == ["ward"]
    assert [row["keys"] for row in shown["table"]["rows"]] == [["A"], ["(all)"]]
    assert [column["name"] for column in shown["table"]["columns"]] == ["people"]
    assert shown["sentence"].endswith("for each “ward”.")


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("rows", "the number of people"),
        ("persons", "the number of people"),
        ("rows, by ward", "the number of people, by ward"),
        ("rows, in total", "the number of people, in total"),
        ("different values of v.city", "the number of different values of “city”"),
        ("readable values of l.price", "the number of people with a value of “price”"),
        ("clamped sum of l.price around -2.5", "the total of “price”, counted from -2.5"),
        ("clamped sum of l.price around 25, by ward", "the total of “price”, counted from 25, by ward"),
        ("something else", "something else"),
    ],
)
def test_each_part_in_plain_words(make, label, text):
    noise = [{"of": label, "mechanism": "discrete Gaussian", "standard_deviation": 2.0}]
    item = make.release(facts=sql_facts(("people", "COUNT(*)", label), noise=noise), unit=UNIT)
    assert make.report([item]).facts["releases"][0]["noise_plainly"] == [f"{text}: typically ±2"]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("COUNT(DISTINCT x)", "Counts can be too low: "),
        ("AVG(x)", "Means can be off: "),
        ("QUANTILE(x, 0.5)", "Quantiles can be off: "),
        ("(COUNT(*) + SUM(x))", "Counts and totals can be too low: "),
        ("(AVG(x) + STDDEV_POP(x))", "Means and standard deviations can be off: "),
        ("MODE(x)", "Most frequent values can be off: "),
    ],
)
def test_what_bounds_may_have_cut_off(make, expression, said):
    item = make.release(
        facts=sql_facts(("people", expression, "rows"), keys={"ward": 9}, bounds=(2, 3)),
        provenance={"domain": {"x": {"type": "integer", "low": 0, "high": 9}}},
        unit=PrivacyUnit(column="id", max_groups=2, max_rows=3),
    )
    assert make.report([item]).facts["releases"][0]["limits"].startswith(said)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("COUNT(*)", "A person counts once."),
        ("AVG(x)", "A person counts once, with the mean of their rows."),
        ("QUANTILE(x, 0.5)", "A person counts once, with the weight of one row for all of theirs."),
    ],
)
def test_several_rows_of_one_who_counts_once(make, expression, said):
    item = make.release(facts=sql_facts(("people", expression, "rows")), unit=UNIT)
    assert make.report([item]).facts["releases"][0]["plainly"] == [said]
