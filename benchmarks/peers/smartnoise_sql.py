"""SmartNoise SQL on a pandas frame: it bounds rows of a person (max_ids), and has no bound on groups."""

from __future__ import annotations

from importlib.metadata import version

from meter import report, task

TASK = task()
QUESTION = TASK["question"]
ASKED = {
    "sums": "SELECT g, COUNT(*) AS n, SUM(v) AS s, AVG(v) AS m FROM public.t GROUP BY g",
    "count": "SELECT g, COUNT(*) AS n FROM public.t GROUP BY g",
    "sum": "SELECT g, SUM(v) AS s FROM public.t GROUP BY g",
    "mean": "SELECT g, AVG(v) AS m FROM public.t GROUP BY g",
    "variance": "SELECT g, VAR(v) AS d FROM public.t GROUP BY g",
    "people": "SELECT g, COUNT(DISTINCT uid) AS n FROM public.t GROUP BY g",
    "keys": "SELECT item, COUNT(*) AS n FROM public.t GROUP BY item",
}
# It composes linearly, and counts AVG as two mechanisms, VAR as three.
MECHANISMS = {"sums": 4, "mean": 2, "variance": 3}


def prepare():
    import pandas as pd
    import snsql

    return pd, snsql


def ask(ready):
    pd, snsql = ready
    table = {
        "max_ids": TASK["max_groups"] * TASK["max_rows"],
        "row_privacy": False,
        "censor_dims": QUESTION == "keys",  # else the keys are known; SmartNoise takes them from the rows
        "uid": {"type": "int", "private_id": True},
        "g": {"type": "int"},
        "item": {"type": "int"},
        "v": {"type": "int", "lower": TASK["low"], "upper": TASK["high"]},
    }
    frame = pd.read_parquet(TASK["table"])
    table = {name: about for name, about in table.items() if not isinstance(about, dict) or name in frame.columns}
    delta = TASK["delta"] if QUESTION == "keys" else 1e-9
    privacy = snsql.Privacy(epsilon=TASK["epsilon"] / MECHANISMS.get(QUESTION, 1), delta=delta)
    reader = snsql.from_df(frame, privacy=privacy, metadata={"": {"public": {"t": table}}})
    return list(reader.execute(ASKED[QUESTION]))[1:]


report(prepare, ask, versions={name: version(name) for name in ("smartnoise-sql", "opendp", "pandas")})
