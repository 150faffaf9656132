"""Questions in SQL: parsed into our own nodes, bounded per person, summed exactly, noised, explained.

DuckDB, sqlglot and Arrow are loaded with the first question, not with this package.
"""

from discreet.sql.ask import Query, QueryCost, cost, plan, query
from discreet.sql.bind import QueryPlan
from discreet.sql.continual.plan import SeriesPlan
from discreet.sql.continual.series import Series, series
from discreet.sql.forecast import Forecast
from discreet.sql.kept import Materialised, materialise
from discreet.sql.limits import find_bounds, find_limits
from discreet.sql.parsing.parse import table_names
from discreet.sql.workload import Workload, WorkloadPlan, workload

__all__ = [
    "Forecast",
    "Materialised",
    "Query",
    "QueryCost",
    "QueryPlan",
    "Series",
    "SeriesPlan",
    "Workload",
    "WorkloadPlan",
    "cost",
    "find_bounds",
    "find_limits",
    "materialise",
    "plan",
    "query",
    "series",
    "table_names",
    "workload",
]
