"""What commands print: tables for people, or one JSON object for programs; errors on stderr."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from discreet.errors import DiscreetError
from discreet.release.shown import NOTHING, instead, number

if TYPE_CHECKING:
    from discreet.sql import Forecast

USAGE = 2  # the exit code of a wrong use of the command line
REFUTED = 4  # of an audit that refuted the claim it was given

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", help="Spend without asking.")]


class WrongUse(TyperException):
    """A wrong use of the command line that typer cannot see."""

    exit_code = USAGE


class Stopped(Exception):
    """A command that stopped after part of its work.

    Args:
        error: Why.
        beside: What was done by then, for --json.
    """

    def __init__(self, error: BaseException, beside: Mapping[str, Any]) -> None:
        self.error, self.beside = error, dict(beside)
        super().__init__()


def console() -> Console:
    """Return the console for results; markup and highlighting off, for names and SQL are untrusted text."""
    return Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())


def errors() -> Console:
    """Return the console for messages, questions and progress."""
    return Console(stderr=True, markup=False, highlight=False)


def show_json(data: Any) -> None:
    """Print one JSON object, and nothing else."""
    print(as_text(data))


def as_text(data: Any) -> str:
    """Return data as JSON."""
    return json.dumps(data, indent=1, ensure_ascii=False, default=str)


def for_programs(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON."""
    pairs = itertools.pairwise(arguments)
    return "--json" in arguments or "--format=json" in arguments or ("--format", "json") in pairs


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Print a table and a blank line; the columns named in `right` are set flush right."""
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.padding = False, False, (0, 1, 0, 0)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*[item if isinstance(item, Text) else Text(str(item)) for item in row])
    out = console()
    out.print(table)
    out.print()


def say(text: str) -> None:
    """Print a line of text."""
    console().print(Text(text))


def help_if_alone(context: typer.Context) -> None:
    """Show a group's help, as a wrong use, where no command of it was given."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(USAGE)


def fail(
    error: DiscreetError, arguments: Sequence[str], *, kind: str | None = None, beside: Mapping[str, Any] | None = None
) -> None:
    """Show an error: on stderr for people, as one JSON object on stdout for programs, with what was done beside."""
    kind = kind or type(error).__name__
    if for_programs(arguments):
        parts = {"kind": kind, "what": error.what, "state": error.state, "remedy": error.remedy}
        show_json({"error": parts} | dict(beside or {}))
        return
    errors().print(Text.assemble((kind, "bold red"), f": {error}"), soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before spending.

    Raises:
        WrongUse: nobody is there to ask, and --yes was not given.
        typer.Exit: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUse("this spends budget and nobody is there to ask; add --yes.")
    if not typer.confirm(question, err=True):
        say("Nothing was spent.")
        raise typer.Exit(1)


FORECAST = ("column", "standard error", "95 % ±", "relative", "of the guess")


def forecast(columns: Iterable[Forecast]) -> list[tuple[str, ...]]:
    """Return the cells under `FORECAST` of each column's expected error."""
    return [
        (
            item.name,
            number(item.standard_error),
            instead({"rank_error": item.rank_error}) or number(item.half_width),
            percent(item.relative),
            number(item.guess),
        )
        for item in columns
    ]


def forecast_notes(columns: Iterable[Forecast], facts: Mapping[str, Any]) -> list[str]:
    """Return what to say about a dash in the table.

    Args:
        columns: What is expected of each column.
        facts: Of the plan.
    """
    by_chance = {item["of"] for item in facts["noise"] if "standard_deviation" not in item}
    made = {item["name"]: by_chance.isdisjoint(item["parts"]) for item in facts["columns"]}
    unknown = [item.name for item in columns if item.standard_error is None and item.rank_error is None]
    guessed = [name for name in unknown if made[name]]
    drawn = [name for name in unknown if not made[name]]
    notes = (
        [f"The error of {', '.join(guessed)} depends on the answers: give guesses to forecast it."] if guessed else []
    )
    return notes + ([f"{', '.join(drawn)}: drawn by chance, without a standard error."] if drawn else [])


def size(noise: Mapping[str, Any]) -> str:
    """Return how large the noise of one part is; of what is drawn by rank, how far that may be off."""
    if "standard_deviation" in noise:
        return number(noise["standard_deviation"])
    return instead(noise) or NOTHING


def percent(value: float | None) -> str:
    """Show a ratio as a percentage, or a dash."""
    return NOTHING if value is None else f"{100 * value:.2g} %"
