"""Questions in SQL under the tester: real plans on small neighbouring tables, drawn many answers at a time.

Every draw is made by `QueryPlan.run`. Only the statement is another: what the plan computes is crossed with so many
copies, each a group of one more key, so that one call computes the exact integers once and releases them so many
times, with fresh noise for each.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import count
from typing import Any, get_args, get_type_hints

import numpy as np
import pyarrow as pa
from audited import Case, Trial, gaussian_loss

from discreet import Dataset, Domain, PrivacyUnit, sql
from discreet.accounting import Measure
from discreet.audit import Claim, Pair
from discreet.domains import Column
from discreet.events import Relation
from discreet.mechanisms import Rng
from discreet.sql import allocate, bound, nodes
from discreet.sql.bind import QueryPlan, _dense
from discreet.sql.engines import duckdb
from discreet.testing import ScratchLedger

RNG = Rng()
ADD, REPLACE, ZERO = Relation.ADD_REMOVE, Relation.REPLACE_ONE, Relation.ZERO_OUT
COPY = "copy"
TYPES = {
    "id": pa.int64(),
    "month": pa.int64(),
    "ward": pa.string(),
    "floor": pa.int64(),
    "age": pa.float64(),
    "debt": pa.string(),
    "weight": pa.float64(),
}
FACTS = {"month": "integer", "ward": ["A", "B", None], "floor": [1, 2, 5], "age": (0, 100), "debt": (-7, 3)}
WEIGHT = Column("float", -1.5, 2.0, resolution=Fraction(1, 8))
DOMAIN = Domain(id="integer", weight=WEIGHT, **FACTS)
KNOWN_IDS = Domain(id=[0, 1, 2], weight=WEIGHT, **FACTS)
FINE = Domain(id="integer", weight=(-1.5, 2.0), **FACTS)  # the resolution that bounds have by default

# ------------------------------------------------------------------------------ people and tables

HIGH = {"ward": "A", "floor": 1, "age": 100.0, "debt": "3", "weight": 2.0, "month": 1}
LOW = HIGH | {"age": 0.0, "debt": "-7", "weight": -1.5}
NOTHING = HIGH | {"age": None, "debt": None, "weight": None}
JUNK = HIGH | {"age": math.nan, "debt": "junk", "weight": math.inf}
FAR = HIGH | {"age": 1e300, "debt": "-99999999999999999999", "weight": -1e30}
NEAR = HIGH | {"age": math.nextafter(100.0, math.inf), "debt": "-07", "weight": -0.0}
UNDECLARED = HIGH | {"ward": "C", "floor": 7, "month": None}
OTHERS = [
    HIGH | {"id": 1, "age": 30.0, "debt": "0", "weight": 0.5},
    HIGH | {"id": 1, "age": 50.0, "ward": "B", "weight": 1.0},
    LOW | {"id": 2, "age": 70.0, "ward": None, "floor": 5},
    JUNK | {"id": None},
]


def spread(row, wards=("A", "B"), floors=(1,), rows=2):
    return [row | {"ward": ward, "floor": floor} for ward in wards for floor in floors for _ in range(rows)]


MANY = spread(HIGH, wards=("A", "B", None), floors=(1, 2, 5), rows=4)
CROWD = [
    HIGH | {"id": 1 + i, "ward": ("A", "B", None)[i % 3], "age": 20.0 + i, "debt": str(i % 5 - 3), "weight": i % 7 / 8}
    for i in range(60)
]
ADDED = {  # a person's rows, and those of others
    "highest": (spread(HIGH), OTHERS),
    "lowest": (spread(LOW), OTHERS),
    "far more rows and groups than count": (MANY, OTHERS),
    "highest, in an empty table": (spread(HIGH), []),
    "highest, beside sixty others": (spread(HIGH), CROWD),
    "lowest, beside sixty others": (spread(LOW), CROWD),
    "nothing but NULL": (spread(NOTHING), OTHERS),
    "NaN, infinity and text for numbers": (spread(JUNK), OTHERS),
    "far beyond the bounds": (spread(FAR), OTHERS),
    "one float beyond a bound, and -0.0": ([NEAR], OTHERS),
    "groups that nobody declared": ([UNDECLARED], OTHERS),
}
REPLACED = {  # a person's rows before and after, and those of others
    "from lowest to highest": (spread(LOW), spread(HIGH), OTHERS),
    "from lowest to highest, one group left for another": (
        spread(LOW),
        [*spread(HIGH, ("B",)), *spread(LOW, (None,))],
        OTHERS,
    ),
    "from two groups to a third": (spread(HIGH), spread(HIGH, (None,)), OTHERS),
    "from one group to another": (spread(LOW, ("A",)), spread(LOW, ("B",)), CROWD),
    "from far more than counts to undeclared groups": (MANY, [UNDECLARED], OTHERS),
    "from NULL to far beyond the bounds, alone": (spread(NOTHING), spread(FAR), []),
}
ALL = tuple(ADDED)
ROWS = ("highest", "far more rows and groups than count", "highest, in an empty table")
SUMS = ("highest", "lowest", "far more rows and groups than count", "far beyond the bounds")
VALUES = ("highest", "lowest", "nothing but NULL", "NaN, infinity and text for numbers", "far beyond the bounds")
MEANS = (
    "far more rows and groups than count",
    "highest, in an empty table",
    "highest, beside sixty others",
    "lowest, beside sixty others",
)
MOVES = tuple(REPLACED)


def table(rows):
    """Return rows as the private source."""
    return pa.table({name: pa.array([row[name] for row in rows], type=kind) for name, kind in TYPES.items()})


def pairs(asked):
    """Yield the pairs of a question: a person 0 that is there or not, or has other rows."""
    for name in asked.pairs:
        if asked.unit.relation is REPLACE:
            before, after, others = REPLACED[name]
        else:
            (before, others), after = ADDED[name], []
        if not asked.unit.enforced:  # the promise: at most max_rows rows in the whole table
            before, after = before[: asked.unit.max_rows], after[: asked.unit.max_rows]
        if asked.unit.per:  # the same person stays, in another month
            others = [*others, *of([HIGH | {"month": 2}])]
        yield Pair(name, [*others, *of(before)], [*others, *of(after)], asked.unit.relation)


def of(rows):
    return [{"id": 0} | row for row in rows]


# ------------------------------------------------------------------------------ questions


@dataclass(frozen=True)
class Asked:
    """A question, whose answer is put under the tester.

    Args:
        name: Which kind it stands for.
        sql: The question; None of the rows is about `copy`.
        unit: Who is protected.
        measure: Of the account.
        epsilon: Asked for; where the measure needs a δ it is 1e-3.
        pairs: Names of pairs: of ADDED, or under replace_one of REPLACED.
        domain: The public facts.
        weights, guess: As `sql.query` takes them.
    """

    name: str
    sql: str
    unit: PrivacyUnit
    measure: str
    epsilon: float
    pairs: tuple[str, ...]
    domain: Domain = DOMAIN
    weights: tuple[tuple[str, float], ...] = ()
    guess: tuple[tuple[str, float], ...] = ()

    @property
    def setting(self):
        """The question with all that shapes its noise."""
        unit = self.unit
        groups = "all" if unit.max_groups is None else unit.max_groups
        promised = "" if unit.enforced else ", promised"
        extra = "".join(
            f", {name} {dict(value)}" for name, value in (("weights", self.weights), ("guess", self.guess)) if value
        )
        return (
            f"{self.sql} [{unit.label}, groups {groups}, rows {unit.max_rows}{promised}; {self.measure}, "
            f"ε {self.epsilon:g}{extra}{', default resolution' if self.domain is FINE else ''}]"
        )


def person(groups=2, rows=2, relation=ADD, **more):
    return PrivacyUnit(column="id", max_groups=groups, max_rows=rows, relation=relation, **more)


TWO_ROWS = PrivacyUnit(max_rows=2)
BY_WARD = " FROM t GROUP BY ward"
ASKED = (
    Asked("COUNT(*)", "SELECT COUNT(*) AS n FROM t", person(), "pure", 1.0, (*ROWS, *ALL[-2:])),
    Asked("COUNT(*)", f"SELECT ward, COUNT(*) AS n{BY_WARD}", person(), "pure", 2.0, ROWS),
    Asked("COUNT(*)", f"SELECT ward, COUNT(*) AS n{BY_WARD}", person(), "zcdp", 4.0, ROWS),
    Asked("COUNT(*)", f"SELECT ward, COUNT(*) AS n{BY_WARD}", person(groups=None), "renyi(8)", 4.0, ROWS),
    Asked("COUNT(*)", "SELECT COUNT(*) AS n FROM t GROUP BY ward, floor", person(3, 1), "pure", 1.0, ROWS),
    Asked("COUNT(*)", f"SELECT ward, COUNT(*) AS n{BY_WARD}", person(relation=REPLACE), "pure", 1.0, MOVES),
    Asked("COUNT(*)", f"SELECT ward, COUNT(*) AS n{BY_WARD}", person(1, relation=REPLACE), "zcdp", 4.0, MOVES[3:]),
    Asked("COUNT(*)", "SELECT COUNT(*) AS n FROM t", TWO_ROWS, "pure", 1.0, ROWS),
    Asked("COUNT(*)", f"SELECT ward, COUNT(*) AS n{BY_WARD}", replace(TWO_ROWS, relation=REPLACE), "pure", 1.0, MOVES[1:4]),
    Asked("COUNT(*)", "SELECT id, COUNT(*) AS n FROM t GROUP BY id", person(), "pure", 1.0, ROWS, domain=KNOWN_IDS),
    Asked("COUNT(*)", "SELECT month, COUNT(*) AS n FROM t GROUP BY month", person(per="month"), "pure", 1.0, ROWS,
          domain=Domain(**dict(DOMAIN) | {"month": [1, 2]})),
    Asked("COUNT(column)", "SELECT COUNT(age) AS n FROM t", person(), "pure", 1.0, VALUES),
    Asked("COUNT(column)", f"SELECT ward, COUNT(debt) AS n{BY_WARD}", person(relation=ZERO), "zcdp", 4.0, VALUES),
    Asked("SUM", "SELECT SUM(age) AS s FROM t", person(), "pure", 1.0, ALL),
    Asked("SUM", f"SELECT ward, SUM(debt) AS s{BY_WARD}", person(), "pure", 2.0, SUMS),
    Asked("SUM", "SELECT SUM(weight) AS s FROM t", person(rows=3), "pure", 1.0, SUMS),
    Asked("SUM", f"SELECT ward, SUM(age) AS s{BY_WARD}", person(), "zcdp", 4.0, SUMS),
    Asked("SUM", "SELECT SUM(weight) AS s FROM t", person(), "zcdp", 4.0, SUMS, domain=FINE),
    Asked("SUM", f"SELECT ward, SUM(debt) AS s{BY_WARD}", person(relation=REPLACE), "pure", 1.0, MOVES),
    Asked("SUM", "SELECT SUM(debt) AS s FROM t", person(relation=REPLACE), "renyi(4)", 4.0, MOVES),
    Asked("SUM", "SELECT SUM(age) AS s FROM t", person(relation=ZERO), "pure", 1.0, SUMS),
    Asked("SUM", "SELECT SUM(debt) AS s FROM t", TWO_ROWS, "pure", 1.0, SUMS),
    Asked("AVG", "SELECT AVG(age) AS m FROM t", person(), "pure", 2.0, ALL),
    Asked("AVG", f"SELECT ward, AVG(debt) AS m{BY_WARD}", person(), "pure", 4.0, MEANS),
    Asked("AVG", f"SELECT ward, AVG(weight) AS m{BY_WARD}", person(), "zcdp", 4.0, MEANS),
    Asked("AVG", "SELECT AVG(weight) AS m FROM t", person(), "zcdp", 4.0, VALUES, domain=FINE),
    Asked("AVG", f"SELECT ward, AVG(age) AS m{BY_WARD}", person(1, relation=REPLACE), "pure", 4.0, MOVES[3:]),
    Asked("AVG", "SELECT AVG(age) AS m FROM t", replace(TWO_ROWS, relation=ZERO), "renyi(8)", 4.0, MEANS),
    Asked("WHERE", "SELECT COUNT(*) AS n FROM t WHERE age > 20 AND debt IS NOT NULL", person(), "pure", 1.0, VALUES),
    Asked("WHERE", "SELECT ward, SUM(age) AS s FROM t WHERE ward IN ('A', 'B') AND NOT (weight < 0) GROUP BY ward", person(1), "pure", 1.0, ROWS),
    Asked("WHERE", "SELECT AVG(age) AS m FROM t WHERE ward IS NULL OR floor <> 5", person(), "zcdp", 4.0, MEANS),
    Asked("several", "SELECT COUNT(*) AS n, COUNT(age) AS c, SUM(age) AS s, AVG(age) AS m FROM t", person(), "pure", 3.0, ROWS),
    Asked("several", f"SELECT ward, AVG(age) AS m, COUNT(age) AS c, SUM(debt) AS s{BY_WARD}", person(), "zcdp", 4.0, SUMS[:3],
          weights=(("m", 3.0), ("c", 1.0))),
    Asked("several", "SELECT COUNT(*) AS n, AVG(age) AS m FROM t", person(), "pure", 2.0, MEANS,
          guess=(("n", 8.0), ("m", 90.0))),
    Asked("arithmetic", "SELECT SUM(age) / COUNT(*) AS m, 2 * COUNT(*) - 1 AS n FROM t", person(), "pure", 2.0, ROWS),
    Asked("HAVING, ORDER BY", f"SELECT ward, COUNT(*) AS n{BY_WARD} HAVING COUNT(*) > 2 AND n_low < 9", person(), "pure", 1.0, ROWS),
    Asked("HAVING, ORDER BY", f"SELECT ward, SUM(age) AS s{BY_WARD} ORDER BY s DESC, ward", person(), "zcdp", 4.0, ROWS),
)  # fmt: skip


def sql_cases() -> Iterator[Case]:
    for asked in ASKED:
        yield case(asked, planned(asked))


def planned(asked) -> QueryPlan:
    """Return the real plan, as an account of this measure gives it."""
    return sql.plan(
        dataset(asked),
        asked.sql,
        epsilon=asked.epsilon,
        delta=None if asked.measure == "pure" else 1e-3,
        weights=dict(asked.weights) or None,
        guess=dict(asked.guess) or None,
    )


@cache
def ledger():
    return ScratchLedger(), tempfile.TemporaryDirectory(prefix="discreet-audited-"), count()


def dataset(asked, rows=()):
    """Return a dataset of its own on an account of its own."""
    books, folder, number = ledger()
    name = f"account-{next(number)}"
    books.open(name, unit=asked.unit, measure=asked.measure, epsilon=1000.0, delta=0.5, owner=books.owner)
    return Dataset(
        table(rows),
        name="t",
        version="1",
        unit=asked.unit,
        domain=asked.domain,
        ledger=books,
        population=name,
        releases=f"{folder.name}/{name}",
    )


def case(asked, plan) -> Case:
    """Return the case of a question as `plan` answers it, against the plan's event: what is charged."""
    return Case(
        f"SQL {asked.name}",
        asked.setting,
        Claim.event(plan.event, relation=asked.unit.relation),
        Released(plan),
        tuple(trials(plan, pairs(asked))),
        0.0 if asked.measure == "pure" else None,
        covered(asked, plan),
    )


