"""PipelineDP on its local backend: count, sum and mean of each group, bounded per person. Rows are Python tuples."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task

TASK = task()


def prepare():
    import pipeline_dp
    import pyarrow.parquet as parquet

    return pipeline_dp, parquet


def ask(ready):
    pipeline_dp, parquet = ready
    table = parquet.read_table(TASK["table"], columns=["uid", "g", "v"])
    rows = list(zip(*(table.column(name).to_pylist() for name in ("uid", "g", "v")), strict=True))
    accountant = pipeline_dp.NaiveBudgetAccountant(total_epsilon=TASK["epsilon"], total_delta=1e-9)
    engine = pipeline_dp.DPEngine(accountant, pipeline_dp.LocalBackend())
    params = pipeline_dp.AggregateParams(
        metrics=[pipeline_dp.Metrics.COUNT, pipeline_dp.Metrics.SUM, pipeline_dp.Metrics.MEAN],
        noise_kind=pipeline_dp.NoiseKind.LAPLACE,
        max_partitions_contributed=TASK["max_groups"],
        max_contributions_per_partition=TASK["max_rows"],
        min_value=TASK["low"],
        max_value=TASK["high"],
    )
    columns = pipeline_dp.DataExtractors(
        privacy_id_extractor=lambda row: row[0],
        partition_extractor=lambda row: row[1],
        value_extractor=lambda row: row[2],
    )
    result = engine.aggregate(rows, params, columns, public_partitions=list(range(TASK["groups"])))
    accountant.compute_budgets()
    return [(group, found.count, found.sum, found.mean) for group, found in result]


report(prepare, ask, versions={name: version(name) for name in ("pipeline-dp", "python-dp")})
