"""OpenDP's polars front end: what is asked of each group, bounded per person."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task

TASK = task()
QUESTION, BOUNDS = TASK["question"], (TASK["low"], TASK["high"])
KEY = "item" if QUESTION == "keys" else "g"


def prepare():
    import opendp.prelude as dp
    import polars as pl

    dp.enable_features("contrib")
    return dp, pl


def aggregates(dp, pl):
    value = pl.col("v").cast(int).fill_null(0)
    count, total, mean = dp.len().alias("n"), value.dp.sum(BOUNDS).alias("s"), value.dp.mean(BOUNDS).alias("m")
    median = value.dp.median(candidates=list(range(TASK["low"], TASK["high"] + 1))).alias("d")
    return {"sums": (count, total, mean), "count": (dp.len(signed=True).alias("n"),), "sum": (total,), "mean": (mean,),
            "median": (median,), "keys": (count,)}[QUESTION]  # fmt: skip


def ask(ready):
    dp, pl = ready
    loss = dp.loss_of(epsilon=TASK["epsilon"])
    if QUESTION == "keys":
        loss = dp.loss_of(epsilon=TASK["epsilon"], delta=TASK["delta"])
    context = dp.Context.compositor(
        data=pl.scan_parquet(TASK["table"]),
        privacy_unit=dp.unit_of(contributions=1, identifier=pl.col("uid")),
        privacy_loss=loss,
        split_evenly_over=1,
        margins=[dp.polars.Margin(by=[KEY], max_length=TASK["rows"], max_groups=TASK["rows"])],
    )
    query = (
        context.query()
        .truncate_per_group(TASK["max_rows"], by=[KEY])
        # truncate_num_groups(K) keeps K - 1 groups, and its default keep="sample" fails on every query tried.
        .truncate_num_groups(TASK["max_groups"] + 1, by=[KEY], keep="first")
        .group_by(KEY)
        .agg(*aggregates(dp, pl))
    )
    if QUESTION != "keys":
        query = query.with_keys(pl.LazyFrame({"g": range(TASK["groups"])}, schema={"g": pl.Int32}))
    found = query.release().collect()
    return found.select(KEY, pl.exclude(KEY)).rows()


report(prepare, ask, versions={name: version(name) for name in ("opendp", "polars")})
