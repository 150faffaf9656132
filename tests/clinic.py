"""A small project for tests of the command line: forty people, one table, three releases, made in a moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from discreet.cli.app import run
from discreet.ledger import Ledger

SECRET = "Wilhelmina Featherstonehaugh"
NUMBER = 918273.25

TOML = """\
version = 1

[project]
name = "Clinic"

[ledger]
url = "ledger.db"

[population.people]
column = "id"
relation = "add_remove"
measure = "zcdp"
epsilon = 2.0
delta = 1e-6

[table.visits]
source = "visits.parquet"
version = "1"
population = "people"
max_groups = 2
max_rows = 2

[table.visits.columns]
id = { type = "integer" }
ward = { type = "text", keys = ["A", "B"] }
age = { type = "integer", low = 0, high = 100 }
cost = { type = "float", low = 0.0, high = 500.0 }
name = { type = "text" }

[[release]]
name = "people"
purpose = "How many visits"
sql = "SELECT COUNT(*) AS n FROM visits"
epsilon = 0.5
delta = 1e-7
guess = { n = 60 }

[[release]]
name = "by_ward"
sql = "SELECT ward, COUNT(*) AS n, AVG(cost) AS cost FROM visits GROUP BY ward"
epsilon = 0.5
delta = 1e-7

[[release]]
name = "ages"
sql = "SELECT AVG(age) AS age FROM visits"
epsilon = 0.5
delta = 1e-7
"""


@dataclass(frozen=True)
class Clinic:
    """A folder with a discreet.toml, its data and, once opened, its ledger."""

    folder: Path

    @property
    def toml(self) -> Path:
        return self.folder / "discreet.toml"

    @property
    def data(self) -> Path:
        return self.folder / "visits.parquet"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    def change(self, old: str, new: str) -> None:
        """Replace a text of the file; it must stand there."""
        text = self.toml.read_text()
        assert old in text, old
        self.toml.write_text(text.replace(old, new, 1))

    def kinds(self) -> list[str]:
        """Return the kinds of the ledger's entries."""
        return [entry.kind for entry in Ledger(self.ledger).entries("people")]


def clinic(folder: Path, *, opened: bool = True) -> Clinic:
    """Make a clinic in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Clinic(folder)
    made.toml.write_text(TOML)
    rows = range(60)
    table = pa.table(
        {
            "id": [row % 40 for row in rows],
            "ward": ["AB"[row % 2] for row in rows],
            "age": [20 + row for row in rows],
            "cost": [NUMBER if row == 7 else float(row) for row in rows],
            "name": [SECRET if row == 7 else f"person {row}" for row in rows],
        }
    )
    pyarrow.parquet.write_table(table, made.data)
    if opened:
        assert run(["ledger", "open", str(folder), "--json"]) == 0
    return made


def answer(capsys: Any, *arguments: object) -> tuple[int, Any]:
    """Run a command with --json; return its exit code and the object it printed."""
    capsys.readouterr()
    code = run([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)
