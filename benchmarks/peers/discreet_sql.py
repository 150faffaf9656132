"""discreet, end to end: parse, plan, charge the ledger, run, add noise, write the release."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

from meter import report, task

TASK = task()
SQL = "SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS m FROM t GROUP BY g"


def dataset(folder, *, epsilon):
    """Open an account of that much, and return how to get a table's dataset."""
    from discreet import Dataset, Domain, Ledger, PrivacyUnit
    from discreet.ledger import OwnerKey

    unit = PrivacyUnit(column="uid", max_groups=TASK["max_groups"], max_rows=TASK["max_rows"])
    ledger = Ledger(folder / "ledger.db")
    owner = OwnerKey.create(folder / "owner.key")
    ledger.open("people", unit=unit, measure="pure", epsilon=epsilon, delta=0.0, owner=owner)
    domain = Domain(uid="integer", g=list(range(TASK["groups"])), v=(TASK["low"], TASK["high"]))

    def of(table):
        return Dataset(Path(table), name="t", version=Path(table).stem, unit=unit, domain=domain, ledger=ledger,
                       population="people", releases=folder / "releases")  # fmt: skip

    return of


def prepare():
    """Import, open the ledger, and ask once of a thousand rows: modules are loaded when first needed."""
    import discreet as dp

    folder = Path(tempfile.mkdtemp(prefix="discreet-benchmark-"))
    of = dataset(folder, epsilon=2 * TASK["epsilon"])
    dp.sql.query(of(TASK["sample"]), SQL, epsilon=TASK["epsilon"])
    return dp, of


def ask(ready):
    dp, of = ready
    release = dp.sql.query(of(TASK["table"]), SQL, epsilon=TASK["epsilon"])
    return list(zip(*(release.value.column(name).to_pylist() for name in ("g", "n", "s", "m")), strict=True))


if __name__ == "__main__":
    report(prepare, ask, versions={name: version(name) for name in ("discreet", "duckdb", "sqlglot")})
