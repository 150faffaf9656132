"""A small project of three tables of people and a public one: patients <- visits <- lines, and wards."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from discreet.cli.app import run
from tests.clinic import Clinic

TOML = """\
version = 1

[project]
name = "Wards"

[ledger]
url = "ledger.db"

[population.people]
column = "id"
relation = "add_remove"
measure = "zcdp"
epsilon = 20.0
delta = 1e-6

[table.patients]
source = "patients.parquet"
version = "2024-06"
population = "people"
max_groups = 1
max_rows = 1

[table.patients.columns]
id = { type = "integer" }
age = { type = "integer", low = 0, high = 100 }
born = { type = "date", low = 1920-01-01, high = 2024-12-31 }

[table.visits]
source = "visits.parquet"
version = "7"
population = "people"
person = "patient"
max_groups = 2
max_rows = 3

[table.visits.columns]
patient = { type = "integer" }
visit = { type = "integer" }
ward = { type = "text", keys = ["A", "B", "C"] }
city = { type = "text" }

[table.lines]
source = "lines.parquet"
version = "1"
population = "people"
via = { column = "visit", table = "visits", key = "visit" }
max_groups = 3
max_rows = 4

[table.lines.columns]
visit = { type = "integer" }
drug = { type = "text", keys = ["x", "y"] }
price = { type = "float", low = 0.0, high = 50.0 }

[table.wards]
source = "wards.csv"
version = "2023"
public = true

[table.wards.columns]
name = { type = "text", keys = ["A", "B", "C"] }
kind = { type = "text", keys = ["surgery", "medicine"] }

[view.stays]
sql = "SELECT v.patient, w.kind FROM visits v JOIN wards w ON v.ward = w.name"
population = "people"

[[release]]
name = "by_kind"
purpose = "Visits by kind of ward"
sql = "SELECT kind, COUNT(*) AS n FROM stays GROUP BY kind"
epsilon = 2.0
delta = 1e-7

[[release]]
name = "prices"
purpose = "What lines cost, by ward"
sql = "SELECT v.ward, COUNT(*) AS n, AVG(l.price) AS price FROM lines l JOIN visits v ON l.visit = v.visit GROUP BY v.ward"
epsilon = 2.0
delta = 1e-7

[[release]]
name = "ages"
purpose = "How old patients are"
sql = "SELECT MEDIAN(age) AS middle, MAX(age) AS oldest FROM patients"
epsilon = 2.0
delta = 1e-7

[[release]]
name = "cities"
purpose = "Where patients come from"
sql = "SELECT city, COUNT(*) AS n FROM visits GROUP BY city"
epsilon = 2.0
delta = 1e-7

[[release]]
name = "drug"
purpose = "The drug given most"
sql = "SELECT MODE(drug) AS most FROM lines"
epsilon = 2.0
delta = 1e-7
"""


def wards(folder: Path, *, opened: bool = True) -> Clinic:
    """Make the project in `folder`: four hundred patients, two visits each, two lines a visit."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Clinic(folder)
    made.toml.write_text(TOML)
    people, visits, lines = range(400), range(800), range(1600)
    tables = {
        "patients": {
            "id": list(people),
            "age": [i % 90 for i in people],
            "born": [datetime.date(1930 + i % 90, 1, 1) for i in people],
        },
        "visits": {
            "patient": [i // 2 for i in visits],
            "visit": list(visits),
            "ward": ["ABC"[i % 3] for i in visits],
            "city": ["Rochester" if i % 10 else f"village {i}" for i in visits],
        },
        "lines": {
            "visit": [i // 2 for i in lines],
            "drug": ["x" if i % 4 else "y" for i in lines],
            "price": [float(i % 40) for i in lines],
        },
    }
    for name, columns in tables.items():
        pyarrow.parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
    (folder / "wards.csv").write_text("name,kind\nA,surgery\nB,medicine\nC,medicine\n")
    if opened:
        assert run(["ledger", "open", str(folder), "--json"]) == 0
    return made
