"""Questions in SQL under the tester: real plans on small neighbouring tables, drawn many answers at a time.

How they are drawn, and what is known exactly of them, is in `audited_released`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import count
from typing import get_args, get_type_hints

from audited import Case
from audited_released import Released, noises, table, trials

from discreet import Dataset, Domain, PrivacyUnit, sql
from discreet.accounting import Measure
from discreet.audit import Claim, Pair
from discreet.domains import Column
from discreet.events import Relation
from discreet.sql import allocate, bound, nodes
from discreet.sql.bind import QueryPlan
from discreet.testing import ScratchLedger

ADD, REPLACE, ZERO = Relation.ADD_REMOVE, Relation.REPLACE_ONE, Relation.ZERO_OUT
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
    Asked("COUNT(DISTINCT)", "SELECT COUNT(DISTINCT age) AS n, COUNT(DISTINCT id) AS p FROM t", person(), "pure", 2.0, VALUES),
    Asked("COUNT(DISTINCT)", f"SELECT ward, COUNT(DISTINCT floor) AS n{BY_WARD}", person(), "zcdp", 4.0, ROWS),
    Asked("COUNT(DISTINCT)", f"SELECT ward, COUNT(DISTINCT id) AS n{BY_WARD}", person(relation=REPLACE), "pure", 1.0, MOVES),
    Asked("COUNT(DISTINCT)", "SELECT COUNT(DISTINCT id) FILTER (WHERE age > 50) AS n FROM t", person(), "pure", 1.0, VALUES),
    Asked("variances", "SELECT VAR_POP(age) AS v FROM t", person(), "pure", 6.0, MEANS),
    Asked("variances", f"SELECT ward, VAR_SAMP(debt) AS v, STDDEV_POP(debt) AS d, STDDEV_SAMP(debt) AS e{BY_WARD}", person(1),
          "zcdp", 4.0, MEANS),
    Asked("two columns", "SELECT COVAR_POP(age, weight) AS v FROM t", person(), "pure", 6.0, MEANS),
    Asked("two columns", "SELECT COVAR_SAMP(age, debt) AS v, CORR(age, debt) AS c FROM t", person(relation=REPLACE), "zcdp", 4.0,
          MOVES[:2]),
    Asked("expressions", f"SELECT ward, SUM(2 * age - debt) AS s, AVG(CASE WHEN weight > 0 THEN age ELSE debt END) AS m{BY_WARD}",
          person(), "pure", 4.0, SUMS),
    Asked("expressions", "SELECT COUNT(*) FILTER (WHERE age > 50) AS n, SUM(LEAST(GREATEST(floor, 0), 3)) AS s FROM t",
          person(), "pure", 2.0, VALUES),
    Asked("subquery", "SELECT SUM(LEAST(GREATEST(n, 0), 3)) AS s, COUNT(*) AS c FROM (SELECT id, COUNT(*) AS n FROM t "
          "GROUP BY id HAVING COUNT(age) > 0)", person(), "pure", 2.0, ROWS),
    Asked("ROLLUP", "SELECT SUM(debt) AS s FROM t GROUP BY ROLLUP (ward)", person(), "pure", 2.0, SUMS),
    Asked("quantiles", "SELECT MEDIAN(debt) AS m FROM t", person(), "pure", 2.0, SUMS),
    Asked("quantiles", f"SELECT ward, QUANTILE_CONT(debt, 0.2) AS a, QUANTILE_CONT(debt, 0.8) AS b{BY_WARD}", person(), "zcdp", 9.0,
          SUMS),
    Asked("quantiles", f"SELECT ward, MEDIAN(debt) AS m{BY_WARD}", person(1, relation=REPLACE), "pure", 3.0, MOVES),
    Asked("MIN, MAX", "SELECT MIN(debt) AS a, MAX(debt) AS b FROM t", person(), "pure", 2.0, SUMS),
    Asked("MIN, MAX", f"SELECT ward, MAX(debt) AS m{BY_WARD}", person(relation=REPLACE), "zcdp", 9.0, MOVES),
    Asked("MODE", "SELECT MODE(ward) AS m FROM t", person(), "pure", 1.0, ROWS),
    Asked("MODE", "SELECT ward, MODE(floor) AS m FROM t GROUP BY ward", person(), "zcdp", 4.0, ROWS),
    Asked("MODE", "SELECT MODE(ward) AS m FROM t", person(relation=REPLACE), "pure", 2.0, MOVES),
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
        None if any(noise.law == "discrete_gaussian" for noise in noises(plan)) else 0.0,
        covered(asked, plan),
    )


def covered(asked, plan):
    used = [one for item in plan.select.outputs if item.expression for one in nodes.aggregates(item.expression)]
    names = {
        *(one.function for one in used),
        *(part.kind for part in plan.question.primitives),
        *(noise.law for noise in noises(plan)),
        asked.unit.relation.value,
        Measure.parse(asked.measure).kind,
    }
    return frozenset(f"sql.{name}" for name in names)


def everything():
    """Return the names of all that discreet.sql can be asked, as its own types list them."""
    kinds = (nodes.Function, bound.Kind, allocate.Law, get_type_hints(Measure)["kind"])
    names = [name for kind in kinds for name in get_args(kind)] + [one.value for one in Relation]
    return frozenset(f"sql.{name}" for name in names)
