"""SmartNoise SQL on a pandas frame: it bounds rows of a person (max_ids), and has no bound on groups."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task

TASK = task()
SQL = "SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS m FROM public.t GROUP BY g"


def prepare():
    import pandas as pd
    import snsql

    return pd, snsql


def ask(ready):
    pd, snsql = ready
    table = {
        "max_ids": TASK["max_groups"] * TASK["max_rows"],
        "row_privacy": False,
        "censor_dims": False,  # the keys are known; SmartNoise takes them from the rows
        "uid": {"type": "int", "private_id": True},
        "g": {"type": "int"},
        "v": {"type": "int", "lower": TASK["low"], "upper": TASK["high"]},
    }
    frame = pd.read_parquet(TASK["table"])
    # It composes linearly, and counts AVG as two: COUNT, SUM and AVG cost 4 times what is given here.
    privacy = snsql.Privacy(epsilon=TASK["epsilon"] / 4, delta=1e-9)
    reader = snsql.from_df(frame, privacy=privacy, metadata={"": {"public": {"t": table}}})
    return list(reader.execute(SQL))[1:]


report(prepare, ask, versions={name: version(name) for name in ("smartnoise-sql", "opendp", "pandas")})
