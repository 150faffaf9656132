"""What a question reads: tables beside each other, links, views, the version of all of them."""

import pytest

from discreet import sql
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.project import Project
from tests.clinic import clinic
from tests.wards import wards

STAFF = """
[population.staff]
column = "id"
measure = "zcdp"
epsilon = 1.0
delta = 1e-6

[table.shifts]
source = "shifts.parquet"
version = "1"
population = "staff"

[table.shifts.columns]
id = { type = "integer" }

[view.nights]
sql = "SELECT id FROM shifts"
population = "staff"
"""
N = "SELECT COUNT(*) AS n FROM "


@pytest.fixture
def place(tmp_path):
    return wards(tmp_path / "wards")


@pytest.fixture
def project(place):
    return Project.read(place.folder)


def reads(dataset):
    return dataset.name, dataset.version, sorted(dataset.tables), sorted(dataset.views)


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        ("patients", ("patients", "2024-06", [], [])),
        ("PATIENTS", ("patients", "2024-06", [], [])),
        ("visits", ("patients", "visits=7", ["visits"], [])),
        ("lines", ("patients", "lines=1;visits=7", ["lines", "visits"], [])),
        ("patients p JOIN visits v ON p.id = v.patient", ("patients", "patients=2024-06;visits=7", ["visits"], [])),
        ("visits v JOIN wards w ON v.ward = w.name", ("patients", "visits=7;wards=2023", ["visits", "wards"], [])),
        ("stays", ("patients", "visits=7;wards=2023", ["visits", "wards"], ["stays"])),
        ("(SELECT id FROM patients) x", ("patients", "2024-06", [], [])),
    ],
)
def test_a_question_reads_what_it_names_and_what_that_needs(project, tables, found):
    assert reads(project.dataset_of(N + tables)) == found


@pytest.mark.parametrize(
    ("tables", "bounds"),
    [
        ("patients", (1, 1)),
        ("lines", (3, 4)),
        ("visits", (2, 3)),
        ("lines l JOIN visits v ON l.visit = v.visit", (3, 4)),
        ("visits v JOIN lines l ON l.visit = v.visit", (2, 3)),
        ("wards w JOIN visits v ON v.ward = w.name", (2, 3)),
        ("(SELECT id FROM patients) p JOIN visits v ON p.id = v.patient", (2, 3)),
        ("stays", (2, 3)),
    ],
)
def test_the_bounds_are_those_of_the_first_table_of_people(project, tables, bounds):
    unit = project.dataset_of(N + tables).unit
    assert (unit.column, unit.max_groups, unit.max_rows) == ("id", *bounds)


def test_no_private_table_is_lent_as_public(project):
    """Without a person and without a link a table beside another is nobody's: only declared ones may be."""
    dataset = project.dataset("patients", "visits", "lines", "wards")
    assert {name: table.public for name, table in dataset.tables.items()} == {
        "visits": False, "lines": False, "wards": True,
    }  # fmt: skip
    assert dataset.tables["visits"].person == "patient"
    assert dataset.tables["lines"].via == ("visit", "visits", "visit")


@pytest.mark.parametrize("table", ["patients", "visits", "lines", "wards"])
def test_another_version_of_any_table_that_is_read_is_another_question(place, table):
    asked = N + "lines l JOIN visits v ON l.visit = v.visit JOIN wards w ON v.ward = w.name"

    def request():
        dataset = Project.read(place.folder).dataset_of(asked)
        return dataset.request(sql.plan(dataset, asked, epsilon=1.0, delta=1e-7), name="n")

    before = request()
    declared = place.toml.read_text().partition(f"[table.{table}]")[2].partition("version = ")[2].split("\n")[0]
    place.change(f'version = {declared}\n{"public" if table == "wards" else "population"}',
                 f'version = "next"\n{"public" if table == "wards" else "population"}')  # fmt: skip
    assert (request() == before) == (table == "patients"), "patients is not read"


def test_the_text_of_a_view_is_part_of_the_question(place):
    def request():
        dataset = Project.read(place.folder).dataset_of(N + "stays")
        return dataset.request(sql.plan(dataset, N + "stays", epsilon=1.0, delta=1e-7), name="n")

    before = request()
    place.change("JOIN wards w ON v.ward = w.name", "JOIN wards w ON v.ward = w.name WHERE w.kind = 'surgery'")
    assert request() != before


def test_what_is_not_read_is_no_part_of_the_question(place):
    """A table or a view that is declared later makes nothing new of what was answered."""
    steps = Project.read(place.folder).plan()
    text = place.toml.read_text().replace("[[release]]", f"{STAFF}\n[[release]]", 1)
    place.toml.write_text(text.replace("[view.nights]", '[view.more]\nsql = "SELECT id FROM patients"\n'
                                       'population = "people"\n\n[view.nights]'))  # fmt: skip
    assert [step.request for step in Project.read(place.folder).plan()] == [step.request for step in steps]


