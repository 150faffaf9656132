"""Spark beside DuckDB: one question over more and more rows, in local-cluster mode; time, and what is shuffled.

The question joins orders with their lines, bounds each customer, and sums by 15 groups. What Spark writes between
machines is read off its own counters, stage by stage: rows go to their person once, and what follows the sums per
person and group is as large as people and groups are, however many rows there were. Run it:

    python benchmarks/engines.py                      # one, four and sixteen million lines
    python benchmarks/engines.py --lines 1e6 1e7 1e8  # as far as the disk allows: a hundred million take 4 GB
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyspark
import shop
from pyspark.sql import SparkSession

MASTER = "local-cluster[2,1,1536]"
QUESTION = (
    "SELECT l.returned, l.mode, COUNT(*) AS n, SUM(l.quantity) AS q FROM orders o JOIN lines l "
    "ON o.orderkey = l.orderkey GROUP BY l.returned, l.mode"
)
CUSTOMERS = 20_000  # the same for all sizes: only the rows grow


def session(folder):
    home = folder / "home"
    home.mkdir()
    for part in ("bin", "jars"):  # executors write below Spark's home
        (home / part).symlink_to(Path(pyspark.__file__).parent / part)
    os.environ.update(SPARK_HOME=str(home), PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    builder = SparkSession.builder.master(MASTER).appName("engines")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.driver.memory": "1g",
        "spark.executor.memory": "1536m", "spark.sql.shuffle.partitions": "8", "spark.ui.enabled": "false",
        "spark.local.dir": str(folder / "local"), "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }  # fmt: skip
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def stages(spark):
    """Return what Spark's own counters say of each stage so far."""
    context = spark.sparkContext
    gateway = context._gateway  # noqa: SLF001 - there is no other way to them
    none = gateway.new_array(gateway.jvm.double, 0), gateway.jvm.java.util.ArrayList()
    found = context._jsc.sc().statusStore().stageList(None, False, False, *none)  # noqa: SLF001
    return [found.apply(i) for i in range(found.size())]


def shuffled(spark, before):
    """Return the bytes that each stage beyond the first `before` wrote to be shuffled, in their order."""
    found = sorted((one.stageId(), one.shuffleWriteBytes()) for one in stages(spark) if one.stageId() >= before)
    return [size for _, size in found if size]


def timed(work):
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=float, nargs="+", default=[1e6, 4e6, 16e6])
    sizes = [int(size) for size in parser.parse_args().lines]
    print(f"Python {platform.python_version()}, PySpark {pyspark.__version__}, DuckDB {duckdb.__version__}, "
          f"{os.cpu_count()} cores, {MASTER}")  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="discreet-engines-"))
    spark = session(folder)
    print("      lines  DuckDB s  Spark s  ns a line (Spark)  equal   shuffled by each stage, MB")
    for lines in sizes:
        shop.PER_CUSTOMER = max(1, lines // (CUSTOMERS * shop.PER_ORDER))
        place = folder / str(lines)
        place.mkdir()
        data = shop.dataset(place, shop.made(place, CUSTOMERS))
        ours, first = timed(lambda data=data: shop.exact(data, QUESTION, "duckdb"))
        shop.exact(data, QUESTION, "spark")  # once to warm up
        before = 1 + max(one.stageId() for one in stages(spark))
        theirs, second = timed(lambda data=data: shop.exact(data, QUESTION, "spark"))
        sizes_ = ", ".join(f"{size / 1e6:.4f}" for size in shuffled(spark, before))
        print(
            f"{lines:11,} {first:9.2f} {second:8.2f} {second / lines * 1e9:18.0f} {ours == theirs!s:>6}   {sizes_}",
            flush=True,
        )
    spark.stop()


if __name__ == "__main__":
    main()
