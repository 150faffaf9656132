"""discreet, end to end: parse, plan, charge the ledger, run, add noise, write the release."""

from __future__ import annotations

import itertools
import tempfile
from importlib.metadata import version
from pathlib import Path

from meter import report, task
from questions import QUESTIONS

TASK = task()
ASKED = QUESTIONS[TASK["question"]]
DELTA = None if ASKED.account == "pure" else TASK["delta"]
NAMES = (f"question-{i}" for i in itertools.count())


def dataset(folder, *, epsilon):
    """Open an account of that much, and return how to get a table's dataset."""
    from discreet import Dataset, Domain, Ledger, PrivacyUnit, Table
    from discreet.ledger import OwnerKey

    unit = PrivacyUnit(column="uid", max_groups=TASK["max_groups"], max_rows=TASK["max_rows"])
    ledger = Ledger(folder / "ledger.db")
    owner = OwnerKey.create(folder / "owner.key")
    delta = 0.0 if DELTA is None else 1e-3
    ledger.open("people", unit=unit, measure=ASKED.account, epsilon=epsilon, delta=delta, owner=owner)
    groups = list(range(TASK["groups"]))
    domain = Domain(uid="integer", g=groups, v=(TASK["low"], TASK["high"]), item="integer")
    others = {
        "r": {"domain": Domain(g=groups, area=list(range(7)))},
        "w": {"domain": Domain(uid="integer", kind=list(range(5))), "person": "uid"},
    }

    def of(which):
        """Return the dataset over the table, or over the sample."""
        name = ASKED.joined
        tables = {} if name is None else {name: Table(Path(TASK["joined"][name][which]), **others[name])}
        return Dataset(Path(TASK[which]), name="t", version=Path(TASK[which]).stem, unit=unit, domain=domain,
                       tables=tables, ledger=ledger, population="people", releases=folder / "releases")  # fmt: skip

    return of


def prepare():
    """Import, open the ledger, and ask once of a thousand rows: modules are loaded when first needed.

    Where what people add is to be kept, it is made here, with a first question.
    """
    import discreet as dp

    folder = Path(tempfile.mkdtemp(prefix="discreet-benchmark-"))
    of = dataset(folder, epsilon=(3 + TASK.get("again", 0)) * TASK["epsilon"])
    dp.sql.query(of("sample"), ASKED.ours, epsilon=TASK["epsilon"], delta=DELTA, name=next(NAMES))
    kept = None
    if TASK["query"] == "kept":
        kept = dp.sql.materialise(of("table"), ASKED.ours, folder=folder / "kept")
        dp.sql.query(of("table"), ASKED.ours, epsilon=TASK["epsilon"], delta=DELTA, name=next(NAMES), using=kept)
    return dp, of, kept


def ask(ready):
    dp, of, kept = ready
    release = dp.sql.query(of("table"), ASKED.ours, epsilon=TASK["epsilon"], delta=DELTA, name=next(NAMES), using=kept)
    columns = [name for name in release.value.column_names if not name.endswith(("_se", "_low", "_high"))]
    return list(zip(*(release.value.column(name).to_pylist() for name in columns), strict=True))


if __name__ == "__main__":
    report(prepare, ask, versions={name: version(name) for name in ("discreet", "duckdb", "sqlglot")})
