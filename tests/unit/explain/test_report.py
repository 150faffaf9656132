"""The report as a whole: one file, every number traceable, untrusted text harmless, same in same out."""

import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pyarrow.parquet
import pytest

from discreet.errors import InvalidInput
from discreet.explain import explain

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
        "try:\n    pages._environment(escape=True); svg.figure(1, 1)\n"
        "except MissingExtra as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 'pip install "discreet[report]"' in done.stdout
    assert package in done.stdout


def test_importing_explain_is_light():
    script = "import discreet.explain, sys; print({'jinja2', 'matplotlib', 'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
