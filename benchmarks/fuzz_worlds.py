"""Hostile worlds for `fuzz_sql.py`: what is declared, what is stored, and secrets among it that nothing may show.

A world is a set of declared tables. What is stored in them is not what is declared: extreme numbers, NaN, junk in
every type, nothing at all. The secrets are one person's, and lie outside of all declared bounds and keys.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pyarrow as pa
from fuzz_names import CLASHING

from discreet import Domain, PrivacyUnit
from discreet.domains import Column

DAY = datetime.date
SECRET_TEXT, SECRET_WHOLE, SECRET_FLOAT = "Zq7canary", 738_164_298_351, 5_183_764.296875
SECRETS = (SECRET_TEXT, str(SECRET_WHOLE), "5183764.29", "5.18376429")
PEOPLE = 5
SECRETIVE = 4  # the person whose the secrets are


@dataclass(frozen=True)
class Held:
    """A declared table.

    Args:
        domain: Its columns.
        person: The column that holds the person.
        via: A foreign key to the person.
        keys: Columns that join, each with the numbers that it holds.
    """

    domain: Domain
    person: str | None = None
    via: tuple[str, str, str] | None = None
    keys: dict[str, range] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """What is declared.

    Args:
        name: For messages.
        unit: Who is protected.
        measure: Of the account.
        tables: The tables, the main one first.
        views: The owner's views.
    """

    name: str
    unit: PrivacyUnit
    measure: str
    tables: dict[str, Held]
    views: dict[str, str] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The name of the dataset's own table."""
        return next(iter(self.tables))


# --------------------------------------------------------------------------------------- what is stored

JUNK = (
    "", " ", "x", "12.5", "-0", "1e3", "1e999", "0x10", "1_000", "1,5", "NaN", "inf", "-Infinity", "true", "T", "no", ".",
    "2020-02-30", "2020-01-01", "2020-01-01 25:00:00", "infinity", "-infinity", "epoch", "5877642-06-25 (BC)", "0000-01-01",
    "290309-12-22 (BC)", "99999-01-01", "99999999999999999999999", "-170141183460469231731687303715884105728", "٣", "\u200b1",
    "a\0b", "'", '"', "%", "_", "\\", "\r\n", "🦜", "e\u0301", "NULL", "{}", "[1, 2]", "a" * 400, SECRET_TEXT, str(SECRET_WHOLE),
    str(SECRET_FLOAT),
)  # fmt: skip
POOLS: dict[str, tuple[Any, ...]] = {
    "integer": (0, 1, -1, 2, 3, 7, 100, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63), SECRET_WHOLE, None),
    "float": (0.0, -0.0, 0.5, 2.5, 5e-324, 1e308, -1e308, 1e19, math.nan, math.inf, -math.inf, SECRET_FLOAT, None),
    "text": (*JUNK, None, None, "A", "B", "b"),
    "boolean": (True, False, None),
    "date": (DAY(1, 1, 1), DAY(9999, 12, 31), DAY(1970, 1, 1), DAY(2000, 2, 29), DAY(2021, 7, 31), None),
}
KINDS = {"integer": pa.int64(), "float": pa.float64(), "text": pa.string(), "boolean": pa.bool_(), "date": pa.date32()}
OTHERS = {  # types that a column may be stored as instead
    "integer": (pa.float64(), pa.float32(), pa.int32(), pa.bool_(), pa.decimal128(38, 4), pa.string(), pa.uint64(), pa.null()),
    "float": (pa.int64(), pa.float32(), pa.decimal128(30, 8), pa.string(), pa.int8(), pa.bool_(), pa.null()),
    "text": (pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.int64(), pa.float64(), pa.date32(), pa.bool_(), pa.null()),
    "boolean": (pa.string(), pa.int64(), pa.float64(), pa.int8(), pa.null()),
    "date": (pa.string(), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.date64(), pa.null()),
}  # fmt: skip


def stored(dice, world: World, style: str) -> dict[str, pa.Table]:
    """Return the tables of a world.

    Args:
        dice: A `random.Random`.
        world: The world.
        style: typed, text, mixed, or empty; how it is stored.
    """
    return {name: _table(dice, held, style) for name, held in world.tables.items()}