def test_questions_of_one_table_keep_their_ids(tmp_path):
    """Those of plans of version 2: what was answered under them is not charged for again."""
    steps = Project.read(clinic(tmp_path).folder).plan()
    assert [step.request for step in steps] == [
        "b6bc1c31e7ec6dec2c6855f622b20105",
        "73f6d362c44e22785a14920d89b8c33a",
        "78a877bdfc6c26dbe0e8ab9820ab8dd1",
    ]


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (("1", "2"), "lines=1;visits=2"),
        (("1;visits=2", "3"), "lines=1%3Bvisits%3D2;visits=3"),
        (("1", "2;visits=3"), "lines=1;visits=2%3Bvisits%3D3"),
        (("%3B", "1"), "lines=%253B;visits=1"),
    ],
)
def test_no_two_states_of_the_data_are_called_alike(place, versions, said):
    place.change('version = "7"', f'version = "{versions[1]}"')
    place.change('"lines.parquet"\nversion = "1"', f'"lines.parquet"\nversion = "{versions[0]}"')
    assert Project.read(place.folder).dataset_of(N + "lines").version == said


@pytest.mark.parametrize(
    ("tables", "error", "message"),
    [
        ("patients p JOIN shifts s ON p.id = s.id", UnsupportedQuery,
         "the query reads 'patients' of population 'people' and 'shifts' of 'staff': one question is charged to one"),
        ("stays a JOIN nights b ON a.patient = b.id", UnsupportedQuery, "'visits' of population 'people' and 'shifts' of"),
        ("wards", UnsupportedQuery, "public tables alone"),
        ("patient", InvalidInput, r"'patient', which is not a declared table. Did you mean 'patients'\?"),
        ("stay", InvalidInput, "Did you mean 'stays'"),
    ],
)  # fmt: skip
def test_refusals(place, tables, error, message):
    place.toml.write_text(place.toml.read_text().replace("[[release]]", f"{STAFF}\n[[release]]", 1))
    with pytest.raises(error, match=message) as refused:
        Project.read(place.folder).dataset_of(N + tables)
    assert refused.value.state == "Nothing was spent and no data was read."
    assert refused.value.remedy


def test_a_view_of_another_population_is_refused(place):
    """A view is of the population that it is declared for, whatever it reads."""
    place.toml.write_text(place.toml.read_text().replace("[[release]]", f"{STAFF}\n[[release]]", 1))
    place.change('ward = w.name"\npopulation = "people"', 'ward = w.name"\npopulation = "staff"')
    with pytest.raises(UnsupportedQuery, match="'visits' of population 'people' and 'stays' of 'staff'"):
        Project.read(place.folder).dataset_of(N + "stays")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT id FROM stays", r"\[view.stays\]: the view 'stays' reads itself"),
        ("SELECT id FROM patinets", r"\[view.stays\]: the query reads 'patinets', which is not a declared table"),
        ("DROP TABLE patients", r"\[view.stays\]: "),
    ],
)
def test_an_error_in_a_view_names_it(place, text, message):
    place.change("SELECT v.patient, w.kind FROM visits v JOIN wards w ON v.ward = w.name", text)
    with pytest.raises((InvalidInput, UnsupportedQuery), match=message):
        Project.read(place.folder).dataset_of(N + "stays")


def test_views_of_views(place):
    place.change(
        "[view.stays]", '[view.both]\nsql = "SELECT DISTINCT patient FROM stays"\npopulation = "people"\n\n[view.stays]'
    )
    dataset = Project.read(place.folder).dataset_of(N + "both")
    assert reads(dataset) == ("patients", "visits=7;wards=2023", ["visits", "wards"], ["both", "stays"])
    assert sql.plan(dataset, N + "both", epsilon=1.0, delta=1e-7).guarantee.epsilon <= 1.0


def test_where_one_row_is_one_unit_a_question_reads_one_table(tmp_path):
    place = clinic(tmp_path, opened=False)
    text = place.toml.read_text().replace('column = "id"\n', "").replace("max_groups = 2\nmax_rows = 2\n", "")
    public = '[table.wards]\nsource = "w.csv"\nversion = "1"\npublic = true\n\n[table.wards.columns]\nward = { type = "text" }\n'
    place.toml.write_text(text.replace("[[release]]", f"{public}\n[[release]]", 1))
    project = Project.read(place.folder)
    assert reads(project.dataset_of(N + "visits", ledger=project.draft)) == ("visits", "1", [], [])
    with pytest.raises(UnsupportedQuery, match="reads 'visits' and 'wards', and in population 'people' one row is one"):
        project.dataset_of(N + "visits v JOIN wards w ON v.ward = w.ward", ledger=project.draft)
