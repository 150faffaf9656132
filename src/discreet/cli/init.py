"""init: a commented discreet.toml to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from discreet.cli.output import Json, say, show_json
from discreet.errors import InvalidInput

SKELETON = """# What is private, who is protected, and what is to be published.
version = 1

[project]
name = "My project"
description = ""

[ledger]
url = "ledger.db" # a file beside this one, or postgresql://…

[population.people]
column = "person_id"     # the column that identifies a person
relation = "add_remove"
measure = "zcdp"         # pure, zcdp or renyi
epsilon = 1.0            # everything together, for ever
delta = 1e-6             # well below one in the number of people
delta_atoms = 0.0        # nothing of delta set aside: questions in SQL have no use for it

[table.visits]
source = "visits.parquet"
version = "1"            # change it whenever the rows change
population = "people"
max_groups = 2           # groups of a GROUP BY that one person may touch
max_rows = 5             # rows of one person in one group

# Bounds and keys are public knowledge. Never read them off the data.
[table.visits.columns]
person_id = { type = "integer" }
ward = { type = "text", keys = ["A", "B"] }
cost = { type = "float", low = 0.0, high = 500.0 }

[[release]]
name = "by_ward"
sql = "SELECT ward, COUNT(*) AS visits, AVG(cost) AS cost FROM visits GROUP BY ward"
epsilon = 0.5
delta = 1e-7
guess = { visits = 5000, cost = 200, "COUNT(cost)" = 5000 } # what you expect, from public knowledge
"""


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Write a commented discreet.toml to start from. Opens nothing and spends nothing."""
    path = folder / "discreet.toml"
    if path.exists():
        raise InvalidInput(f"{path} exists already.", remedy="Choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(SKELETON, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", remedy="Choose another folder.") from None
    if as_json:
        show_json({"written": str(path)})
        return
    say(f"Wrote {path}. Edit it, then: discreet plan {folder}, and discreet ledger open {folder} once it is right.")