def _table(dice, held: Held, style: str) -> pa.Table:
    number = 0 if style == "empty" else dice.choice((1, 6, 14, 30))
    people = [dice.choice((*range(1, 1 + PEOPLE), 1, 1, None)) for _ in range(number)]
    columns = {name: _column(dice, name, column, held, people, style) for name, column in held.domain.items()}
    return pa.table(columns)


def _column(dice, name: str, column: Column, held: Held, people: list[int | None], style: str) -> pa.Array:
    if name == held.person:
        cells: list[Any] = [None if one is None else _person(column.type, one) for one in people]
    elif name in held.keys:
        cells = [dice.choice((*held.keys[name], None)) for _ in people]
        cells = [str(cell) if column.type == "text" and cell is not None else cell for cell in cells]
    else:
        cells = [_cell(dice, column, one) for one in people]
    if style == "text" or (style == "mixed" and dice.random() < 0.3):
        return pa.array([_written(dice, cell, one) for cell, one in zip(cells, people, strict=True)], pa.string())
    kind = dice.choice(OTHERS[column.type]) if style == "mixed" and dice.random() < 0.5 else KINDS[column.type]
    return _forced(cells, kind)


def _person(kind: str, number: int) -> Any:
    names = {"text": f"p'{number}", "date": DAY(2000, 1, number), "boolean": number % 2 == 0, "float": float(number)}
    return names.get(kind, number)


def _cell(dice, column: Column, person: int | None) -> Any:
    """Return a cell; only the secretive person has secrets."""
    own: tuple[Any, ...] = column.keys or ()
    if column.low is not None and column.high is not None:
        own += (column.low, column.high)
        if not isinstance(column.low, datetime.date):
            middle = (column.low + column.high) / 2  # type: ignore[operator]
            own += (int(middle) if column.type == "integer" else middle,)
    while True:
        cell = dice.choice(own) if own and dice.random() < 0.6 else dice.choice(POOLS[column.type])
        if person == SECRETIVE or not any(secret in str(cell) for secret in SECRETS):
            return _fitting(cell, column.type)


def _fitting(cell: Any, kind: str) -> Any:
    if kind == "integer" and isinstance(cell, float):
        cell = int(cell)
    if kind == "integer" and cell is not None:
        return max(-(2**63), min(2**63 - 1, cell))
    return float(cell) if kind == "float" and cell is not None else cell


def _written(dice, cell: Any, person: int | None) -> str | None:
    """Return a cell as text, or junk in its place."""
    if dice.random() < 0.3:
        junk = dice.choice(JUNK)
        return junk if person == SECRETIVE or not any(secret in junk for secret in SECRETS) else "junk"
    return None if cell is None else str(cell)


def _forced(cells: list[Any], kind: pa.DataType) -> pa.Array:
    """Return cells as a type; those that it cannot hold are missing."""
    found = []
    for cell in cells:
        try:
            found.append(pa.array([cell], kind) if not isinstance(cell, bool) else pa.array([cell]).cast(kind))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError):
            found.append(pa.array([None], kind))
    return pa.concat_arrays(found) if found else pa.array([], kind)


# --------------------------------------------------------------------------------------- what is declared


def worlds() -> list[World]:
    """Return all worlds."""
    return [_ward(), _clash(), _odd(), _ends(), _alone(), _periods(), _trade(), _loose()]


