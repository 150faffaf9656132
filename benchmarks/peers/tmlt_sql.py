"""Tumult Analytics on local Spark: count, sum and mean of each group, one query each, bounded per person."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

from meter import report, task

TASK = task()


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
    from pyspark.sql.types import IntegerType, StructField, StructType

    frame = spark.read.parquet(TASK["table"])
    session = tm.Session.from_dataframe(
        tm.PureDPBudget(TASK["epsilon"]), "t", frame, protected_change=tm.AddRowsWithID("uid")
    )
    schema = StructType([StructField("g", IntegerType(), nullable=False)])
    keys = tm.KeySet.from_dataframe(spark.createDataFrame([(group,) for group in range(TASK["groups"])], schema))
    bounded = (
        tm.QueryBuilder("t")
        .enforce(tm.MaxGroupsPerID("g", TASK["max_groups"]))
        .enforce(tm.MaxRowsPerGroupPerID("g", TASK["max_rows"]))
        .groupby(keys)
    )
    low, high = TASK["low"], TASK["high"]
    share = tm.PureDPBudget(TASK["epsilon"] / 3)
    columns = []
    for query in (bounded.count(), bounded.sum("v", low, high), bounded.average("v", low, high)):
        rows = session.evaluate(query, share).collect()
        columns.append({row[0]: row[1] for row in rows})
    return [(group, *(column[group] for column in columns)) for group in columns[0]]


report(prepare, ask, versions={name: version(name) for name in ("tmlt.analytics", "tmlt.core", "pyspark")})
