"""A made-up shop in the manner of TPC-H: customers, their orders, the lines of those, and a public table of nations.

Tables of any size, made by DuckDB from row numbers alone, and more than sixty questions about them, in which the
bounds on people's groups do not bind. `benchmarks/engines.py` and the contract tests of engines ask them.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import duckdb

from discreet import Column, Dataset, Domain, Ledger, PrivacyUnit, Table, sql
from discreet.ledger import OwnerKey
from discreet.mechanisms import Rng
from discreet.sql.answers import answering

SEGMENTS = ["AUTO", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY"]
PRIORITIES = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"]
MODES = ["AIR", "MAIL", "RAIL", "SHIP", "TRUCK"]
REGIONS = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]
FIRST, LAST = datetime.date(1992, 1, 1), datetime.date(1998, 12, 31)
PER_CUSTOMER, PER_ORDER = 10, 4  # orders of a customer, lines of an order, on average
UNIT = PrivacyUnit(column="custkey", max_rows=64)  # in every group there is: none is left out

CUSTOMER = Domain(
    custkey="integer",
    nationkey=list(range(25)),
    segment=SEGMENTS,
    acctbal=(-1000.0, 10000.0),
    phone="text",
)
ORDERS = Domain(
    orderkey="integer",
    custkey="integer",
    status=["F", "O", "P"],
    totalprice=(0, 500_000),
    day=(FIRST, LAST),
    priority=PRIORITIES,
    comment="text",
)
LINES = Domain(
    orderkey="integer",
    quantity=(1, 50),
    price=Column("float", low=0, high=100_000, resolution="0.01"),
    discount=Column("float", low=0, high=0.1, resolution="0.01"),
    tax=(0.0, 0.08),
    returned=["A", "N", "R"],
    mode=MODES,
    shipped=(FIRST, LAST),
    gift="boolean",
)
NATION = Domain(nationkey=list(range(25)), nation="text", region=REGIONS)


def _pick(values, seed):
    listed = ", ".join(f"'{value}'" for value in values)
    return f"[{listed}][CAST(hash(i, {seed}) % {len(values)} AS INTEGER) + 1]"


def _chance(seed):
    return f"(hash(i, {seed}) / 18446744073709551616.0)"


TABLES = {
    "customer": f"""SELECT i AS custkey, CAST(hash(i, 1) % 25 AS INTEGER) AS nationkey, {_pick(SEGMENTS, 2)} AS segment,
        CASE WHEN hash(i, 3) % 50 = 0 THEN NULL ELSE round({_chance(4)} * 12000 - 1500, 2) END AS acctbal,
        CAST(hash(i, 5) % 90 + 10 AS VARCHAR) || '-' || CAST(i AS VARCHAR) AS phone FROM range({{customers}}) AS r(i)""",
    "orders": f"""SELECT i AS orderkey, CAST(floor({{customers}} * pow({_chance(11)}, 2)) AS BIGINT) AS custkey,
        {_pick(["F", "O", "P"], 12)} AS status, CAST({_chance(13)} * 600000 AS BIGINT) AS totalprice,
        DATE '1991-12-01' + CAST(hash(i, 14) % 2600 AS INTEGER) AS day, {_pick(PRIORITIES, 15)} AS priority,
        CASE WHEN hash(i, 16) % 10 = 0 THEN NULL WHEN hash(i, 16) % 10 = 1 THEN 'special requests' ELSE 'usual' END AS comment
        FROM range({{orders}}) AS r(i)""",
    "lines": f"""SELECT i // {PER_ORDER} AS orderkey, CAST(hash(i, 21) % 55 AS INTEGER) AS quantity,
        round({_chance(22)} * 110000 - 5000, 2) AS price, round({_chance(23)} * 0.12, 2) AS discount,
        CASE WHEN hash(i, 24) % 30 = 0 THEN CAST('nan' AS DOUBLE) ELSE round({_chance(25)} * 0.09, 2) END AS tax,
        {_pick(["A", "N", "R"], 26)} AS returned, {_pick(MODES, 27)} AS mode,
        DATE '1992-01-01' + CAST(hash(i, 28) % 2700 AS INTEGER) AS shipped,
        CASE WHEN hash(i, 29) % 20 = 0 THEN NULL ELSE hash(i, 29) % 2 = 0 END AS gift FROM range({{lines}}) AS r(i)""",
    "nation": f"""SELECT CAST(i AS INTEGER) AS nationkey, 'NATION ' || CAST(i AS VARCHAR) AS nation,
        {_pick(REGIONS, 31)} AS region FROM range(25) AS r(i)""",
}


def made(folder: Path, customers: int) -> dict[str, Path]:
    """Make the tables as Parquet files, unless they are there; return their paths."""
    orders = customers * PER_CUSTOMER
    sizes = {"customers": customers, "orders": orders, "lines": orders * PER_ORDER}
    found = {}
    for name, text in TABLES.items():
        found[name] = folder / f"{name}-{customers}.parquet"
        if not found[name].exists():
            aside = found[name].with_suffix(".making")
            duckdb.execute(f"COPY ({text.format(**sizes)}) TO '{aside}' (FORMAT parquet)")
            aside.rename(found[name])
    return found


def beside(sources) -> dict[str, Table]:
    """Return the tables beside that of customers."""
    return {
        "orders": Table(sources["orders"], domain=ORDERS, person="custkey"),
        "lines": Table(sources["lines"], domain=LINES, via=("orderkey", "orders", "orderkey")),
        "nation": Table(sources["nation"], domain=NATION),
    }


_ITEMS = "FROM orders o JOIN lines l ON o.orderkey = l.orderkey"
_ALL = "FROM customer c JOIN orders o ON c.custkey = o.custkey JOIN lines l ON o.orderkey = l.orderkey"

# Grouped by what they try. Every one has declared groups.
QUESTIONS: tuple[str, ...] = (
    # one table
    "SELECT COUNT(*) AS n FROM customer",
    "SELECT segment, COUNT(*) AS n, SUM(acctbal) AS s, AVG(acctbal) AS a FROM customer GROUP BY segment",
    "SELECT nationkey, COUNT(acctbal) AS n FROM customer WHERE acctbal > 0 GROUP BY nationkey",
    "SELECT segment, VARIANCE(acctbal) AS v, STDDEV_POP(acctbal) AS s FROM customer GROUP BY segment",
    "SELECT COUNT(DISTINCT custkey) AS people, COUNT(DISTINCT nationkey) AS nations FROM customer",
    "SELECT COUNT(*) AS n FROM customer WHERE phone LIKE '13-%'",
    "SELECT COUNT(*) AS n FROM customer WHERE phone LIKE '_3-%' AND NOT (segment = 'AUTO' OR acctbal IS NULL)",
    "SELECT segment, nationkey, COUNT(*) AS n FROM customer WHERE segment IN ('AUTO', 'BUILDING') GROUP BY segment, nationkey",
    "SELECT status, COUNT(*) AS n, SUM(totalprice) AS s FROM orders GROUP BY status",
    "SELECT status, AVG(totalprice) AS a, COUNT(DISTINCT custkey) AS p FROM orders GROUP BY status",
    "SELECT priority, COUNT(*) AS n FROM orders WHERE day BETWEEN '1994-01-01' AND '1994-12-31' GROUP BY priority",
    "SELECT priority, COUNT(*) FILTER (WHERE status = 'O') AS o, COUNT(*) AS n FROM orders GROUP BY priority",
    "SELECT COUNT(comment) AS c, COUNT(*) AS n FROM orders WHERE comment IS NULL OR comment <> 'usual'",
    "SELECT CASE WHEN COALESCE(comment, 'none') = 'none' THEN 'none' ELSE 'some' END AS c, COUNT(*) AS n FROM orders GROUP BY c",
    "SELECT MEDIAN(totalprice) AS m FROM orders",
    "SELECT status, QUANTILE_CONT(totalprice, 0.1) AS a, QUANTILE_CONT(totalprice, 0.9) AS b FROM orders GROUP BY status",
    "SELECT MIN(totalprice) AS a, MAX(totalprice) AS b FROM orders",
    "SELECT status, MODE(priority) AS m FROM orders GROUP BY status",
    # dates and expressions
    "SELECT EXTRACT(year FROM day) AS y, COUNT(*) AS n FROM orders GROUP BY y",
    "SELECT EXTRACT(month FROM day) AS m, SUM(totalprice) AS s FROM orders GROUP BY m",
    "SELECT EXTRACT(dow FROM day) AS d, COUNT(*) AS n FROM orders GROUP BY d",
    "SELECT EXTRACT(quarter FROM day) AS q, AVG(totalprice) AS a FROM orders GROUP BY q",
    "SELECT DATE_TRUNC('month', day) AS m, COUNT(*) AS n FROM orders GROUP BY m",
    "SELECT DATE_TRUNC('quarter', day) AS m, COUNT(*) AS n FROM orders GROUP BY m",
    "SELECT DATE_TRUNC('week', day) AS w, COUNT(*) AS n FROM orders WHERE status = 'F' GROUP BY w",
    "SELECT DATE_TRUNC('year', day) AS y, SUM(totalprice / 100) AS s FROM orders GROUP BY y",
    "SELECT FLOOR(totalprice / 50000) * 50000 AS b, COUNT(*) AS n FROM orders GROUP BY b",
    "SELECT SUM(totalprice * 2 - 7) AS s, AVG(ABS(totalprice - 250000)) AS a FROM orders",
    "SELECT SUM(CASE WHEN status = 'F' THEN totalprice WHEN status = 'O' THEN 0 - totalprice ELSE 0 END) AS s FROM orders",
    "SELECT CASE WHEN totalprice < 100000 THEN 'small' WHEN totalprice < 300000 THEN 'middle' ELSE 'large' END AS size, COUNT(*) AS n FROM orders GROUP BY size",
    "SELECT AVG(LEAST(GREATEST(totalprice, 1000), 9000)) AS a FROM orders",
    "SELECT COUNT(*) AS n FROM orders WHERE totalprice / 3 > 100000.5",
    # lines, behind a foreign key
    "SELECT returned, COUNT(*) AS n, SUM(quantity) AS q, SUM(price) AS p FROM lines GROUP BY returned",
    "SELECT returned, AVG(price) AS p, AVG(discount) AS d, AVG(tax) AS t FROM lines GROUP BY returned",
    "SELECT mode, returned, SUM(price * (1 - discount)) AS revenue FROM lines GROUP BY mode, returned",
    "SELECT SUM(price * discount) AS lost FROM lines WHERE quantity < 24 AND discount BETWEEN 0.05 AND 0.07",
    "SELECT mode, COUNT(*) AS n FROM lines WHERE gift GROUP BY mode",
    "SELECT gift, SUM(quantity) AS q FROM lines GROUP BY gift",
    "SELECT CORR(quantity, tax) AS c, COVAR_POP(quantity, discount) AS v FROM lines",
    "SELECT mode, STDDEV(quantity) AS s FROM lines GROUP BY mode",
    "SELECT EXTRACT(year FROM shipped) AS y, mode, COUNT(*) AS n FROM lines GROUP BY y, mode",
    "SELECT mode, MEDIAN(quantity) AS m FROM lines GROUP BY mode",
    "SELECT COUNT(DISTINCT mode) AS m, COUNT(DISTINCT quantity) AS q FROM lines",
    "SELECT SUM(tax) AS t, COUNT(tax) AS n FROM lines WHERE NOT (tax > 0.04)",
    # joins
    "SELECT c.segment, COUNT(*) AS n FROM customer c JOIN orders o ON c.custkey = o.custkey GROUP BY c.segment",
    f"SELECT o.priority, SUM(l.price) AS s {_ITEMS} GROUP BY o.priority",
    f"SELECT o.priority, COUNT(*) AS n {_ITEMS} WHERE l.shipped < o.day GROUP BY o.priority",
    f"SELECT c.segment, l.mode, SUM(l.quantity) AS q {_ALL} GROUP BY c.segment, l.mode",
    f"SELECT c.segment, SUM(l.price * (1 - l.discount)) AS r {_ALL} WHERE o.day < '1995-03-15' GROUP BY c.segment",
    "SELECT n.region, COUNT(*) AS n, AVG(c.acctbal) AS a FROM customer c JOIN nation n ON c.nationkey = n.nationkey GROUP BY n.region",
    "SELECT n.region, SUM(o.totalprice) AS s FROM customer c JOIN orders o ON c.custkey = o.custkey JOIN nation n USING (nationkey) GROUP BY n.region",
    "SELECT COUNT(*) AS n, COUNT(o.orderkey) AS o FROM customer c LEFT JOIN orders o ON c.custkey = o.custkey",
    "SELECT COUNT(*) AS n FROM customer c LEFT JOIN (SELECT * FROM nation WHERE region = 'ASIA') AS n ON c.nationkey = n.nationkey WHERE n.region IS NULL",
    # subqueries within a person
    "SELECT AVG(LEAST(GREATEST(n, 0), 30)) AS a FROM (SELECT custkey, COUNT(*) AS n FROM orders GROUP BY custkey) AS x",
    "SELECT LEAST(GREATEST(n, 0), 20) AS orders, COUNT(*) AS people FROM (SELECT custkey, COUNT(*) AS n FROM orders GROUP BY custkey) AS x GROUP BY LEAST(GREATEST(n, 0), 20)",
    "SELECT AVG(m) AS a FROM (SELECT custkey, AVG(totalprice) AS m FROM orders GROUP BY custkey HAVING COUNT(*) > 3) AS x",
    "SELECT SUM(big) AS s FROM (SELECT custkey, MAX(totalprice) AS big FROM orders GROUP BY custkey) AS x",
    "WITH spent AS (SELECT o.custkey, SUM(l.quantity) AS q FROM orders o JOIN lines l ON o.orderkey = l.orderkey GROUP BY o.custkey) SELECT c.segment, AVG(LEAST(GREATEST(s.q, 0), 2000)) AS a FROM customer c JOIN spent s ON c.custkey = s.custkey GROUP BY c.segment",
    "SELECT AVG(LEAST(GREATEST(p, 0), 5)) AS a FROM (SELECT custkey, COUNT(DISTINCT priority) AS p FROM orders GROUP BY custkey) AS x",
    "SELECT COUNT(*) AS n FROM (SELECT DISTINCT custkey, status FROM orders) AS x",
    "SELECT COUNT(*) AS n, SUM(v) AS s FROM (SELECT custkey, totalprice AS v FROM orders WHERE status = 'F' UNION ALL SELECT custkey, totalprice AS v FROM orders WHERE priority = '5-LOW') AS u",
    # several groupings
    "SELECT status, priority, COUNT(*) AS n, SUM(totalprice) AS s FROM orders GROUP BY ROLLUP (status, priority)",
    "SELECT returned, mode, SUM(quantity) AS q FROM lines GROUP BY CUBE (returned, mode)",
    "SELECT segment, nationkey, AVG(acctbal) AS a FROM customer GROUP BY GROUPING SETS ((segment), (nationkey), ())",
)


def dataset(folder: Path, sources) -> Dataset:
    """Return the shop as a dataset on a ledger of its own; `sources` are paths or DataFrames, by table."""
    ledger = Ledger(folder / "ledger.db")
    if not (folder / "ledger.db").exists():
        owner = OwnerKey.create(folder / "owner.key")
        ledger.open("customers", unit=UNIT, measure="zcdp", epsilon=100.0, delta=1e-6, owner=owner)
    return Dataset(
        sources["customer"],
        name="customer",
        version="1",
        unit=UNIT,
        domain=CUSTOMER,
        ledger=ledger,
        population="customers",
        releases=folder / "releases",
        tables=beside(sources),
    )


def exact(shop: Dataset, question: str, engine: str, *, unit: PrivacyUnit = UNIT):
    """Return the exact answers of a question, before any noise, as plain data: sums and histograms."""
    asked = replace(shop, unit=unit)
    bound = sql.plan(asked, question, epsilon=1.0, delta=1e-6, engine=engine)
    with bound.engine.opened(asked.sources, bound.question) as session:
        found = answering.exact(bound.question, bound.statements, session, bound.finder, Rng())
    sums = {part.label: [int(value) for value in values] for part, values in found.sums.items()}
    drawn = {part.label: [column.tolist() for column in found.histograms[part]] for part in found.histograms}
    return sums, drawn
