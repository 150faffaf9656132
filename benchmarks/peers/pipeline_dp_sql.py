"""PipelineDP on its local backend: what is asked of each group, bounded per person. Rows are Python tuples."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task

TASK = task()
QUESTION = TASK["question"]
KEY = "item" if QUESTION == "keys" else "g"


def prepare():
    import pipeline_dp
    import pyarrow.parquet as parquet

    return pipeline_dp, parquet


def asked(pipeline_dp):
    """Return the metrics, and what an answer calls them."""
    metrics = pipeline_dp.Metrics
    return {
        "sums": ([metrics.COUNT, metrics.SUM, metrics.MEAN], ("count", "sum", "mean")),
        "count": ([metrics.COUNT], ("count",)),
        "sum": ([metrics.SUM], ("sum",)),
        "mean": ([metrics.MEAN], ("mean",)),
        "variance": ([metrics.VARIANCE], ("variance",)),
        "people": ([metrics.PRIVACY_ID_COUNT], ("privacy_id_count",)),
        "median": ([metrics.PERCENTILE(50)], ("percentile_50",)),
        "keys": ([metrics.COUNT], ("count",)),
    }[QUESTION]


def ask(ready):
    pipeline_dp, parquet = ready
    names = ["uid", KEY] if QUESTION == "keys" else ["uid", KEY, "v"]
    table = parquet.read_table(TASK["table"], columns=names)
    rows = list(zip(*(table.column(name).to_pylist() for name in names), strict=True))
    delta = TASK["delta"] if QUESTION == "keys" else 1e-9
    accountant = pipeline_dp.NaiveBudgetAccountant(total_epsilon=TASK["epsilon"], total_delta=delta)
    engine = pipeline_dp.DPEngine(accountant, pipeline_dp.LocalBackend())
    metrics, fields = asked(pipeline_dp)
    params = pipeline_dp.AggregateParams(
        metrics=metrics,
        noise_kind=pipeline_dp.NoiseKind.LAPLACE,
        max_partitions_contributed=TASK["max_groups"],
        max_contributions_per_partition=TASK["max_rows"],
        min_value=None if QUESTION in ("count", "people", "keys") else TASK["low"],
        max_value=None if QUESTION in ("count", "people", "keys") else TASK["high"],
    )
    columns = pipeline_dp.DataExtractors(
        privacy_id_extractor=lambda row: row[0],
        partition_extractor=lambda row: row[1],
        value_extractor=lambda row: row[-1] if len(row) > 2 else 0,
    )
    known = None if QUESTION == "keys" else list(range(TASK["groups"]))
    result = engine.aggregate(rows, params, columns, public_partitions=known)
    accountant.compute_budgets()
    return [(group, *(getattr(found, name) for name in fields)) for group, found in result]


report(prepare, ask, versions={name: version(name) for name in ("pipeline-dp", "python-dp")})