def _ward() -> World:
    main = Domain(
        id="integer", visit="integer", ward=["A", "B", None], floor=Column("integer", low=1, high=5, keys=(1, 2, 5)),
        age=(0, 100), weight=(-1.5, 2.0), smoker="boolean", born=(DAY(2020, 1, 15), DAY(2020, 4, 20)), seen="date",
        note="text", code="integer",
    )  # fmt: skip
    stays = Domain(pid="integer", ward=["A", "B"], nights=(0, 9), cost=Column("float", low=0.0, high=50.0, resolution=Fraction(1, 4)),
                   began=(DAY(2021, 1, 1), DAY(2021, 3, 31)), place="text")  # fmt: skip
    drugs = Domain(visit="integer", name=["p", "q", None], amount=(-3, 12), given="date")
    wards = Domain(ward=["A", "B", "C"], beds=(0, 40), region=["n", "s"])
    return World(
        "ward",
        PrivacyUnit(column="id", max_groups=2, max_rows=2),
        "zcdp",
        {
            "t": Held(main, "id", keys={"visit": range(3)}),
            "stays": Held(stays, "pid"),
            "drugs": Held(drugs, None, ("visit", "t", "visit"), {"visit": range(3)}),
            "wards": Held(wards),
        },
        {
            "adults": "SELECT id, ward, age, smoker, note FROM t WHERE age >= 18",
            "spending": "SELECT pid, SUM(cost) AS total, COUNT(*) AS n FROM stays GROUP BY pid",
        },
    )


def _clash() -> World:
    """Everything is called as something of ours is."""
    kinds: tuple[Any, ...] = ((0, 9), ["A", "B"], "boolean", "text", "integer", (-1.0, 1.0), [1, 2, None])
    columns = {name: kinds[i % len(kinds)] for i, name in enumerate(CLASHING)}
    main = Domain(**(columns | {"u0": "integer"}))
    other = Domain(c0="integer", k0=["A", "B"], place=(0, 5), kept=(0.0, 1.0), person="text")
    return World(
        "clash",
        PrivacyUnit(column="u0", max_groups=1, max_rows=3, relation="replace_one"),  # type: ignore[arg-type]
        "pure",
        {"typed": Held(main, "u0"), "kept": Held(other, "c0"), "bounded": Held(Domain(k0=["A", "B"], total=(0, 3)))},
        {"person": "SELECT u0, c0, k0, place FROM typed", "total": "SELECT c0, COUNT(*) AS n FROM kept GROUP BY c0"},
    )


def _odd() -> World:
    main = Domain(**{
        'who is "it"': "text", "a b": ["x'y", 'q"r', "new\nline", "%", "", "\\", "🦜", None], "select": (0, 10), "Ünïcode": (-5, 5),
        "semi;colon": "text", "tab\there": "boolean", "dash--dash": [1, -1, 2**63 - 1, -(2**63)], "x" * 200: (0.0, 1.0), "1st": "integer",
        "date": (DAY(2024, 2, 28), DAY(2024, 3, 1)), "key 0": "integer", "having 0": (0, 1), "n_se": (0, 3), "$1": (0, 2), "a.b": (0, 2),
    })  # fmt: skip
    visits = Domain(**{"who": "text", "it's": (0, 5), "a b": ["x'y", "%", None]})
    return World(
        "odd",
        PrivacyUnit(column='who is "it"', max_groups=3, max_rows=1),
        "zcdp",
        {"Order-Items.2024": Held(main, 'who is "it"'), "group": Held(visits, "who"), "user": Held(Domain(**{"a b": ["x'y", "%"], "z": (0, 1)}))},
        {"where": 'SELECT "who is ""it""", "select", "a b" FROM "Order-Items.2024" WHERE "select" > 3'},
    )  # fmt: skip


def _ends() -> World:
    main = Domain(
        id="integer", big=(-(2**40), 2**40), wide=Column("float", low=-1e300, high=1e300, resolution=Fraction(10) ** 289),
        tiny=Column("float", low=0, high=1e-200, resolution=Fraction(1, 10**205)), third=Column("float", low=0, high=10, resolution=Fraction(1, 3)),
        far=Column("integer", low=10**15, high=10**15 + 8192, resolution=Fraction(2**11)), tall=Column("integer", low=0, high=2**60, resolution=Fraction(2**30)),
        key=[2**63 - 1, -(2**63), 0, None], flag=[True], either=[False, True, None], always=(DAY(1, 1, 1), DAY(9000, 12, 31)),
        day=(DAY(2024, 2, 29), DAY(2024, 2, 29)), days=[DAY(1, 1, 1), DAY(9999, 12, 31), None], edge=(0, 1), text="text",
    )  # fmt: skip
    return World("ends", PrivacyUnit(column="id", max_groups=2**6, max_rows=2**16), "renyi(8)", {"t": Held(main, "id")})


