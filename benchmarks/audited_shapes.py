"""Over a hundred shapes of SQL under the mechanism tester, each against the event that it is charged as.

Two private tables of the same people, one that hangs on a foreign key, a public one and a view; every aggregate,
relation and kind of account; totals, several questions together, what was kept, bounds and limits that are found, and
groups that nobody declared. Neighbours differ by a person who moves as much as anybody may.

    python benchmarks/audited_shapes.py            # eight minutes of processor
    python benchmarks/audited_shapes.py --draws 2000
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import pyarrow as pa
from audited import Case, Trial, tried
from audited_drawing import Drawing
from audited_released import own

from discreet import Dataset, Domain, PrivacyUnit, Table, events, sql
from discreet.audit import Claim, Pair
from discreet.domains import Column
from discreet.events import Relation
from discreet.profiles import Guarantee
from discreet.sql.bind import QueryPlan
from discreet.testing import ScratchLedger

ALPHA, DRAWS = 1e-3, 6_000
ADD, REPLACE, ZERO = Relation.ADD_REMOVE, Relation.REPLACE_ONE, Relation.ZERO_OUT

# ------------------------------------------------------------------------------------------ tables

DOMAINS = {
    "t": Domain(
        id="integer", month=[1, 2], visit="integer", ward=["A", "B", None], floor=Column("integer", low=1, high=3, keys=(1, 2, 3)),
        age=(0, 100), debt=(-7, 3), weight=Column("float", low=-1.5, high=2.0, resolution=0.125), ok="boolean", code="integer", note="text",
    ),
    "stays": Domain(id="integer", month=[1, 2], ward=["A", "B", None], nights=(0, 9), kind=["x", "y"]),
    "doses": Domain(visit="integer", mg=(0, 5), how=["oral", "drip"]),
    "wards": Domain(ward=["A", "B"], beds=(0, 40)),
}  # fmt: skip
VIEW = "SELECT id, ward, age, debt FROM t WHERE age > 10"
WARDS = {"ward": ["A", "A", "B"], "beds": [40, 3, 7]}
KINDS = {"integer": pa.int64(), "float": pa.float64(), "text": pa.string(), "boolean": pa.bool_()}
Rows = dict[str, list[dict[str, Any]]]


def rows(
    person: int, *, wards: Any = ("A", "B"), each: int = 2, high: bool = True, note: str = "common", month: int = 1
) -> Rows:
    """Return the rows of a person who moves sums as far up, or down, as anybody may."""
    main = {"month": month, "visit": 10 * person, "floor": 1, "age": 100 if high else 0, "debt": 3 if high else -7, "weight": 2.0 if high else -1.5,
            "ok": high, "code": 10**9 if high else -(10**9), "note": note}  # fmt: skip
    found: Rows = {"t": [], "stays": [], "doses": []}
    for ward in wards:
        for i in range(each):
            found["t"].append(main | {"id": person, "ward": ward, "floor": 1 + i % 3})
            found["stays"].append(
                {"id": person, "month": month, "ward": ward, "nights": 9 if high else 0, "kind": "x" if high else "y"}
            )
    found["doses"] = [{"visit": 10 * person, "mg": 5 if high else 0, "how": "oral"}] * 2 if wards else []
    return found


NOBODY: Rows = {"t": [], "stays": [], "doses": []}
HIGH, LOW = rows(0), rows(0, high=False)
ALONE = rows(0, note="own")  # with a group of one
MANY = rows(0, wards=("A", "B", None), each=9)
MOVED = rows(0, wards=("B", None), high=False, note="other")
FEW = [
    rows(1, wards=("A",), each=1),
    rows(2, wards=("B",), high=False, each=1),
    rows(3, wards=(None,), each=1, note="other"),
]
CROWD = [
    rows(10 + i, wards=("AB"[i % 2],), each=1, high=i % 3 > 0, note="common" if i < 20 else "other") for i in range(24)
]
ADDED = {
    "high": (HIGH, NOBODY, FEW), "low": (LOW, NOBODY, CROWD), "more than counts": (MANY, NOBODY, FEW), "beside nobody": (HIGH, NOBODY, []),
    "a group of one": (ALONE, NOBODY, CROWD),
}  # fmt: skip
REPLACED = {
    "from low to high": (LOW, HIGH, FEW),
    "from some groups to others": (HIGH, MOVED, CROWD),
    "from many to few": (MANY, LOW, CROWD),
    "to a group of one": (LOW, ALONE, CROWD),
}


def source(*people: Rows) -> dict[str, pa.Table]:
    """Return the tables of some people."""
    found = {}
    for name in ("t", "stays", "doses"):
        held = [row for person in people for row in person[name]]
        found[name] = pa.table(
            {
                column: pa.array([row[column] for row in held], KINDS[about.type])
                for column, about in DOMAINS[name].items()
            }
        )
    return found | {"wards": pa.table(WARDS)}


def pairs(unit: PrivacyUnit, names: tuple[str, ...]) -> Iterator[Pair]:
    """Yield neighbours."""
    for name in names:
        before, after, others = (REPLACED if unit.relation is REPLACE else ADDED)[name]
        if not unit.enforced:  # the promise
            before, after = ({"t": one["t"][: unit.max_rows], "stays": [], "doses": []} for one in (before, after))
        beside = [*others, rows(0, month=2)] if unit.per else others
        yield Pair(name, source(*beside, before), source(*beside, after), unit.relation)


# -------------------------------------------------------------------------------------- questions

UNITS = {
    "add": PrivacyUnit(column="id", max_groups=2, max_rows=2), "one": PrivacyUnit(column="id", max_groups=1, max_rows=1),
    "all": PrivacyUnit(column="id", max_rows=3), "replace": PrivacyUnit(column="id", max_groups=2, max_rows=1, relation=REPLACE),
    "zero": PrivacyUnit(column="id", max_groups=1, max_rows=2, relation=ZERO), "per": PrivacyUnit(column="id", per="month", max_groups=2, max_rows=1),
    "rows": PrivacyUnit(max_rows=2), "rows replaced": PrivacyUnit(max_rows=1, relation=REPLACE),
}  # fmt: skip
ENFORCED = ("add", "one", "replace", "all", "zero", "per")
MEASURES = ("pure", "zcdp", "renyi(8)")

SUMS = (
    "COUNT(*) AS a", "COUNT(age) AS a", "SUM(age) AS a", "SUM(debt) AS a", "SUM(weight) AS a", "AVG(age) AS a", "AVG(weight) AS a",
    "COUNT(DISTINCT id) AS a", "COUNT(DISTINCT note) AS a", "COUNT(DISTINCT floor) AS a", "COUNT_IF(ok) AS a", "COUNT(*) FILTER (WHERE age > 50) AS a",
    "SUM(CASE WHEN ok THEN age ELSE debt END) AS a", "SUM(age - 2 * debt) AS a", "SUM(age * debt) AS a", "SUM(LEAST(GREATEST(code, 0), 5)) AS a",
    "SUM(ABS(debt)) AS a", "SUM(FLOOR(age / 30)) AS a", "AVG(COALESCE(weight, 1)) AS a", "VAR_POP(debt) AS a", "VAR_SAMP(age) AS a", "STDDEV_POP(weight) AS a",
    "STDDEV_SAMP(debt) AS a", "COVAR_POP(age, debt) AS a", "COVAR_SAMP(debt, weight) AS a", "CORR(age, weight) AS a", "SUM(age) / COUNT(*) AS a",
    "COUNT(*) AS a, SUM(debt) AS b, AVG(age) AS c", "AVG(debt) AS a, VAR_POP(debt) AS b, COUNT(debt) AS c",
)  # fmt: skip
DRAWS_BY_RANK = (
    "MEDIAN(debt) AS a", "QUANTILE_CONT(debt, 0.1) AS a, QUANTILE_CONT(debt, 0.9) AS b", "MIN(debt) AS a", "MAX(weight) AS a", "MIN(age) AS a, MAX(age) AS b",
    "MODE(ward) AS a", "MODE(floor) AS a", "MODE(ok) AS a", "MEDIAN(debt) FILTER (WHERE ok) AS a", "MEDIAN(LEAST(GREATEST(code, 0), 9)) AS a",
    "MEDIAN(debt) AS a, COUNT(*) AS b",
)  # fmt: skip
KEYS = ("", " GROUP BY ward", " GROUP BY floor", " GROUP BY ok", " GROUP BY FLOOR(age / 50)", " GROUP BY CASE WHEN debt > 0 THEN 'up' ELSE 'down' END",
        " WHERE ward = 'A' GROUP BY ward, floor")  # fmt: skip
JOINED = "FROM t JOIN stays ON t.id = stays.id"
INNER = "FROM (SELECT id, SUM(age) AS s, COUNT(*) AS n, COUNT(DISTINCT ward) AS d FROM t GROUP BY id) AS x"
FROM = (
    f"SELECT COUNT(*) AS a {JOINED}",
    f"SELECT SUM(nights) AS a {JOINED} GROUP BY t.ward",
    "SELECT AVG(stays.nights) AS a FROM t LEFT JOIN stays ON t.id = stays.id AND t.ward = stays.ward GROUP BY t.floor",
    "SELECT SUM(mg) AS a FROM t JOIN doses ON t.visit = doses.visit",
    "SELECT SUM(mg) AS a FROM doses GROUP BY how",
    "SELECT COUNT(*) AS a FROM doses",
    "SELECT SUM(beds) AS a FROM t JOIN wards ON t.ward = wards.ward",
    "SELECT COUNT(*) AS a FROM t LEFT JOIN wards ON t.ward = wards.ward GROUP BY FLOOR(wards.beds / 20)",
    "SELECT SUM(age) AS a FROM elders GROUP BY ward",
    "SELECT COUNT(*) AS a FROM elders AS e JOIN wards AS w ON e.ward = w.ward GROUP BY w.ward",
    f"SELECT SUM(LEAST(GREATEST(n, 0), 4)) AS a {INNER}",
    f"SELECT AVG(LEAST(GREATEST(s, 0), 300)) AS a {INNER}",
    f"SELECT SUM(LEAST(GREATEST(d, 0), 3)) AS a, COUNT(*) AS b {INNER}",
    "SELECT COUNT(*) AS a FROM (SELECT id, ward, MAX(age) AS m FROM t GROUP BY id, ward HAVING COUNT(*) > 1) AS x GROUP BY ward",
    "WITH w AS (SELECT id, debt * 2 AS e FROM t WHERE ok) SELECT SUM(e) AS a, COUNT(*) AS b FROM w",
    "SELECT COUNT(*) AS a FROM (SELECT id, ward FROM t UNION ALL SELECT id, ward FROM stays) AS x GROUP BY ward",
    "SELECT MEDIAN(m) AS a FROM (SELECT id, MAX(nights) AS m FROM stays GROUP BY id) AS x",
    "SELECT COUNT(*) AS a FROM (SELECT DISTINCT id, ward FROM t) AS x GROUP BY ward",
)
BY_MONTH = (
    "SELECT SUM(nights) AS a FROM t JOIN stays USING (id, month) GROUP BY t.ward",
    "SELECT SUM(LEAST(GREATEST(d, 0), 3)) AS a FROM (SELECT id, month, COUNT(DISTINCT ward) AS d FROM stays GROUP BY id, month) AS x",
)
TOTALS = (
    "SELECT COUNT(*) AS a FROM t GROUP BY ROLLUP (ward, floor)",
    "SELECT SUM(debt) AS a FROM t GROUP BY CUBE (ward, ok)",
    "SELECT AVG(age) AS a FROM t GROUP BY GROUPING SETS ((ward), (floor), ())",
    "SELECT COUNT_IF(ok) AS a FROM t GROUP BY ROLLUP (ward)",
    "SELECT SUM(weight) AS a, COUNT(*) AS b FROM t GROUP BY ROLLUP (floor)",
)
UNKNOWN = (
    "SELECT note, COUNT(*) AS a FROM t GROUP BY note", "SELECT note, SUM(debt) AS a FROM t GROUP BY note", "SELECT note, AVG(age) AS a FROM t GROUP BY note",
    "SELECT note, COUNT(DISTINCT id) AS a FROM t GROUP BY note", "SELECT note, ward, COUNT(*) AS a FROM t GROUP BY note, ward", "SELECT note, MEDIAN(debt) AS a FROM t GROUP BY note",
    "SELECT code, COUNT(*) AS a FROM t GROUP BY code", "SELECT note, MODE(ward) AS a FROM t WHERE ok GROUP BY note",
)  # fmt: skip
TOGETHER = (
    ("SELECT COUNT(*) AS n FROM t GROUP BY ward", "SELECT AVG(age) AS m, COUNT(*) AS c FROM t GROUP BY ward"),
    (
        "SELECT SUM(debt) AS s FROM t",
        "SELECT COUNT(*) AS c FROM t GROUP BY floor",
        "SELECT SUM(nights) AS n FROM stays",
    ),
    ("SELECT MEDIAN(debt) AS m FROM t", "SELECT COUNT(*) AS n FROM t"),
)
KEPT = (
    (
        "SELECT ward, floor, COUNT(*) AS n, SUM(debt) AS s FROM t GROUP BY ward, floor",
        "SELECT COUNT(*) AS n FROM t GROUP BY ward",
    ),
    ("SELECT ward, floor, COUNT(*) AS n, SUM(debt) AS s FROM t GROUP BY ward, floor", "SELECT SUM(debt) AS n FROM t"),
    (
        "SELECT ward, COUNT(*) AS n, AVG(age) AS s FROM t GROUP BY ward",
        "SELECT AVG(age) AS n FROM t WHERE ward IN ('A', 'B') GROUP BY ward",
    ),
)


@dataclass(frozen=True)
class Shape:
    """A question, or several, with who is protected and which account pays.

    Args:
        kind: What it stands for.
        asked: The questions; of kept ones the first is what is kept.
        unit: Who is protected, of UNITS.
        measure: Of the account.
        epsilon, delta: What it may cost.
    """

    kind: str
    asked: tuple[str, ...]
    unit: str
    measure: str
    epsilon: float
    delta: float

    @property
    def setting(self) -> str:
        """All that shapes its noise, in words."""
        return f"{'; '.join(self.asked)} [{self.unit}; {self.measure}, ε {self.epsilon:g}, δ {self.delta:g}]"


def shapes() -> list[Shape]:  # noqa: C901 - a list
    """Return all shapes; units and accounts take turns."""
    turn, found = count(), []

    def add(
        kind: str,
        asked: tuple[str, ...],
        units: tuple[str, ...],
        measures: tuple[str, ...] = MEASURES,
        delta: float = 1e-3,
    ) -> None:
        i = next(turn)
        measure = measures[i % len(measures)]
        epsilon = 1.5 if measure == "pure" else 4.0
        found.append(Shape(kind, asked, units[(i // 2) % len(units)], measure, epsilon, delta))

    for i, what in enumerate(SUMS):
        add("sums", (f"SELECT {what} FROM t",), tuple(UNITS))
        add("sums", (f"SELECT {what} FROM t{KEYS[1 + i % 6]}",), tuple(UNITS))
    for i, what in enumerate(DRAWS_BY_RANK):
        add("drawn", (f"SELECT {what} FROM t{KEYS[i % 4]}",), tuple(UNITS), ("pure", "zcdp"))
    for text in FROM:
        add("several tables", (text,), ENFORCED[:-1])
    for text in BY_MONTH:
        add("several tables", (text,), ("per",))
    for text in TOTALS:
        add("totals", (text,), tuple(UNITS))
    for text in UNKNOWN:
        for measure in ("pure", "zcdp"):
            add("groups nobody declared", (text,), ("add", "one", "replace"), (measure,), delta=0.1)
    for asked in TOGETHER:
        add("together", asked, ENFORCED)
    for asked in KEPT:
        add("kept", asked, ENFORCED)
    for text in ("debt", "weight"):
        add("bounds", (text,), ENFORCED, ("pure", "zcdp"))
    for measure in ("pure", "zcdp"):
        add("limits", ("ward",), ("add", "replace"), (measure,))
    return found


# --------------------------------------------------------------------------------------- planning


@cache
def _ledger() -> Any:
    return ScratchLedger(), tempfile.TemporaryDirectory(prefix="discreet-shapes-"), count()


class Capturing(Dataset):
    """A dataset that plans and does not reveal."""

    def reveal(self, mechanism: Any, **_: Any) -> Any:
        """Return the plan."""
        return mechanism.bind(self)


def dataset(shape: Shape) -> Capturing:
    """Return a dataset on an account of its own."""
    books, folder, number = _ledger()
    unit, name = UNITS[shape.unit], f"account-{next(number)}"
    books.open(name, unit=unit, measure=shape.measure, epsilon=1000.0, delta=0.5, owner=books.owner)
    held = source()
    text = " ".join(shape.asked)
    beside: dict[str, Table] = {}
    if unit.enforced:
        wanted = [one for one in ("stays", "doses", "wards") if one in text]
        about: dict[str, Any] = {"stays": {"person": "id"}, "doses": {"via": ("visit", "t", "visit")}, "wards": {}}
        beside = {one: Table(held[one], domain=DOMAINS[one], **about[one]) for one in wanted}
    return Capturing(
        held["t"], name="t", version="1", unit=unit, domain=DOMAINS["t"], ledger=books, population=name, releases=f"{folder.name}/{name}",
        tables=beside, views={"elders": VIEW} if "elders" in text else {},
    )  # fmt: skip


def planned(shape: Shape) -> tuple[Any, ...]:
    """Return the plans of a shape, and the event that all of them are charged as."""
    given: dict[str, Any] = {
        "epsilon": shape.epsilon,
        "delta": None if shape.measure == "pure" and "nobody" not in shape.kind else shape.delta,
    }
    asked, on = shape.asked, dataset(shape)
    if shape.kind == "together":
        plan: Any = sql.workload(on, {f"q{i}": text for i, text in enumerate(asked)}, **given)
        return plan.plans, plan.event, plan.guarantee
    if shape.kind == "bounds":
        plan = sql.find_bounds(on, asked[0], **given)
        return plan.plans, plan.event, plan.guarantee
    if shape.kind == "limits":
        plan = sql.find_limits(on, list(asked), **given)
        return plan.plans, plan.event, plan.guarantee
    if shape.kind == "kept":
        folder = tempfile.mkdtemp(prefix="discreet-kept-", dir=_ledger()[1].name)
        given["using"] = sql.materialise(on, asked[0], folder=folder)
    plan = sql.plan(on, asked[-1], **given)
    return (plan,), plan.event, plan.guarantee


def case(
    shape: Shape, *, plans: tuple[QueryPlan, ...] | None = None, event: events.Event | None = None, draws: int = DRAWS
) -> Case:
    """Return the case of a shape against what it is charged as; a bug is planted by other plans, or another event."""
    real, charged, guarantee = planned(shape)
    plans, unit = real if plans is None else plans, UNITS[shape.unit]
    claim = claimed(shape, real, charged, guarantee) if event is None else Claim.event(event, relation=unit.relation)
    held = list(pairs(unit, _worst(shape, unit.relation)))
    drawing = Drawing(plans, [rows_ for pair in held for rows_ in (pair.first, pair.second)])
    trials = tuple(Trial(pair, _own(drawing, pair), 1.0) for pair in held)  # of no pair is a δ worked out
    gaussian = all(not plan.drawing.choices and plan.finder is None for plan in plans) and shape.measure != "pure"
    delta = None if gaussian else 0.0 if shape.measure == "pure" and not guarantee.delta else guarantee.delta
    return Case(
        f"SQL {shape.kind}",
        shape.setting,
        claim,
        drawing,
        trials,
        delta,
        frozenset(),
        draws,
    )


def claimed(shape: Shape, plans: tuple[QueryPlan, ...], event: events.Event, guarantee: Guarantee) -> Claim:
    """Return what a release claims: the curve of its event, or the ε and δ that its guarantee states.

    The latter where there are several parts on a pure account, which charges the sum of their ε and no curve, and where
    Gaussian noise stands beside draws: there is no lattice that all these losses lie on, and their curve takes minutes.
    """
    relation = UNITS[shape.unit].relation
    if isinstance(event, events.Composed) and (shape.measure == "pure" or _mixed(plans)):
        return Claim.approximate(guarantee.epsilon, guarantee.delta, relation=relation)
    return Claim.event(event, relation=relation)


def _mixed(plans: Sequence[QueryPlan]) -> bool:
    """Whether there are draws, and Gaussian noise."""
    levels = [level for plan in plans for level in plan.drawing.noises]
    gaussian = any(noise.law == "discrete_gaussian" for level in levels for noise in level.values())
    return gaussian and any(plan.drawing.choices for plan in plans)


def _worst(shape: Shape, relation: Relation) -> tuple[str, ...]:
    if shape.kind == "groups nobody declared":
        return (
            ("to a group of one", "from some groups to others")
            if relation is REPLACE
            else ("a group of one", "more than counts")
        )
    if relation is REPLACE:
        return tuple(REPLACED)[:3]
    return ("high", "more than counts", "beside nobody") if shape.kind != "sums" else ("high", "low", "beside nobody")


def _own(drawing: Drawing, pair: Pair) -> float:
    """Return the ε, or μ, that a pair shows by the exact laws; more than can be where these are not simple."""
    plan, *others = drawing.plans
    if others or plan.finder is not None or _mixed(drawing.plans):
        return math.inf
    first, second = (drawing.exacts(one)[0] for one in (pair.first, pair.second))
    return own(plan, first, second)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS)
    given = parser.parse_args()
    every, start = shapes(), time.process_time()
    print(f"{len(every)} shapes, alpha = {ALPHA:g} for all of them together\n{'':92}{'pairs':>6}{'of the claim':>13}")
    kinds, refuted, draws = Counter[str](), 0, 0
    for shape in every:
        made = case(shape, draws=given.draws)
        found, rows_ = tried(made, ALPHA / len(every))
        bad = any(row.refuted or row.beyond for row in rows_)
        refuted, draws = refuted + bad, draws + found.draws
        kinds[shape.kind] += 1
        best = max(row.tightness for row in rows_)
        print(f"{made.setting[:90]:92}{len(rows_):>6}{best:>13.0%}{'  REFUTED' if bad else ''}", flush=True)
        if bad:
            print(found, *rows_, sep="\n")
    print(", ".join(f"{number} {kind}" for kind, number in kinds.items()))
    print(f"{len(every)} shapes, {draws:,} draws, {refuted} refuted; {time.process_time() - start:.0f} s of processor")
    return 4 if refuted else 0


if __name__ == "__main__":
    sys.exit(main())
