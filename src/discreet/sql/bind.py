"""The bound query: question and cost in one object, never apart."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from discreet import accounting, events
from discreet.dataset import Answer, Dataset
from discreet.domains import Column, shown
from discreet.errors import InvalidInput
from discreet.profiles import Guarantee
from discreet.sql import describe, nodes, post
from discreet.sql.allocate import Law, Noise, allocate
from discreet.sql.bound import Bounds, Primitive, primitives
from discreet.sql.engines import duckdb
from discreet.sql.forecast import Forecast, Guesses, forecasts, shares
from discreet.sql.narrow import narrowed
from discreet.sql.nodes import Select
from discreet.sql.parse import parse
from discreet.sql.stages import Question, salt

if TYPE_CHECKING:
    import pyarrow

    from discreet.mechanisms.rng import Rng

VERSION = 1
MOST_EPSILON = 1_000_000

# What a source has to be like for the proof to hold; the caller's word.
_VALID = "Stored values are valid for their stored types (text is UTF-8, dates and times are in range)."
_TYPES = "The stored types of the columns do not depend on the rows."
_ABOUT = {
    "csv": ["The CSV file is well formed: its records are the rows of the table."],
    "file": [_VALID, _TYPES],
    "arrow": [_VALID, _TYPES],
    "pandas": [_VALID, _TYPES],
    "polars": [_VALID, _TYPES],
    "connection": [
        _VALID,
        "A view or macro that the table is made of fails on no row, and makes each person's rows from theirs alone.",
    ],
}


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query bound to a dataset's public facts.

    Args:
        select: The query, in our own nodes.
        question: What the engine computes.
        noises: The noise of each primitive.
        event: What will run; the charge.
        guarantee: What the release alone guarantees.
        forecasts: The expected error of each output column.
        identity: Plain data that names the question; hashed into the request.
        facts: What the release leaves for `explain`.
        statement: The engine's SQL; written before the charge, so that nothing can be refused after it.
    """

    select: Select
    question: Question
    noises: Mapping[Primitive, Noise]
    event: events.Event
    guarantee: Guarantee
    forecasts: tuple[Forecast, ...]
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]
    statement: str

    @property
    def name(self) -> str:
        """What a release of this query is called, unless its asker says otherwise."""
        return f"query-{hashlib.sha256(str(self.select).encode()).hexdigest()[:8]}"

    def run(self, source: Any, rng: Rng) -> Answer:
        """Compute exact integers, add noise to each, and work out the answer from those alone.

        Args:
            source: The private source; `Dataset.lend` hands it over after the charge.
            rng: Where the noise comes from.

        Guarantee: the answer is a function of integers with the declared noise, so it costs
            `event` and nothing more, for every input table.
        Evidence: proven, docs/proofs/contribution_bounds.md.
        Assumes: DuckDB computes what the plan says (self-tested at start).
        Not protected: running time, memory, and files DuckDB spills to a private folder.
        """
        found = duckdb.run(self.question, self.statement, source)
        exact = _dense(found, self.question)
        del found
        noisy = {part: noise.add(exact[part], rng) for part, noise in self.noises.items()}
        del exact
        released = post.Noisy(self.question.domain, noisy, self.noises)
        value = post.table(self.select, released, _places(self.question))
        return Answer(value, describe.accuracy(self.select, self.question, self.noises))


def bind(
    dataset: Dataset,
    sql: str,
    *,
    epsilon: float,
    delta: float | None,
    weights: Mapping[str, float] | None,
    guess: Mapping[str, float] | None,
) -> QueryPlan:
    """Bind a query to a dataset's public facts: parse, bound, split the budget. Reads no private row."""
    kind = duckdb.kind(dataset.source)
    _check_units(dataset)
    select = parse(sql, table=dataset.name, domain=dataset.domain)
    measure = dataset.ledger.account(dataset.population).measure
    epsilon, delta = _asked(measure, epsilon, delta)
    domain = narrowed(dataset.domain, select.keys, select.where)
    bounds = Bounds.of(dataset.unit, domain, select.keys)
    used = [one for item in select.outputs if item.expression is not None for one in nodes.aggregates(item.expression)]
    parts = tuple(dict.fromkeys(part for one in used for part in primitives(one, dataset.domain)))
    question = Question(
        domain, dataset.unit, bounds, select.keys, parts, select.where, salt(dataset.name, dataset.version)
    )
    statement = duckdb.text(question, dataset.name if kind == "connection" else duckdb.SOURCE)
    guesses = Guesses.of(guess, dataset.domain, select.outputs)
    sensitivities = [bounds.sensitivity(part) for part in parts]
    law: Law = "discrete_laplace" if measure.kind == "pure" else "discrete_gaussian"
    split, why = shares(parts, sensitivities, law, guesses, weights)
    budget = accounting.budget(measure, epsilon=epsilon, delta=delta)
    drawn, event = allocate(measure, budget, sensitivities, split)
    noises = dict(zip(parts, drawn, strict=True))
    guarantee = _guarantee(dataset, kind, event, epsilon, delta)
    facts = describe.facts(select, question, noises, split, why, guarantee, str(measure))
    return QueryPlan(
        select=select,
        question=question,
        noises=noises,
        event=event,
        guarantee=guarantee,
        forecasts=forecasts(noises, guesses),
        identity=_identity(select, question, noises),
        facts=facts,
        statement=statement,
    )


