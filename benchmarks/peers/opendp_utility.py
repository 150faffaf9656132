"""OpenDP's answers to one aggregate, released again and again."""

from __future__ import annotations

import json
from pathlib import Path

import opendp.prelude as dp
import polars as pl
from meter import task

TASK = task()
BOUNDS = (TASK["low"], TASK["high"])


def main():
    dp.enable_features("contrib")
    value = pl.col("v").cast(int).fill_null(0)
    columns = {
        "COUNT": lambda: dp.len(signed=True),
        "SUM": lambda: value.dp.sum(BOUNDS),
        "AVG": lambda: value.dp.mean(BOUNDS),
    }
    spent = TASK["budget"] * TASK["releases"]
    context = dp.Context.compositor(
        data=pl.scan_parquet(TASK["table"]),
        privacy_unit=dp.unit_of(contributions=1, identifier=pl.col("uid")),
        privacy_loss=dp.loss_of(epsilon=spent) if TASK["account"] == "pure" else dp.loss_of(rho=spent),
        split_evenly_over=TASK["releases"],
        margins=[dp.polars.Margin(by=["g"], max_length=TASK["rows"], max_groups=TASK["cells"])],
    )
    keys = pl.LazyFrame({"g": range(TASK["cells"])}, schema={"g": pl.Int32})
    query = (
        context.query()
        .truncate_per_group(TASK["max_rows"], by=["g"])
        .truncate_num_groups(TASK["groups"], by=["g"], keep="first")
        .group_by("g")
        .agg(columns[TASK["function"]]().alias("x"))
        .with_keys(keys)
    )
    found = []
    for _ in range(TASK["releases"]):
        found += query.release().collect()["x"].to_list()
    Path(TASK["out"]).write_text(json.dumps(found))


main()