# ------------------------------------------------------------------------------ draws


class Released:
    """Draws answers of a plan, many in one call of `QueryPlan.run`."""

    def __init__(self, plan: QueryPlan) -> None:
        self.plan = plan
        self.sizes: dict[int, QueryPlan] = {}

    def __call__(self, rows: Any, draws: int) -> Any:
        """Return a row of numbers for each answer: every column that is released, of every group."""
        if draws not in self.sizes:
            self.sizes[draws] = copies(self.plan, draws)
        answer = self.sizes[draws].run(table(rows), RNG).value
        keys = [item for item in self.plan.select.outputs if item.key is not None]
        names = [name for name in answer.column_names if name != COPY and name not in {item.name for item in keys}]
        values = np.column_stack([answer[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in names])
        copy = answer[COPY].to_numpy()
        if self.plan.select.having is None and not self.plan.select.order:
            return values.reshape(-1, draws, len(names)).swapaxes(0, 1).reshape(draws, -1)
        (key,) = keys
        groups = {value: i for i, value in enumerate(self.plan.question.domain[key.key].keys)}
        group = np.array([groups[value] for value in answer[key.name].to_pylist()], dtype=np.int64)
        return placed(copy, group, values, draws, len(groups))


def placed(copy, group, values, draws, groups):
    """Return for each answer and group in which row it came, and its values; NaN for a group that is left out."""
    found = np.full((draws, groups, 1 + values.shape[1]), np.nan)
    order = np.argsort(copy, kind="stable")
    starts = np.searchsorted(copy[order], np.arange(draws))
    place = np.empty(len(copy))
    place[order] = np.arange(len(copy)) - starts[copy[order]]
    found[copy, group] = np.column_stack([place, values])
    return found.reshape(draws, -1)


def copies(plan, draws):
    """Return the plan that answers `draws` times in one run: the innermost of its keys is which copy."""
    question = plan.question
    key = Column("integer", keys=tuple(range(draws)))
    many = replace(
        question,
        domain=Domain(**dict(question.domain), **{COPY: key}),
        keys=(*question.keys, COPY),
        bounds=replace(question.bounds, cells=question.bounds.cells * draws),
    )
    crossed = (
        f"SELECT answer.*, copies.copy AS k{len(question.keys)} "
        f"FROM ({plan.statement}) AS answer CROSS JOIN range({draws}) AS copies(copy)"
    )
    select = replace(plan.select, outputs=(*plan.select.outputs, nodes.Output(COPY, key=COPY)))
    return replace(plan, question=many, statement=crossed, select=select)


# ------------------------------------------------------------------------------ what is known exactly


def trials(plan, held):
    known: dict[str, Any] = {}
    for pair in held:
        for rows in (pair.first, pair.second):
            if str(rows) not in known:
                known[str(rows)] = exact(plan, rows)
        yield Trial(pair, own(plan, known[str(pair.first)], known[str(pair.second)]))


def exact(plan, rows):
    return _dense(duckdb.run(plan.question, plan.statement, table(rows)), plan.question)


def own(plan, first, second):
    """Return the loss between two exact answers by the law of the noise: ε, or μ."""
    moved = {part: [abs(int(a) - int(b)) for a, b in zip(first[part], second[part], strict=True)] for part in first}
    if all(noise.law == "discrete_laplace" for noise in plan.noises.values()):
        return float(sum(sum(steps) / plan.noises[part].scale for part, steps in moved.items()))
    return gaussian_loss([(step, plan.noises[part].scale) for part, steps in moved.items() for step in steps])


def covered(asked, plan):
    used = [one for item in plan.select.outputs if item.expression for one in nodes.aggregates(item.expression)]
    names = {
        *(one.function for one in used),
        *(part.kind for part in plan.noises),
        *(noise.law for noise in plan.noises.values()),
        asked.unit.relation.value,
        Measure.parse(asked.measure).kind,
    }
    return frozenset(f"sql.{name}" for name in names)


def everything():
    """Return the names of all that discreet.sql can be asked, as its own types list them."""
    kinds = (nodes.Function, bound.Kind, allocate.Law, get_type_hints(Measure)["kind"])
    names = [name for kind in kinds for name in get_args(kind)] + [one.value for one in Relation]
    return frozenset(f"sql.{name}" for name in names)
