"""OpenDP's polars front end: count, sum and mean of each group, bounded per person."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task

TASK = task()


def prepare():
    import opendp.prelude as dp
    import polars as pl

    dp.enable_features("contrib")
    return dp, pl


def ask(ready):
    dp, pl = ready
    keys = pl.LazyFrame({"g": range(TASK["groups"])}, schema={"g": pl.Int32})
    context = dp.Context.compositor(
        data=pl.scan_parquet(TASK["table"]),
        privacy_unit=dp.unit_of(contributions=1, identifier=pl.col("uid")),
        privacy_loss=dp.loss_of(epsilon=TASK["epsilon"]),
        split_evenly_over=1,
        margins=[dp.polars.Margin(by=["g"], max_length=TASK["rows"], max_groups=TASK["groups"])],
    )
    bounds = (TASK["low"], TASK["high"])
    query = (
        context.query()
        .truncate_per_group(TASK["max_rows"], by=["g"])
        # truncate_num_groups(K) keeps K - 1 groups, and its default keep="sample" fails on every query tried.
        .truncate_num_groups(TASK["max_groups"] + 1, by=["g"], keep="first")
        .group_by("g")
        .agg(
            dp.len().alias("n"),
            pl.col("v").cast(int).fill_null(0).dp.sum(bounds).alias("s"),
            pl.col("v").cast(int).fill_null(0).dp.mean(bounds).alias("m"),
        )
        .with_keys(keys)
    )
    return query.release().collect().select("g", "n", "s", "m").rows()


report(prepare, ask, versions={name: version(name) for name in ("opendp", "polars")})
