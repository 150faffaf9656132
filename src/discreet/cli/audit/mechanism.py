"""audit mechanism: a function of yours as a black box, told apart on neighbouring datasets."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discreet.cli.audit.claim import claimed
from discreet.cli.output import REFUTED, Json, WrongUse, say, show_json
from discreet.errors import DiscreetError, InvalidInput
from discreet.events import Relation

if TYPE_CHECKING:
    from discreet.audit import Pair
    from discreet.audit.tester import Run

What = Annotated[
    str, typer.Argument(metavar="MODULE:FUNCTION", help="run(data, draws), which returns so many outputs.")
]
Pairs = Annotated[
    str | None,
    typer.Option(metavar="MODULE:NAME", help="Your pairs of neighbours: a list of Pair, or a function that gives one."),
]
Answers = Annotated[
    int | None, typer.Option(metavar="SIZE", help="Instead: vectors of so many answers that move by 1, StatDP's.")
]
Records = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="LOWER UPPER", help="Instead: lists of numbers, for a mechanism that clamps them."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command to its group."""
    app.command()(mechanism)


def mechanism(
    what: What,
    *,
    relation: Annotated[Relation, typer.Option(help="What a neighbour is under the claim.")],
    epsilon: Annotated[float | None, typer.Option(help="The claim: ε.")] = None,
    delta: Annotated[float | None, typer.Option(help="The claim's δ; or at which δ to state an ε.")] = None,
    mu: Annotated[float | None, typer.Option(help="The claim: the μ of Gaussian DP.")] = None,
    rho: Annotated[float | None, typer.Option(help="The claim: the ρ of zCDP.")] = None,
    pairs: Pairs = None,
    answers: Answers = None,
    records: Records = None,
    single: Annotated[bool, typer.Option("--single", help="FUNCTION(data) returns one output.")] = False,
    draws: Annotated[int, typer.Option(help="Outputs from each dataset of a pair.")] = 200_000,
    alpha: Annotated[float, typer.Option(help="The chance of a false alarm.")] = 0.001,
    timing: Annotated[bool, typer.Option("--timing", help="Count the running time as an output.")] = False,
    as_json: Json = False,
) -> None:
    """Try to refute a claim about a mechanism by its outputs on neighbours. Exit code 4: refuted.

    Runs the code you name, on data made up for the purpose; it opens no ledger and spends nothing.
    """
    from discreet import audit

    claim = claimed(relation, epsilon=epsilon, delta=delta, mu=mu, rho=rho)
    held = _pairs(pairs, answers, records, relation)
    found = audit.mechanism(
        _run(what, single=single), claim=claim, pairs=held, draws=draws, alpha=alpha, delta=delta, timing=timing
    )
    if as_json:
        show_json(found.to_dict())
    else:
        say(str(found))
    if found.refuted:
        raise typer.Exit(REFUTED)


def _pairs(
    pairs: str | None, answers: int | None, records: tuple[float, float] | None, relation: Relation
) -> Iterable[Pair]:
    from discreet.audit import answer_pairs, record_pairs

    if sum(one is not None for one in (pairs, answers, records)) != 1:
        raise WrongUse("neighbours come from one of --pairs, --answers and --records.")
    if answers is not None:
        return answer_pairs(answers)
    if records is not None:
        return record_pairs(*records, relation=relation)
    assert pairs is not None
    held: Any = _named(pairs)
    if callable(held):
        held = _called(held, pairs)
    if not isinstance(held, Iterable):
        raise InvalidInput(f"{pairs} is no list of pairs.", remedy="Let it be one, or a function that returns one.")
    return held


def _run(what: str, *, single: bool) -> Run:
    """Return the function to test; an error of its own is told as such, for its data are made up."""
    from discreet.audit import one_by_one

    function = _named(what)
    if not callable(function):
        raise InvalidInput(f"{what} is no function.", remedy="Name a function of the module.")
    if single:
        return one_by_one(function)
    if len(_demanded(function)) != 2:
        raise InvalidInput(
            f"{what} does not take (data, draws).",
            remedy="If it takes data alone and returns one output, add --single.",
        )
    return lambda data, draws: _called(function, what, data, draws)


def _demanded(function: Any) -> list[str]:
    """Return the names of the arguments that a call must give by place."""
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        name
        for name, one in inspect.signature(function).parameters.items()
        if one.kind in places and one.default is inspect.Parameter.empty
    ]


def _called(function: Any, name: str, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except DiscreetError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - told in full: it met no private data
        raise InvalidInput(
            f"{name} failed: {type(error).__name__}: {error}",
            remedy="If failing is part of what it puts out, let it return one output and add --single.",
        ) from None


def _named(what: str) -> Any:
    """Return what MODULE:NAME names; modules of the working folder are found, too."""
    module, _, name = what.partition(":")
    if not module or not name:
        raise WrongUse(f"write MODULE:NAME, got {what!r}.")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the same; and no exit code but ours
        raise InvalidInput(
            f"the module {module!r} cannot be imported: {type(error).__name__}: {error}",
            remedy="Start in the folder where it lies, or install it.",
        ) from None
    if not hasattr(found, name):
        raise InvalidInput(f"the module {module!r} has no {name!r}.", remedy="Name a function of it.")
    return getattr(found, name)
