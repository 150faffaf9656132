"""Tumult Analytics on local Spark: what is asked of each group, one query for each aggregate, bounded per person."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

from meter import report, task

TASK = task()
QUESTION, LOW, HIGH = TASK["question"], TASK["low"], TASK["high"]
ASKED = {
    "sums": (lambda rows: rows.count(), lambda rows: rows.sum("v", LOW, HIGH), lambda rows: rows.average("v", LOW, HIGH)),
    "count": (lambda rows: rows.count(),),
    "sum": (lambda rows: rows.sum("v", LOW, HIGH),),
    "mean": (lambda rows: rows.average("v", LOW, HIGH),),
    "variance": (lambda rows: rows.variance("v", LOW, HIGH),),
    "median": (lambda rows: rows.median("v", LOW, HIGH),),
    "people": (lambda rows: rows.count_distinct(["uid"]),),
}  # fmt: skip


def prepare():
    os.environ["PYSPARK_PYTHON"] = sys.executable  # else Spark's workers take the system's Python
    from pyspark.sql import SparkSession
    from tmlt import analytics

    cores = os.cpu_count() or 1
    spark = SparkSession.builder.master(f"local[{cores}]").config("spark.driver.memory", "8g")
    spark = spark.config("spark.sql.shuffle.partitions", 2 * cores).config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return analytics, spark


def ask(ready):
    tm, spark = ready
    frame = spark.read.parquet(TASK["table"])
    budget = tm.PureDPBudget(TASK["epsilon"])
    if QUESTION == "keys":
        budget = tm.ApproxDPBudget(TASK["epsilon"], TASK["delta"])
    session = tm.Session.from_dataframe(budget, "t", frame, protected_change=tm.AddRowsWithID("uid"))
    return _found(tm, session) if QUESTION == "keys" else _known(tm, spark, session)


def _known(tm, spark, session):
    from pyspark.sql.types import IntegerType, StructField, StructType

    schema = StructType([StructField("g", IntegerType(), nullable=False)])
    keys = tm.KeySet.from_dataframe(spark.createDataFrame([(group,) for group in range(TASK["groups"])], schema))
    bounded = _bounded(tm, "g").groupby(keys)
    share = tm.PureDPBudget(TASK["epsilon"] / len(ASKED[QUESTION]))
    columns = []
    for aggregate in ASKED[QUESTION]:
        rows = session.evaluate(aggregate(bounded), share).collect()
        columns.append({row[0]: row[1] for row in rows})
    return [(group, *(column[group] for column in columns)) for group in columns[0]]


def _found(tm, session):
    """Find the keys with half of the budget, and count them with the other half."""
    half = TASK["epsilon"] / 2
    query = tm.QueryBuilder("t").enforce(tm.MaxRowsPerID(TASK["max_groups"] * TASK["max_rows"])).get_groups(["item"])
    found = session.evaluate(query, tm.ApproxDPBudget(half, TASK["delta"]))
    counts = _bounded(tm, "item").groupby(tm.KeySet.from_dataframe(found)).count()
    return [(row[0], row[1]) for row in session.evaluate(counts, tm.ApproxDPBudget(half, 0)).collect()]


def _bounded(tm, key):
    rows = tm.QueryBuilder("t").enforce(tm.MaxGroupsPerID(key, TASK["max_groups"]))
    return rows.enforce(tm.MaxRowsPerGroupPerID(key, TASK["max_rows"]))


report(prepare, ask, versions={name: version(name) for name in ("tmlt.analytics", "tmlt.core", "pyspark")})
