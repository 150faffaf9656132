"""A report on real releases: ask, charge, write, explain; then trace each number back to its file."""

import hashlib
import json
import re
from html import unescape

import pyarrow
import pyarrow.parquet
import pytest

from discreet import sql
from discreet.dataset import Dataset
from discreet.domains import Domain
from discreet.explain import explain
from discreet.ledger import Ledger, OwnerKey
from discreet.units import PrivacyUnit

UNIT = PrivacyUnit(column="id", max_groups=1, max_rows=2)
NUMBER = re.compile(
    r'<span data-file="([^"]*)" data-row="(\d+)" data-column="([^"]*)" data-value="([^"]*)"[^>]*>([^<]*)</span>'
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    rows = [{"id": i, "ward": "ABC"[i % 3], "cost": float(i % 90), "age": 20 + i % 60} for i in range(3000)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "visits.parquet")
    owner = OwnerKey.create(folder / "owner.key")
    ledger = Ledger(folder / "ledger.db")
    ledger.open("patients", unit=UNIT, measure="zcdp", epsilon=2.0, delta=1e-6, owner=owner)
    ledger.share("patients", "bo", epsilon=1.0, owner=owner)
    return folder, ledger, owner


def ask(place, name, text, *, analyst=None):
    folder, ledger, _ = place
    visits = Dataset(
        folder / "visits.parquet",
        name="visits",
        version="1",
        unit=UNIT,
        domain=Domain(id="integer", ward=["A", "B", "C", "<b>D</b>"], cost=(0.0, 100.0), age=(18, 100)),
        ledger=ledger,
        population="patients",
        releases=folder / "releases",
        analyst=analyst,
    )
    return sql.query(visits, text, epsilon=0.4, delta=1e-7, name=name, purpose="a <script>purpose</script>")


@pytest.fixture(scope="module")
def report(place):
    _, ledger, owner = place
    releases = [
        ask(place, "people", "SELECT COUNT(*) AS n FROM visits"),
        ask(place, "by_ward", "SELECT ward, COUNT(*) AS n, AVG(cost) AS cost FROM visits GROUP BY ward", analyst="bo"),
    ]
    ledger.raise_budget("patients", epsilon=3.0, owner=owner)
    releases.append(ask(place, "ratio", "SELECT SUM(cost) / COUNT(*) AS ratio FROM visits WHERE age > 30"))
    return explain(releases, account=ledger.account("patients"), entries=ledger.entries("patients"))


def test_every_number_is_in_its_release_file(place, report):
    folder, _, _ = place
    found = NUMBER.findall(report.html())
    assert len(found) == 3 * (1 + 2 * 4 + 1)  # values and both ends of their intervals
    for file, row, column, value, shown in found:
        exact = pyarrow.parquet.read_table(folder / file).column(unescape(column))[int(row)].as_py()
        assert float(value) == float(exact)
        decimals = len(shown.partition(".")[2])
        assert abs(float(shown.replace(",", "").replace("−", "-")) - float(exact)) <= 0.5 * 10**-decimals + 1e-9


def test_every_hash_is_that_of_its_file_and_in_the_ledger(place, report):
    folder, ledger, _ = place
    digests = {entry.digest for entry in ledger.entries("patients") if entry.kind == "release"}
    page = report.html("engineer")
    for release in report.facts["releases"]:
        held = hashlib.sha256((folder / release["folder"] / "release.json").read_bytes()).hexdigest()
        assert release["digest"] == held
        assert held in digests
        assert held in page
    assert ledger.verify().heads["patients"] == report.facts["account"]["head"]
    assert report.facts["account"]["head"] in page


def test_the_bar_is_the_ledgers(place, report):
    _, ledger, _ = place
    account = ledger.account("patients")
    assert report.facts["budget"]["loss"] == account.spent.loss
    assert report.facts["budget"]["capacity"] == account.capacity.loss
    assert report.facts["history"]["filter"] == pytest.approx(ledger.spent("patients").epsilon)
    assert [part["analyst"] for part in report.facts["budget"]["parts"]] == [None, "bo", None]
    (row,) = report.facts["budget"]["analysts"]
    assert row["of_own"] == pytest.approx(account.shares["bo"].spent.loss / account.shares["bo"].capacity.loss)


def test_the_raise_is_told(report):
    assert report.facts["account"]["chosen_after"] is True
    assert (report.facts["account"]["opened_epsilon"], report.facts["account"]["epsilon"]) == (2.0, 3.0)
    assert "chosen after release" in report.html("policy")


def test_the_history_is_a_tighter_estimate(report):
    history = report.facts["history"]
    assert history["label"] == "estimate"
    assert 0 < history["epsilon"] <= history["filter"] <= 3.0


def test_words_for_what_was_asked(report):
    told = [release["sentence"] for release in report.facts["releases"]]
    assert told[0] == "The number of rows."
    assert told[1] == "“n” is the number of rows and “cost” is the mean of “cost”, for each “ward”."
    assert told[2].startswith("The total of “cost” ÷ the number of rows, only where ")


def test_stored_releases_make_the_same_report(place, report):
    from discreet.release import Release

    folder, ledger, _ = place
    stored = [Release.read(folder / release["folder"]) for release in report.facts["releases"]]
    again = explain(stored, account=ledger.account("patients"), entries=ledger.entries("patients"))
    assert again.html() == report.html()
    assert again.registry(3) == report.registry(3)


def test_untrusted_text_from_the_ledger_and_the_domain_stays_text(report):
    page = report.html()
    assert "<b>D" not in page
    assert "<script>purpose" not in page
    assert "&lt;b&gt;D" in page
    assert len(page) < 3_000_000
    assert json.dumps(report.facts)
