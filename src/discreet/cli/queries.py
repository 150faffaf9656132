"""query and cost: one question in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discreet.cli.output import (
    FORECAST,
    Json,
    Yes,
    confirm,
    forecast,
    forecast_notes,
    number,
    rounded,
    say,
    show_json,
    show_table,
)
from discreet.errors import DiscreetError, InvalidInput

if TYPE_CHECKING:
    from discreet.release import Release
    from discreet.sql import QueryCost

Place = Annotated[Path, typer.Argument(metavar="PROJECT", help="A discreet.toml or the folder it is in.")]
Sql = Annotated[str, typer.Argument(metavar="SQL", help="One SELECT.")]
Epsilon = Annotated[float, typer.Option(help="What the whole query may cost.")]
Delta = Annotated[float | None, typer.Option(help="Needed on zCDP and Rényi accounts.")]
Pairs = Annotated[list[str] | None, typer.Option(metavar="COLUMN=NUMBER", help="Split of the budget; repeatable.")]
Guesses = Annotated[list[str] | None, typer.Option(metavar="COLUMN=NUMBER", help="Public guess; repeatable.")]
Analyst = Annotated[str | None, typer.Option(metavar="NAME", help="Whose share of the account pays too.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(query)
    app.command()(cost)


def query(
    project: Place,
    sql: Sql,
    *,
    epsilon: Epsilon,
    delta: Delta = None,
    weights: Pairs = None,
    guess: Guesses = None,
    name: Annotated[str | None, typer.Option(help="The release's name; by default made from the query.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Why; written to the ledger.")] = None,
    attempt: Annotated[int, typer.Option(help="Ask again what was charged and never released.")] = 1,
    analyst: Analyst = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Answer a SQL question with noise, and charge the account."""
    from discreet import sql as sql_room
    from discreet.project import Project, named

    read = Project.read(project)
    dataset, asked = read.dataset_of(sql, analyst=analyst), _asked(epsilon, delta, weights, guess)
    price = sql_room.cost(dataset, sql, **asked)
    name = price.plan.name if name is None else name
    request = dataset.request(price.plan, name=name, attempt=attempt)
    reused = dataset.ledger.request(dataset.population, request) is not None  # or refused; no new charge in any case
    if not yes and not reused:
        if not as_json:
            _show_cost(price)
        confirm(f"This charges {price.plan.guarantee} to {price.population!r}. Go on?", yes=False)
    try:
        release = sql_room.query(dataset, sql, **asked, name=name, purpose=purpose, attempt=attempt)
    except DiscreetError as error:
        failure = named(error, name=name, request=request, again=f"with --attempt {attempt + 1}")
    else:
        _show_release(release, reused=reused, as_json=as_json)
        return
    raise failure  # outside of the handler, so that nothing hangs on to it


def _show_release(release: Release, *, reused: bool, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "name": release.name,
                "reused": reused,
                "value": release.value.to_pylist(),
                "accuracy": dict(release.accuracy),
                "guarantee": release.guarantee.to_dict(),
                "entry": dict(release.entry),
                "notes": release.facts["notes"],
            }
        )
        return
    _show_answer(release)
    place = f"entry {release.entry['sequence']} of {release.entry['population']!r}"
    say(f"Answered before, as {place}; nothing was spent." if reused else f"{release.guarantee}; {place}.")
    for note in release.facts["notes"]:
        say(f"  {note}")


def _show_answer(release: Release) -> None:
    """Print one line for each number: to the digits that the noise leaves it, its error and its interval."""
    outputs = [name for name in release.value.column_names if name in release.accuracy]
    derived = {f"{name}_{part}" for name in outputs for part in ("se", "low", "high")}
    keys = [name for name in release.value.column_names if name not in derived.union(outputs)]
    lines = []
    for row in release.value.to_pylist():
        group = ["NULL" if row[key] is None else str(row[key]) for key in keys]
        for name in outputs:
            error = row[f"{name}_se"]
            value, low, high = (rounded(row[column], error) for column in (name, f"{name}_low", f"{name}_high"))
            lines.append((*group, name, value, number(error, 2), f"{low} – {high}"))
            group = [""] * len(keys)
    names = ("column", "answer", "standard error", "95 % interval")
    show_table("", (*keys, *names), lines, right=names[1:])


def cost(
    project: Place,
    sql: Sql,
    *,
    epsilon: Epsilon,
    delta: Delta = None,
    weights: Pairs = None,
    guess: Guesses = None,
    analyst: Analyst = None,
    as_json: Json = False,
) -> None:
    """Show what a query would cost and be worth. Spends nothing, reads no private row."""
    from discreet import sql as sql_room
    from discreet.project import Project

    read = Project.read(project)
    draft = read.draft
    dataset = read.dataset_of(sql, analyst=analyst, ledger=draft)
    price = sql_room.cost(dataset, sql, **_asked(epsilon, delta, weights, guess))
    if as_json:
        show_json(price.to_dict())
        return
    _show_cost(price)
    if price.population in draft.drafted:
        say(f"{price.population!r} is not open yet; these are the terms of the file.")
    say("Nothing was spent and no data was read.")


def _asked(epsilon: float, delta: float | None, weights: list[str] | None, guess: list[str] | None) -> dict[str, Any]:
    return {
        "epsilon": epsilon,
        "delta": delta,
        "weights": _pairs("--weights", weights),
        "guess": _pairs("--guess", guess),
    }


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
        say(f"  {noise['of']}: {noise['mechanism']}, standard deviation {number(noise['standard_deviation'])}")
    say("")
    show_table("", FORECAST, forecast(price.columns), right=FORECAST[1:])
    for note in forecast_notes(price.columns):
        say(note)
    if price.left is None:
        say(f"{price.population!r} does not hold this.")
    else:
        say(f"Afterwards {price.population!r} could afford one more release of at most ε = {number(price.left)}.")
