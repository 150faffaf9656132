"""The report as a whole: one file, every number traceable, untrusted text harmless, same in same out."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import pyarrow.parquet
import pytest

from discreet.errors import InvalidInput
from discreet.explain import charts, explain
from discreet.ledger import Raise
from discreet.units import PrivacyUnit

AUDIENCES = ("person", "policy", "engineer")
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.numbers, self._open = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open = dict(attributes) if "data-value" in dict(attributes) else None

    def handle_data(self, data):
        self.text.append(data)
        if self._open is not None:
            self.numbers.append((self._open, data))
            self._open = None


def outside(page):
    """Return everything in the page that would be fetched from somewhere else."""
    links = [
        (tag, name, value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "background"}
        and not (value or "").startswith("#")
    ]
    return links + [tag for tag, _ in page.tags if tag in {"link", "img", "iframe", "object", "embed", "base", "form"}]


@pytest.mark.parametrize("audience", [None, *AUDIENCES])
def test_one_file_without_external_references(make, audience):
    text = make.report().html(audience)
    assert outside(Page(text)) == []
    assert not re.search(r"url\((?!#)|@import|https?://|//[a-z]+\.", text)
    assert text.count("<script") == (1 if audience is None else 0)


def test_the_test_above_can_fail():
    bad = Page('<a href="http://x"></a><img src="y.png"><svg><use href="#ok"/></svg>')
    assert len(outside(bad)) == 3


def test_every_shown_number_stands_in_the_parquet_file_that_it_names(make, tmp_path):
    releases = [
        make.release(),
        make.release("means", number=2, table=make.column("mean", [29.876543, -0.0123], 0.0456), accuracy={"mean": {}}),
    ]
    for item in releases:
        item.write(tmp_path / "releases" / item.name / item.entry["request"])
    numbers = Page(make.report(releases).html()).numbers
    assert len(numbers) == 4 * 3  # each value with both ends of its interval
    for place, shown in numbers:
        table = pyarrow.parquet.read_table(tmp_path / place["data-file"])
        exact = table.column(place["data-column"])[int(place["data-row"])].as_py()
        assert float(place["data-value"]) == exact
        decimals = len(shown.partition(".")[2])
        assert float(shown.replace(",", "").replace("−", "-")) == pytest.approx(exact, abs=0.5 * 10**-decimals + 1e-12)


def test_shown_digits_follow_the_error(make):
    report = make.report([make.release(table=make.column("mean", [29.876543], 0.0456), accuracy={"mean": {}})])
    cell = report.facts["releases"][0]["table"]["rows"][0]["cells"][0]
    assert (cell["text"], cell["low_text"], cell["high_text"]) == ("29.877", "29.831", "29.922")


def test_markdown_shows_the_same_numbers(make):
    report = make.report()
    for audience in AUDIENCES:
        assert "| A | 1,234 | 1,206 to 1,262 |" in report.markdown(audience)


def test_untrusted_text_stays_text(make):
    table = {EVIL: [EVIL, "a|b`$\\x$ _c_"], **make.column("people", [5.0, 6.0], 1.0)}
    facts = {"title": EVIL, "sentence": EVIL, "sql": f"SELECT '{EVIL}' ```", "notes": [EVIL], "extra": {"k": EVIL}}
    item = make.release(table=table, facts=facts)
    entries = make.charged(item)
    entries[1].who = entries[1].purpose = EVIL
    report = make.report([item], entries=entries, project={"name": EVIL, "description": EVIL, "curator": EVIL})
    page = report.html()
    assert EVIL not in page
    assert sum(tag == "script" for tag, _ in Page(page).tags) == 1
    assert "&lt;script&gt;alert(1)" in page
    for audience in AUDIENCES:
        text = report.markdown(audience)
        outside_code = re.sub(r"(`{3,}).*?\1", "", text, flags=re.DOTALL)
        assert "<script" not in outside_code
        assert "a\\|b" in text


def test_keys_that_no_layout_survives_are_replaced(make):
    table = {"key": ["\x00\x1b[31m", "\u202egnp"], **make.column("people", [5.0, 6.0], 1.0)}
    page = make.report([make.release(table=table)]).html()
    assert not re.search("[\x00\x1b\u202e]", page)


def test_same_inputs_same_bytes(make):
    first, second = make.report(), make.report()
    assert first.html() == second.html()
    assert first.facts == second.facts
    assert json.dumps(first.facts)  # plain data


def test_another_process_makes_the_same_bytes(make, tmp_path):
    report = make.report()
    (tmp_path / "facts.json").write_text(json.dumps(report.facts))
    script = (
        "import json, sys; from discreet.explain import Report;"
        "sys.stdout.write(Report(json.load(open(sys.argv[1]))).html())"
    )
    made = subprocess.run([sys.executable, "-c", script, tmp_path / "facts.json"], capture_output=True, check=True)
    assert made.stdout.decode() == report.html()


def test_making_a_page_changes_no_fact(make):
    report = make.report()
    before = json.dumps(report.facts)
    report.html(), report.markdown("policy"), report.registry(3)
    assert json.dumps(report.facts) == before


def test_a_report_is_frozen(make):
    with pytest.raises(dataclasses.FrozenInstanceError):
        make.report().facts = {}


def test_ids_are_unique_and_every_link_has_its_target(make):
    page = Page(make.report([make.release(), make.release("other", number=2)]).html())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for _, attributes in page.tags if "href" in attributes}
    assert links <= set(ids)


def test_each_audience_has_its_own_words(make):
    report = make.report()
    person, policy, engineer = (report.html(audience) for audience in AUDIENCES)
    assert "Could someone find out that I am in here?" in person
    assert "What the choice of ε means" in policy
    assert "discrete_gaussian" in engineer
    assert "discrete_gaussian" not in person
    assert "Could someone find out" not in policy
    everything = report.html()
    assert "Could someone find out" in everything
    assert "discrete_gaussian" in everything


def test_the_page_for_all_can_be_read_without_scripts(make):
    sections = [attributes for tag, attributes in Page(make.report().html()).tags if tag == "section"]
    assert sections
    assert not any("hidden" in attributes for attributes in sections)


def test_charts_say_what_they_show(make):
    page = Page(make.report().html())
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(charts) == 4  # beliefs, rates, budget, one release
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert all(set(chart["aria-labelledby"].split()) <= ids for chart in charts)


def test_no_release_yet(make):
    report = make.report([])
    assert "Nothing has been released yet." in report.html()
    assert report.facts["history"]["filter"] == 0
    for audience in AUDIENCES:
        assert "Nothing has been released yet." in report.markdown(audience)


def test_a_charge_without_a_recorded_answer_is_not_called_nothing(make):
    item = make.release()
    report = make.report([], entries=make.charged(item)[:2])
    for text in (report.html(), *(report.markdown(audience) for audience in AUDIENCES)):
        assert "Nothing has been released yet." not in text
        assert "the ledger holds 1 charge: the rows may have been read" in text


@pytest.mark.parametrize("given", [0, 1])
def test_released_answers_that_are_not_here_are_told_to_everybody(make, given):
    """The ledger is the authority on what was published; the folder only holds what is shown."""
    items = [make.release(), make.release("other", number=2)]
    entries = make.charged(*items)
    entries[3].purpose = "Who came twice"
    report = make.report(items[:given], entries=entries)
    assert report.facts["published"] == 2
    missing = 2 - given
    for text in (*(report.html(audience) for audience in AUDIENCES), *(report.markdown(item) for item in AUDIENCES)):
        assert (
            f"{missing} released answer{'s' if missing > 1 else ''} {'are' if missing > 1 else 'is'} recorded" in text
        )
        assert "Who came twice" in text
        assert "Nothing has been" not in text
        assert "2 releases" in text
    assert report.facts["history"] == make.report(items, entries=entries).facts["history"]
    assert report.facts["attacker"] == make.report(items, entries=entries).facts["attacker"]


def test_the_promise_stands_in_every_report(make):
    report = make.report()
    for text in (*(report.html(audience) for audience in AUDIENCES), *(report.markdown(item) for item in AUDIENCES)):
        assert "docs/promise.md" in text
        assert "docs/known-holes.md" in text
        assert "ε = 2 and δ = 1e-06" in text
    raised = make.report(epsilon=2.0, opened_epsilon=1.0, raises=(Raise(2.0, "2026-02-01T00:00:00Z", 1),))
    assert "What is promised: everything" not in raised.html()
    assert "What is promised: everything" not in make.report(epsilon=math.inf).html()


def sql_release(make, *, unit, expressions=("COUNT(*)",), keys=None, bounds=None, domain=None):
    """Return a release as SQL leaves it, with the bounds that it was made with."""
    names = [f"c{place}" for place, _ in enumerate(expressions)]
    table = {"ward": ["A", "B"]}
    for name in names:
        table |= make.column(name, [1000.0, 1100.0], 20.0)
    facts = {
        "kind": "sql",
        "sql": "SELECT …",
        "columns": [{"name": name, "expression": text} for name, text in zip(names, expressions, strict=True)],
        "keys": {"ward": 10} if keys is None else keys,
        "bounds": {"max_groups": unit.max_groups, "max_rows": unit.max_rows} if bounds is None else bounds,
        "notes": ["HAVING acts on released values."],
        "noise": [{"of": "clamped sum of x around 36", "mechanism": "discrete Gaussian", "standard_deviation": 443.6}],
    }
    provenance = {"domain": domain or {"x": {"low": 0, "high": 72.5}}}
    return make.release(
        unit=unit, table=table, facts=facts, provenance=provenance, accuracy={name: {"level": 0.95} for name in names}
    )


@pytest.mark.parametrize(
    ("groups", "rows", "expressions", "low", "told"),
    [
        (4, 1, ["COUNT(*)"], 0, "Counts can be too low: a person who belongs to more than 4 of the 10 groups counts in 4"),
        (1, 1, ["COUNT(*)"], 0, "a person counts in one group only, even if they belong to several of the 10"),
        (10, 20, ["SUM(x)"], 0, "Totals can be too low: a person with more than 20 rows in a group counts like one with 20"),
        (10, 20, ["SUM(x)"], -5, "Totals can be off: a person with more than 20 rows"),
        (10, 1, ["SUM(x)"], 0, "Totals can be too low: a person with several rows in a group adds the mean of them only"),
        (10, 20, ["AVG(x)"], 0, "Means can be off: a person with more than 20 rows"),
        (4, 20, ["COUNT(*)", "AVG(x)"], 0, "Counts can be too low, means can be off: a person who belongs"),
    ],
)  # fmt: skip
def test_what_bounds_may_cut_off_stands_above_the_table(make, groups, rows, expressions, low, told):
    unit = PrivacyUnit(column="id", max_groups=groups, max_rows=rows)
    report = make.report([sql_release(make, unit=unit, expressions=expressions, domain={"x": {"low": low, "high": 9}})])
    for audience in AUDIENCES:
        page, text = report.html(audience), report.markdown(audience)
        for whole, table in ((page, '<table class="released">'), (text, "| A |")):
            assert told in whole
            assert whole.index(told) < whole.index(table)
            assert "the intervals do not cover it" in whole


def test_bounds_that_cannot_cut_anything_off_are_not_warned_of(make):
    """As many groups as there are, and one row of each person: a count of people is what it says."""
    unit = PrivacyUnit(column="id", max_groups=10, max_rows=1)
    report = make.report([sql_release(make, unit=unit)])
    assert report.facts["releases"][0]["limits"] is None
    assert "Beyond the noise" not in report.html()
    assert "A person counts once in each group." in report.html("person")
    promised = PrivacyUnit(max_rows=4)
    assert make.report([sql_release(make, unit=promised)], unit=promised).facts["releases"][0]["limits"] is None


def test_a_release_is_told_its_own_bounds_not_its_tables(make):
    unit = PrivacyUnit(column="id", max_groups=4, max_rows=20)
    item = sql_release(make, unit=unit, keys={}, bounds={"max_groups": 1, "max_rows": 20})
    page = make.report([item]).html("engineer")
    assert "One person counts with at most 20 rows;" in page
    assert "4 groups" not in page
    assert "in a group" not in page


def test_each_audience_has_the_notes_it_can_read(make):
    item = sql_release(make, unit=PrivacyUnit(column="id", max_groups=10), expressions=["AVG(x)"])
    report = make.report([item])
    for audience in ("person", "policy"):
        for text in (report.html(audience), report.markdown(audience)):
            assert "HAVING" not in text
            assert "clamped" not in text
            assert "count as its nearest end: “x” from 0 to 72.5." in text
    assert "the total of “x”, counted from 36: typically ±444" in report.html("policy")
    for text in (report.html("engineer"), report.markdown("engineer")):
        assert "HAVING acts on released values." in text
        assert "clamped sum of x around 36: discrete Gaussian noise" in text


def test_one_row_has_no_picture(make):
    report = make.report([make.release(table=make.column("people", [3.0], 1.0))])
    assert "chart-r1" not in report.html()


def test_counts_are_drawn_from_zero_and_means_where_they_differ(make):
    unit = PrivacyUnit(column="id", max_groups=10)
    table = make.report([sql_release(make, unit=unit, expressions=["COUNT(*)", "AVG(x)"])]).facts["releases"][0][
        "table"
    ]
    assert [column["from_zero"] for column in table["columns"]] == [True, False]
    counts, means = charts.values("c", "t", table)
    assert ">0<" in counts
    assert ">0<" not in means


def test_one_release_may_come_alone(make):
    item = make.release()
    one = explain(item, account=make.account(), entries=make.charged(item))
    assert one.facts == make.report([item]).facts


def test_an_empty_table_and_missing_numbers(make):
    empty = make.release(table={"ward": [], **make.column("people", [], 1.0)})
    gaps = make.release(
        "gaps", number=2, table={"people": [None, 3.0], "people_low": [None, 1.0], "people_high": [None, 5.0]}
    )
    page = make.report([empty, gaps]).html()
    assert "The released table has no rows." in page
    assert "–" in page


def test_a_value_without_any_accuracy_says_so(make):
    page = make.report([make.release(table={"n": [3.0]}, accuracy={})]).html()
    assert "no interval" in page


def test_a_long_table_is_folded_and_its_chart_says_so(make):
    table = {"key": [f"k{i}" for i in range(100)], **make.column("people", [float(i) for i in range(100)], 3.0)}
    page = make.report([make.release(table=table)]).html()
    assert "The table (100 rows)" in page
    assert "The first 80 of 100 rows" in page


def test_a_release_of_another_population_is_refused(make):
    entry = {"population": "staff", "sequence": 2, "hash": "0", "request": "1"}
    with pytest.raises(InvalidInput, match="charged to 'staff', not to 'patients'"):
        make.report([make.release(entry=entry)], entries=[])


@pytest.mark.parametrize("audience", ["data subject", "", "Person"])
def test_an_unknown_audience_is_refused(make, audience):
    with pytest.raises(InvalidInput, match="person, policy, engineer"):
        make.report().html(audience)
    with pytest.raises(InvalidInput, match="person, policy, engineer"):
        make.report().markdown(audience)


def test_a_release_made_with_fixed_randomness_is_not_for_publication(make):
    provenance = {"test": "made with fixed randomness; it protects nobody"}
    report = make.report([make.release(provenance=provenance)])
    assert "Not for publication" in report.html("person")
    assert "Not for publication" in report.markdown("person")


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_extra_says_what_to_type(package):
    script = (
        f"import sys; sys.modules[{package!r}] = None; sys.modules[{package + '.figure'!r}] = None\n"
        "from discreet.explain import pages, svg\nfrom discreet.errors import MissingExtra\n"
        "try:\n    pages.environment(escape=True); svg.figure(1, 1)\n"
        "except MissingExtra as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 'pip install "discreet[report]"' in done.stdout
    assert package in done.stdout


def test_importing_explain_is_light():
    script = "import discreet.explain, sys; print({'jinja2', 'matplotlib', 'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
