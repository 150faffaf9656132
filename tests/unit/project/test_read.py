"""discreet.toml: what is read, and that the reference lists exactly the keys that are known."""

import re
from fractions import Fraction

import pytest

from discreet.accounting import Measure
from discreet.domains import Column
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.project import Project, read
from tests.clinic import TOML
from tests.docs.pages import DOCS

PAGE = (DOCS / "reference" / "toml.md").read_text(encoding="utf-8")
RELEASE = '\n[[release]]\nname = "extra"\nsql = "SELECT COUNT(*) AS n FROM visits"\nepsilon = 0.1\n'


def documented(section):
    """Return the keys in the table of a section of the reference."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


@pytest.fixture
def write(tmp_path):
    def made(text=TOML):
        (tmp_path / "discreet.toml").write_text(text)
        return read(tmp_path)

    return made


@pytest.mark.parametrize(
    ("section", "header"),
    [
        ("[project]", "[project]\n"),
        ("[ledger]", "[ledger]\n"),
        ("[population.NAME]", "[population.people]\n"),
        ("[table.NAME]", "[table.visits]\n"),
        ("[[release]]", "[[release]]\n"),
    ],
)
def test_the_reference_lists_the_known_keys(write, section, header):
    with pytest.raises(InvalidInput) as error:
        write(TOML.replace(header, f"{header}qqqq = 1\n", 1))
    known = set(error.value.remedy.removeprefix("Known: ").rstrip(".").split(", "))
    assert documented(section) == known - {"columns"}  # [table.NAME.columns] has a section of its own


def test_the_reference_lists_the_facts_of_a_column():
    assert documented("[table.NAME.columns]") == set(Column("integer").to_dict())


def test_what_is_read(write, tmp_path):
    settings = write()
    assert settings.folder == tmp_path
    assert settings.ledger == str(tmp_path / "ledger.db")
    assert settings.about == {"name": "Clinic"}
    people = settings.populations["people"]
    assert (people.epsilon, people.delta, people.measure) == (2.0, 1e-6, Measure.parse("zcdp"))
    assert people.unit.relation is Relation.ADD_REMOVE
    visits = settings.tables["visits"]
    assert visits.source == tmp_path / "visits.parquet"
    assert (visits.unit.column, visits.unit.max_groups, visits.unit.max_rows) == ("id", 2, 2)
    assert visits.domain["ward"].keys == ("A", "B")
    assert [release.name for release in settings.releases] == ["people", "by_ward", "ages"]
    assert settings.releases[0].guess == {"n": 60.0}
    assert [release.attempt for release in settings.releases] == [1, 1, 1]


def test_whole_numbers_may_stand_for_numbers(write):
    assert write(TOML.replace("epsilon = 2.0", "epsilon = 2")).populations["people"].epsilon == 2.0


def test_the_bounds_of_a_table_are_its_own(write):
    """The population's bounds are what a table has unless it says otherwise; who is protected stays the same."""
    settings = write(TOML.replace('column = "id"', 'column = "id"\nmax_rows = 7').replace("max_rows = 2\n", ""))
    visits, people = settings.tables["visits"], settings.populations["people"]
    assert (visits.unit.max_groups, visits.unit.max_rows) == (2, 7)
    assert visits.unit.protects == people.unit.protects


def test_resolution_is_exact(write):
    settings = write(TOML.replace("high = 500.0", "high = 500.0, resolution = 0.1"))
    assert settings.tables["visits"].domain["cost"].resolution == Fraction(1, 10)


def test_the_ledger_may_be_named_by_the_environment(write, monkeypatch):
    monkeypatch.setenv("CLINIC_LEDGER", "postgresql://example/ledger")
    assert write(TOML.replace('url = "ledger.db"', 'url_env = "CLINIC_LEDGER"')).ledger == "postgresql://example/ledger"


def test_a_measure_of_one_renyi_order(write):
    for text, measure in (("renyi", Measure.renyi_for(2.0, 1e-6)), ("renyi(12.5)", Measure.parse("renyi(12.5)"))):
        assert write(TOML.replace('"zcdp"', f'"{text}"')).populations["people"].measure == measure


def test_an_error_names_its_release(write):
    with pytest.raises(InvalidInput, match=r"discreet\.toml: \[\[release\]\] extra: attempt must be a whole number"):
        write(TOML + RELEASE + "attempt = 1.5\n")


def test_reading_touches_nothing(write, tmp_path):
    write()
    Project.read(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["discreet.toml"]


def test_a_file_and_its_folder_are_one_project(write, tmp_path):
    assert write() == read(tmp_path / "discreet.toml")
