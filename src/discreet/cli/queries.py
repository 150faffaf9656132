"""query and cost: one question in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from discreet.cli.answers import Format, Wanted
from discreet.cli.output import FORECAST, Json, Yes, confirm, forecast, forecast_notes, say, show_json, show_table, size
from discreet.errors import DiscreetError, InvalidInput
from discreet.release.shown import NOTHING, number

if TYPE_CHECKING:
    from discreet.sql import QueryCost

Place = Annotated[Path, typer.Argument(metavar="PROJECT", help="A discreet.toml or the folder it is in.")]
Sql = Annotated[str, typer.Argument(metavar="SQL", help="One SELECT.")]
Epsilon = Annotated[float | None, typer.Option(help="What the whole query may cost.")]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target-error", metavar="[COLUMN=]NUMBER", help="Instead of epsilon: the 95 % half width; repeatable."
    ),
]
Consistent = Annotated[
    list[str] | None, typer.Option(metavar="WISH", help="totals, non_negative or whole; repeatable.")
]
Delta = Annotated[float | None, typer.Option(help="Needed on zCDP and Rényi accounts.")]
Pairs = Annotated[list[str] | None, typer.Option(metavar="COLUMN=NUMBER", help="Split of the budget; repeatable.")]
Guesses = Annotated[list[str] | None, typer.Option(metavar="COLUMN=NUMBER", help="Public guess; repeatable.")]
Engine = Annotated[Literal["duckdb", "spark"] | None, typer.Option(help="What reads the rows; by default duckdb.")]
Analyst = Annotated[str | None, typer.Option(metavar="NAME", help="Whose share of the account pays too.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(query)
    app.command()(cost)


def query(
    project: Place,
    sql: Sql,
    *,
    epsilon: Epsilon = None,
    target: Target = None,
    delta: Delta = None,
    weights: Pairs = None,
    guess: Guesses = None,
    name: Annotated[str | None, typer.Option(help="The release's name; by default made from the query.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Why; written to the ledger.")] = None,
    attempt: Annotated[int, typer.Option(help="Ask again what was charged and never released.")] = 1,
    analyst: Analyst = None,
    engine: Engine = None,
    consistent: Consistent = None,
    form: Annotated[Format | None, typer.Option("--format", help="By default a table, or what FILE ends in.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a new file.")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Answer a SQL question with noise, and charge the account."""
    from discreet import sql as sql_room
    from discreet.project import Project, named

    wanted = Wanted.of(form, output, as_json=as_json)
    read = Project.read(project)
    dataset, asked = (
        read.dataset_of(sql, analyst=analyst),
        _asked(epsilon, target, delta, weights, guess, engine, consistent),
    )
    price = sql_room.cost(dataset, sql, **asked)
    name = price.plan.name if name is None else name
    request = dataset.request(price.plan, name=name, attempt=attempt)
    reused = dataset.ledger.request(dataset.population, request) is not None  # or refused; no new charge in any case
    if not yes and not reused:
        if wanted.on_screen:
            _show_cost(price)
        confirm(f"This charges {price.plan.guarantee} to {price.population!r}. Go on?", yes=False)
    try:
        release = sql_room.query(dataset, sql, **asked, name=name, purpose=purpose, attempt=attempt)
    except DiscreetError as error:
        failure = named(error, name=name, request=request, again=f"with --attempt {attempt + 1}")
    else:
        wanted.give(release, reused=reused)
        return
    raise failure  # outside of the handler, so that nothing hangs on to it


def cost(
    project: Place,
    sql: Sql,
    *,
    epsilon: Epsilon = None,
    target: Target = None,
    delta: Delta = None,
    weights: Pairs = None,
    guess: Guesses = None,
    analyst: Analyst = None,
    engine: Engine = None,
    consistent: Consistent = None,
    as_json: Json = False,
) -> None:
    """Show what a query would cost and be worth. Spends nothing, reads no private row."""
    from discreet import sql as sql_room
    from discreet.project import Project

    read = Project.read(project)
    draft = read.draft
    dataset = read.dataset_of(sql, analyst=analyst, ledger=draft)
    price = sql_room.cost(dataset, sql, **_asked(epsilon, target, delta, weights, guess, engine, consistent))
    if as_json:
        show_json(price.to_dict())
        return
    _show_cost(price)
    if price.population in draft.drafted:
        say(f"{price.population!r} is not open yet; these are the terms of the file.")
    say("Nothing was spent and no data was read.")


def _asked(
    epsilon: float | None,
    target: list[str] | None,
    delta: float | None,
    weights: list[str] | None,
    guess: list[str] | None,
    engine: str | None,
    consistent: list[str] | None,
) -> dict[str, Any]:
    return {
        "epsilon": epsilon,
        "target_error": _target(target),
        "delta": delta,
        "weights": _pairs("--weights", weights),
        "guess": _pairs("--guess", guess),
        "engine": engine,
        "consistent": consistent or None,
    }


def _target(items: list[str] | None) -> float | dict[str, float] | None:
    """Return the error that is wanted: of all columns, or by name."""
    if items and len(items) == 1 and "=" not in items[0]:
        try:
            return float(items[0])
        except ValueError:
            pass  # refused below, in the words of the option
    return _pairs("--target-error", items)


def _pairs(option: str, items: list[str] | None) -> dict[str, float] | None:
    if not items:
        return None
    found = {}
    for item in items:
        name, sign, value = item.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise InvalidInput(f"{option} takes COLUMN=NUMBER, got {item!r}.", remedy=f"For example {option} n=400")
    return found


def _show_cost(price: QueryCost) -> None:
    say(str(price.plan.select))
    say(f"  {price.plan.guarantee}, charged to {price.population!r} ({price.measure})")
    for noise in price.plan.facts["noise"]:
        deviation = "standard deviation " if "standard_deviation" in noise else ""
        said = "" if size(noise) == NOTHING else f", {deviation}{size(noise)}"
        say(f"  {noise['of']}: {noise['mechanism']}{said}")
    say("")
    show_table("", FORECAST, forecast(price.columns), right=FORECAST[1:])
    for note in forecast_notes(price.columns, price.plan.facts):
        say(note)
    if price.left is None:
        say(f"{price.population!r} does not hold this.")
    else:
        say(f"Afterwards {price.population!r} could afford one more release of at most ε = {number(price.left)}.")