def _alone() -> World:
    """One row is one unit, or three are."""
    main = Domain(ward=["A", "B", None], age=(0, 100), weight=(-1.0, 1.0), ok="boolean", note="text", code="integer",
                  born=(DAY(2020, 1, 1), DAY(2020, 12, 31)))  # fmt: skip
    wards = Domain(ward=["A", "B"], beds=(0, 40))
    unit = PrivacyUnit(max_rows=3, relation="replace_one")  # type: ignore[arg-type]
    return World("alone", unit, "pure", {"t": Held(main), "wards": Held(wards)})


def _periods() -> World:
    main = Domain(id="text", month=[1, 2, 3], ward=["A", "B"], age=(0, 100), ok="boolean", note="text", on="date")
    stays = Domain(pid="text", month="integer", nights=(0, 9), kind=["x", "y"])
    unit = PrivacyUnit(column="id", per="month", max_groups=2, max_rows=2)
    return World("periods", unit, "zcdp", {"t": Held(main, "id"), "stays": Held(stays, "pid")})


def _trade() -> World:
    """Customers, their orders and the lines of these, in the manner of a well-known benchmark."""
    customer = Domain(c_custkey="integer", c_nationkey=(0, 4), c_acctbal=(-999.0, 9999.0), c_mktsegment=["BUILDING", "MACHINERY"],
                      c_name="text", c_phone="text")  # fmt: skip
    orders = Domain(o_orderkey="integer", o_custkey="integer", o_orderstatus=["F", "O", "P"], o_totalprice=(0.0, 500000.0),
                    o_orderdate=(DAY(1992, 1, 1), DAY(1998, 12, 31)), o_orderpriority=["1-URGENT", "5-LOW"], o_comment="text")  # fmt: skip
    lineitem = Domain(l_orderkey="integer", l_partkey=(1, 4), l_quantity=(0, 50), l_extendedprice=(0.0, 100000.0),
                      l_discount=Column("float", low=0, high=0.1, resolution=Fraction(1, 100)), l_tax=(0.0, 0.08),
                      l_returnflag=["A", "N", "R"], l_linestatus=["O", "F"], l_shipdate=(DAY(1992, 1, 1), DAY(1998, 12, 31)),
                      l_shipmode=["AIR", "MAIL", "SHIP"], l_comment="text")  # fmt: skip
    part = Domain(p_partkey=(1, 4), p_brand=["Brand#12", "Brand#23"], p_size=(1, 50), p_type="text")
    nation = Domain(n_nationkey=(0, 4), n_name=["FRANCE", "GERMANY", "CHINA"], n_regionkey=(0, 2))
    return World(
        "trade",
        PrivacyUnit(column="c_custkey", max_groups=4, max_rows=8),
        "zcdp",
        {
            "customer": Held(customer, "c_custkey", keys={"c_nationkey": range(5)}),
            "orders": Held(orders, "o_custkey", keys={"o_orderkey": range(8)}),
            "lineitem": Held(lineitem, None, ("l_orderkey", "orders", "o_orderkey"), {"l_orderkey": range(8), "l_partkey": range(1, 5)}),
            "part": Held(part, keys={"p_partkey": range(1, 5)}),
            "nation": Held(nation, keys={"n_nationkey": range(5)}),
        },
        {"revenue": "SELECT l_orderkey, l_extendedprice * (1 - l_discount) AS volume, l_shipdate FROM lineitem"},
    )  # fmt: skip


def _loose() -> World:
    """Nothing says how many groups a person may touch; persons are dates, and bounds are few."""
    main = Domain(born="date", x="float", y="integer", z=(0, 3), ward=["A"], note="text", ok="boolean")
    more = Domain(born="date", x=(0.0, 1.0), note="text")
    return World(
        "loose", PrivacyUnit(column="born", max_rows=2), "pure", {"t": Held(main, "born"), "more": Held(more, "born")}
    )
