"""[table.NAME] and [view.NAME]: whose rows are, what is public, and what contradicts itself."""

import datetime

import pytest

from discreet.errors import InvalidInput
from discreet.project import read
from tests.wards import TOML

ROW_UNITS = TOML.replace('column = "id"\n', "").replace("max_groups = ", "#").replace("max_rows = ", "#")


@pytest.fixture
def write(tmp_path):
    def made(*changes):
        text = TOML
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        (tmp_path / "discreet.toml").write_text(text)
        return read(tmp_path)

    return made


def test_what_is_read(write):
    tables = write().tables
    assert {name: (table.person, table.via, table.public) for name, table in tables.items()} == {
        "patients": ("id", None, False),
        "visits": ("patient", None, False),
        "lines": (None, ("visit", "visits", "visit"), False),
        "wards": (None, None, True),
    }
    assert (tables["wards"].population, tables["wards"].unit) == (None, None)
    assert [tables[name].unit.max_rows for name in ("patients", "visits", "lines")] == [1, 3, 4]
    assert {tables[name].unit.column for name in ("patients", "visits", "lines")} == {"id"}


def test_bounds_of_dates_are_dates(write):
    born = write().tables["patients"].domain["born"]
    assert (born.low, born.high) == (datetime.date(1920, 1, 1), datetime.date(2024, 12, 31))


def test_views(write):
    view = write().views["stays"]
    assert (view.name, view.population) == ("stays", "people")
    assert view.sql.startswith("SELECT v.patient")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("low = 1920-01-01", "low = 1920-01-01T00:00:00"), "column 'born': low of a date column must be a date"),
        (("low = 1920-01-01", "low = 1920"), "column 'born': low of a date column must be a date"),
        (("low = 0, high = 100", "low = 1920-01-01, high = 2000-01-01"), "column 'age': low must be a finite number"),
        (('person = "patient"', 'person = "pateint"'), "person is 'pateint', which is no column of this table. Did you"),
        (('person = "patient"\n', ""), r"column of \[population.people\] is 'id', which is no column of this table"),
        (("via = {", 'person = "visit"\nvia = {'), "person and via stand side by side"),
        (('column = "visit", table', 'column = "visits", table'), "via: column is 'visits', which is no column"),
        (('key = "visit" }', 'kye = "visit" }'), "via: unknown key 'kye'"),
        (('table = "visits", key', 'table = "vists", key'), "via names the table 'vists', which is not declared. Did"),
        (('table = "visits", key', 'table = "wards", key'), "via leads to 'wards', which is public"),
        (('key = "visit" }', 'key = "id" }'), "via leads to visits.id, which is no column there"),
        (('key = "visit" }', 'key = "ward" }'), "'visit', declared as integer, with visits.ward, declared as text"),
        (('table = "visits", key = "visit"', 'table = "lines", key = "visit"'), "go round in a circle"),
        (("public = true", 'public = true\npopulation = "people"'), "population stands beside public = true"),
        (("public = true", "public = true\nmax_rows = 1"), "max_rows stands beside public = true"),
        (("public = true", "public = false"), "population is missing"),
        (("public = true", 'public = "yes"'), "public must be true or false"),
        (("[view.stays]", "[view.Lines]"), r"\[table.lines\] and \[view.Lines\] have one name"),
        (('ward = w.name"\npopulation = "people"', 'ward = w.name"\npopulation = "staff"'), "names 'staff', which is not"),
        (('ward = w.name"\n', 'ward = w.name"\nepsilon = 1\n'), "unknown key 'epsilon'"),
    ],
)  # fmt: skip
def test_contradictions_name_their_place(write, change, message):
    with pytest.raises(InvalidInput, match=message) as error:
        write(change)
    section = error.value.what.partition("discreet.toml: ")[2]
    assert section.startswith(("[table.", "[view."))
    assert error.value.remedy


def test_links_go_round_in_no_circle(write):
    """Of two tables, each would say that its rows are the other's people's."""
    with pytest.raises(InvalidInput, match="visits → lines → visits go round in a circle"):
        write(('person = "patient"', 'via = { column = "visit", table = "lines", key = "visit" }'))


def test_a_population_has_a_table_with_its_column(write):
    with pytest.raises(InvalidInput, match=r"\[population.people\]: no table of it has its column 'nobody'"):
        write(('column = "id"', 'column = "nobody"'), ("[table.patients]", '[table.patients]\nperson = "id"'))


def test_a_link_to_another_population_is_refused(write):
    staff = '[population.staff]\ncolumn = "visit"\nmeasure = "zcdp"\nepsilon = 1.0\ndelta = 1e-6\n\n[table.patients]'
    moved = ('version = "7"\npopulation = "people"\nperson = "patient"', 'version = "7"\npopulation = "staff"')
    with pytest.raises(InvalidInput, match="via leads to 'visits', which is of population 'staff'"):
        write(("[table.patients]", staff), moved)


@pytest.mark.parametrize("key", ['person = "age"', 'via = { column = "age", table = "patients", key = "age" }'])
def test_where_one_row_is_one_unit_nobody_owns_it(tmp_path, key):
    text = ROW_UNITS.partition("[table.visits]")[0].replace("[table.patients]", f"[table.patients]\n{key}")
    (tmp_path / "discreet.toml").write_text(text)
    with pytest.raises(InvalidInput, match="says whose a row is, but in population 'people' one row is one unit"):
        read(tmp_path)


def test_every_period_is_declared(write):
    with pytest.raises(InvalidInput, match=r"per of \[population.people\] is 'born', which is no column of this table"):
        write(('column = "id"', 'column = "id"\nper = "born"'))