def _check_units(dataset: Dataset) -> None:
    for name in (dataset.unit.column, dataset.unit.per):
        if name is not None and dataset.domain[name].type == "float":
            raise InvalidInput(
                f"the unit's column {name!r} is declared as float: 0.0 and -0.0 would be two people.",
                remedy="Declare it as integer or text.",
            )
    for name, column in dataset.domain.items():
        texts = [name, *(key for key in column.keys or () if isinstance(key, str))]
        if any("\0" in text or any("\ud800" <= mark <= "\udfff" for mark in text) for text in texts):
            raise InvalidInput(f"column {name!r} or a key of it holds a character that no text may hold.")


def _asked(measure: accounting.Measure, epsilon: float, delta: float | None) -> tuple[float, float]:
    """Check the budget asked for; on a pure account δ has no use and counts as 0."""
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < math.inf:
        raise InvalidInput(
            f"epsilon must be a number above 0, got {shown(epsilon)}.", remedy="For example epsilon = 0.5."
        )
    if epsilon >= MOST_EPSILON:
        raise InvalidInput(
            f"epsilon must be below {MOST_EPSILON:,}; so large a one protects nobody.",
            remedy="For example epsilon = 0.5.",
        )
    if delta is not None and (isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < 1):
        raise InvalidInput(f"delta must lie in [0, 1), got {shown(delta)}.", remedy="For example delta = 1e-7.")
    if measure.kind == "pure":
        return float(epsilon), 0.0
    if not delta:
        raise InvalidInput(
            f"this account is measured in {measure}, where epsilon means nothing without delta.",
            remedy="Give delta too, for example delta = 1e-7: far below one over the number of people.",
        )
    return float(epsilon), float(delta)


def _guarantee(dataset: Dataset, kind: str, event: events.Event, epsilon: float, delta: float) -> Guarantee:
    profile = accounting.analytic(event)
    assumptions = ["The declared bounds and keys are public knowledge."]
    if not dataset.unit.enforced:
        rows = dataset.unit.max_rows
        assumptions.append(f"Each person has at most {rows} row{'s' if rows > 1 else ''} in this table (promised).")
    csv = kind == "file" and str(dataset.source).lower().endswith(".csv")
    assumptions += _ABOUT["csv" if csv else kind]
    return Guarantee(
        unit=dataset.unit,
        epsilon=min(epsilon, profile.epsilon(delta).upper),
        delta=delta,
        method=profile.method,
        assumptions=tuple(assumptions),
        evidence="proven",
    )


def _identity(select: Select, question: Question, noises: Mapping[Primitive, Noise]) -> dict[str, Any]:
    return {
        "kind": "sql",
        "v": VERSION,
        "sql": str(select),
        "engine": duckdb.NAME,
        "salt": question.salt,
        "groups": question.bounds.groups,
        "rows": question.bounds.rows,
        "noise": [
            {"of": part.label, "law": noise.law, "scale": str(noise.scale), "sensitivity": str(noise.sensitivity)}
            for part, noise in noises.items()
        ],
    }


def _dense(found: pyarrow.Table, question: Question) -> dict[Primitive, NDArray[Any]]:
    """Return each primitive's exact integers over all declared groups; groups without rows have 0."""
    import pyarrow.compute as pc

    cells, known = np.zeros(found.num_rows, dtype=np.int64), np.ones(found.num_rows, dtype=bool)
    for i, name in enumerate(question.keys):
        keys = post.key_values(question.domain[name])
        place = pc.index_in(found.column(f"k{i}").cast(keys.type), value_set=keys)
        at = place.combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        known &= at >= 0  # the engine has left all others out; should it ever not, they are in no group
        cells = cells * len(keys) + at
    exact: dict[Primitive, NDArray[Any]] = {}
    for j, part in enumerate(question.primitives):
        high, low = (found.column(f"{half}{j}").to_numpy() for half in "hl")
        if len(high) and max(abs(int(high.min())), abs(int(high.max()))) >= 2**29:
            high, low = high.astype(object), low.astype(object)
        values = np.zeros(question.bounds.cells, dtype=high.dtype)
        values[cells[known]] = (high * 2**32 + low)[known]
        exact[part] = values
    return exact


def _places(question: Question) -> dict[str, NDArray[np.intp]]:
    """Return, for each key, which of its declared values each group has."""
    sizes = [len(_keys(question.domain[name])) for name in question.keys]
    places = np.unravel_index(np.arange(question.bounds.cells), sizes) if sizes else ()
    return dict(zip(question.keys, places, strict=True))


def _keys(column: Column) -> tuple[Any, ...]:
    return column.keys or ()
