"""Tiny databases of hostile rows, and their neighbours: many at once in one set of tables.

A database is a private table, another of the same persons, two that hang on foreign keys, and two public
ones. A *world* is one database; worlds stand side by side in the same tables, told apart by a column
`world` that no query names. Foreign keys carry the number of the world, so that no row finds its way to
another one.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, field

import pyarrow as pa

from discreet import Domain, Table
from discreet.domains import Column
from discreet.events import Relation

DAY = datetime.date
EACH = 1000  # foreign keys of one world
PEOPLE = 4
NEWCOMER = 7  # a person that no database has at first
OTHERS = {1: 2, 2: 1, 3: 4, 4: 3, NEWCOMER: NEWCOMER, None: 5}  # whose visits have the numbers of one's drugs

MAIN = Domain(
    id="integer",
    visit="integer",
    ward=["A", "B", None],
    floor=Column("integer", low=1, high=5, keys=(1, 2, 5)),
    age=(10, 100),
    debt=(-7, 3),
    weight=Column("float", low=-0.5, high=0.875, resolution=0.125),
    score=(-1.0, 1.0),
    ok="boolean",
    born=(DAY(2020, 1, 15), DAY(2020, 4, 20)),
    seen="date",
    note="text",
    code="integer",
    big=(-(2**40), 2**40),
)
STAYS = Domain(
    pid="integer",
    ward=["A", "B", None],
    floor=Column("integer", low=1, high=5, keys=(1, 2, 5)),
    nights=(0, 9),
    cost=Column("float", low=0.0, high=50.0, resolution=0.25),
    kind=["x", "y"],
    began=(DAY(2021, 1, 1), DAY(2021, 3, 31)),
    sick="boolean",
    place="text",
)
DRUGS = Domain(visit="integer", drug="integer", name=["p", "q", None], amount=(-3, 12), given="date")
DOSES = Domain(drug="integer", mg=(0, 5), late="boolean", how=["oral", "drip"])
WARDS = Domain(ward=["A", "B", "C"], beds=(0, 40), region=["n", "s"])
FLOORS = Domain(floor=[1, 2, 5], level=(-2, 2), tag=["low", "high"])

DOMAINS = {"t": MAIN, "stays": STAYS, "drugs": DRUGS, "doses": DOSES, "wards": WARDS, "floors": FLOORS}
PERSONS = {"t": "id", "stays": "pid"}
LINKS = {"drugs": ("visit", "t", "visit"), "doses": ("drug", "drugs", "drug")}
VIEWS = {
    "adults": "SELECT id, ward, age, debt, ok FROM t WHERE age >= 18",
    "spending": "SELECT pid, SUM(cost) AS total, COUNT(*) AS n, MAX(nights) AS longest FROM stays GROUP BY pid",
}
STORED = {  # what is stored is not always what is declared
    "t": {"age": pa.float64(), "debt": pa.string(), "weight": pa.float64(), "score": pa.float64(), "born": pa.string()},
    "stays": {"pid": pa.float64(), "cost": pa.float64(), "began": pa.date32()},
    "drugs": {"amount": pa.float64(), "given": pa.date32()},
    "doses": {},
    "wards": {},
    "floors": {},
}
TYPES = {"integer": pa.int64(), "text": pa.string(), "boolean": pa.bool_(), "date": pa.date32(), "float": pa.float64()}
PUBLIC = {
    "wards": [("A", 40, "n"), ("A", 3, "s"), ("B", -5, "s"), ("B", 999, None), ("C", 7, "n"), (None, 8, "n")],
    "floors": [(1, -2, "low"), (1, 2, "high"), (2, 0, None), (5, 77, "high"), (None, 1, "low")],
}

POOLS = {
    "t": {
        "ward": ("A", "A", "a", "B", "C", None),
        "floor": (1, 1, 2, 5, 7, None),
        "age": (10.0, 100.0, 100.0, 55.0, 17.4, -1e300, 1e30, math.nan, math.inf, None),
        "debt": ("-7", "3", "-99", "99999999999999999999", "2", "0", "junk", "", None),
        "weight": (-0.5, 0.875, 0.875, 0.4499999, -math.inf, 5.0, -0.0, None),
        "score": (-1.0, 1.0, 1.0, 0.3333, -0.0, 1e9, math.nan, None),
        "ok": (True, False, None),
        "born": (
            "2020-01-15",
            "2020-04-20",
            "2020-02-29",
            "1066-10-14",
            "9999-12-31",
            "infinity",
            "no day",
            "5877642-06-25 (BC)",
            None,
        ),
        "seen": (DAY(2019, 12, 31), DAY(2020, 2, 1), DAY(1, 1, 1), DAY(9999, 12, 31), None),
        "note": ("a", "A", "á", "b", "it's", "a%", "", None),
        "code": (0, 1, -1, 2**62, -(2**62), 3, None),
        "big": (2**40, -(2**40), 2**62, 77, 0, None),
    },
    "stays": {
        "ward": ("A", "B", "B", "C", None),
        "floor": (1, 2, 5, 9, None),
        "nights": (0, 9, 9, 40, -3, 4, None),
        "cost": (0.0, 50.0, 50.0, 12.3, 1e200, -1.0, math.nan, None),
        "kind": ("x", "y", "z", None),
        "began": (DAY(2021, 1, 1), DAY(2021, 3, 31), DAY(2021, 2, 14), DAY(1999, 1, 1), None),
        "sick": (True, False, None),
        "place": ("home", "away", "", None),
    },
    "drugs": {
        "name": ("p", "P", "q", "r", None),
        "amount": (-3.0, 12.0, 12.0, -999.0, 999.0, 5.5, math.nan, None),
        "given": (DAY(2020, 5, 5), DAY(2021, 5, 5), None),
    },
    "doses": {"mg": (0, 5, 5, 77, -1, None), "late": (True, False, None), "how": ("oral", "drip", None)},
}

KEYS = ("ward", "floor", "ok", "born", "note", "kind", "began", "place", "sick", "name", "late", "how")

Rows = dict[str, list[dict]]  # of one person, by table


def rows_of(dice, person, each=None) -> Rows:
    """Return the rows of one person: few and mixed, or very many, at the bounds and beyond, in one group or in all.

    Args:
        dice: A `random.Random`.
        person: Its number; None for the rows of nobody.
        each: How many rows a unit has, where no column says whose they are: then it has no more, in the main table.
    """
    kind = dice.choice(("few", "few", "deep", "wide"))
    found: Rows = {"t": [], "stays": [], "drugs": [], "doses": []}
    visits, drugs = 10 * (person or 5), 10 * OTHERS[person]
    fixed = {name: {column: dice.choice(values) for column, values in pool.items()} for name, pool in POOLS.items()}

    def row(table, **keys):
        pool = POOLS[table]
        if kind != "few" and dice.random() < 0.85:
            spread = {name: dice.choice(pool[name]) for name in KEYS if name in pool} if kind == "wide" else {}
            return fixed[table] | spread | keys
        return {name: dice.choice(values) for name, values in pool.items()} | keys

    for table, most in (("t", 9), ("stays", 6), ("drugs", 6), ("doses", 4)):
        for _ in range(dice.randint(0, 2) if kind == "few" else dice.randint(most // 2, most)):
            visit, drug = visits + dice.randint(0, 2), drugs + dice.randint(0, 2)
            visit = None if dice.random() < 0.05 else visit
            keys = {"t": {"id": person, "visit": visit}, "stays": {"pid": person},
                    "drugs": {"visit": visit, "drug": drug}, "doses": {"drug": drug}}  # fmt: skip
            found[table].append(row(table, **keys[table]))
    if each is not None and person is not None:
        return found | {"t": [one | {"id": dice.choice((0, 1, None))} for one in found["t"][:each]]}
    return found


def database(dice, each=None) -> dict:
    """Return a database: the rows of each person, and those of nobody."""
    return {person: rows_of(dice, person, each) for person in (*range(1, 1 + PEOPLE), None)}


def neighbour(dice, base, person, relation, each=None) -> dict:
    """Return a neighbour of a database, in which a person is gone, or is another one."""
    rest = {one: rows for one, rows in base.items() if one != person}
    if relation is not Relation.REPLACE_ONE:
        return rest
    other = dice.choice((person, NEWCOMER))
    return rest | {other: rows_of(dice, other, each)}


@dataclass
class Batch:
    """Databases with their neighbours, as one set of tables.

    Args:
        relation: The neighbouring relation.
        each: How many rows a unit has, where no column says whose they are.
        worlds: Each database.
        pairs: Which worlds are neighbours: the first, the second, and the person of the first.
    """

    relation: Relation
    each: int | None = None
    worlds: list[dict] = field(default_factory=list)
    pairs: list[tuple[int, int, int]] = field(default_factory=list)

    def tables(self, chosen=None) -> dict[str, pa.Table]:
        """Return the tables of the worlds `chosen`, by default of all."""
        found = {name: public(name) for name in PUBLIC}
        for name in POOLS:
            columns: dict[str, list] = {column: [] for column in (*DOMAINS[name], "world")}
            for world in range(len(self.worlds)) if chosen is None else chosen:
                for rows in self.worlds[world].values():
                    for row in rows[name]:
                        for column, value in row.items():
                            key = column in ("visit", "drug") and value is not None
                            columns[column].append(value + EACH * world if key else value)
                        columns["world"].append(world)
            kinds = {column: STORED[name].get(column, TYPES[kind.type]) for column, kind in DOMAINS[name].items()}
            kinds["world"] = pa.int64()
            found[name] = pa.table({column: pa.array(cells, kinds[column]) for column, cells in columns.items()})
        return found


def public(name) -> pa.Table:
    """Return a public table."""
    kinds = [TYPES[column.type] for column in DOMAINS[name].values()]
    columns = zip(*PUBLIC[name], strict=True)
    named = zip(DOMAINS[name], columns, kinds, strict=True)
    return pa.table({column: pa.array(cells, kind) for column, cells, kind in named})


def batch(dice, relation, databases, each=None) -> Batch:
    """Return a batch of so many random databases, each with a neighbour for every person, or for all rows of a unit."""
    found = Batch(relation, each)
    for _ in range(databases):
        base = database(dice, each)
        first = len(found.worlds)
        found.worlds.append(base)
        for person in range(1, 1 + PEOPLE):
            found.pairs.append((first, len(found.worlds), person))
            found.worlds.append(neighbour(dice, base, person, relation, each))
    return found


def declared(source, *, plain=False) -> dict[str, Table]:
    """Return the tables beside the main one, as a dataset declares them; where a unit is plain rows, the public ones."""
    return {
        name: Table(source, domain=domain, person=PERSONS.get(name), via=LINKS.get(name))
        for name, domain in DOMAINS.items()
        if name != "t" and (name in PUBLIC or not plain)
    }
