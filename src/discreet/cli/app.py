"""The program `discreet`: its commands, and what becomes of an error.

Exit codes: 0 done, 1 failure, 2 usage, 3 budget exceeded, 4 a claim is refuted, 130 interrupted. No traceback is
ever shown: its frames and messages could hold private values.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from discreet.cli import accounting, audit, doctor, init, ledger, projects, queries, training
from discreet.cli.interrupts import watched
from discreet.cli.output import Stopped, fail, help_if_alone, say
from discreet.errors import BudgetExceeded, DiscreetError

FAILURE, EXCEEDED, INTERRUPTED = 1, 3, 130
STAYS = "What was charged stays charged."
GOES_ON = "See what was charged: discreet ledger show. A training goes on where it was when it is run again."

app = typer.Typer(
    name="discreet",
    help="Differential privacy from end to end: plan, run and explain private releases.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (init, projects, queries, training, accounting, doctor):
    group.add_to(app)
app.add_typer(ledger.app, name="ledger")
app.add_typer(audit.app, name="audit")


def _version(shown: bool) -> None:
    if shown:
        from importlib.metadata import version  # slow to load, and seldom asked for

        say(f"discreet {version('discreet')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    help_if_alone(context)


def main() -> None:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ε that a terminal cannot show is no failure
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    with watched() as interrupts:
        try:
            code = app(args=arguments, standalone_mode=False)
            if code == INTERRUPTED:  # what typer makes of Ctrl-C
                raise KeyboardInterrupt
        except BrokenPipeError:
            return FAILURE
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no traceback is ever shown
            return _failed(error, arguments, interrupted=interrupts.pressed)
    return code if isinstance(code, int) else 0


def _failed(error: BaseException, arguments: list[str], *, interrupted: bool) -> int:
    """Show what became of a command, and return its exit code."""
    error, beside = (error.error, error.beside) if isinstance(error, Stopped) else (error, {})
    if interrupted or isinstance(error, typer.Abort | KeyboardInterrupt):
        fail(_interrupted(error), arguments, kind="Interrupted", beside=beside)
        return INTERRUPTED
    if isinstance(error, DiscreetError):
        fail(error, arguments, beside=beside)
        return EXCEEDED if isinstance(error, BudgetExceeded) else FAILURE
    if isinstance(error, TyperException):
        fail(DiscreetError(error.format_message(), remedy="See --help."), arguments, kind="Usage")
        return error.exit_code
    unexpected = DiscreetError(  # its message could hold a private value: only its class is named
        f"discreet itself failed ({type(error).__name__}); the message is withheld because it may show private values.",
        state=STAYS,
        remedy="See what was charged: discreet ledger show. Please report it.",
    )
    fail(unexpected, arguments, kind="Unexpected", beside=beside)
    return FAILURE


def _interrupted(error: BaseException) -> DiscreetError:
    """Return what to say after Ctrl-C, which may have come out of an engine as another error."""
    if isinstance(error, typer.Abort):  # at the question, which comes before any charge
        return DiscreetError("interrupted.")
    if isinstance(error, DiscreetError):
        *_, again = error.remedy.rpartition("; then ")  # nothing is wrong with the source
        return DiscreetError("interrupted.", state=error.state, remedy=again[:1].upper() + again[1:])
    return DiscreetError("interrupted.", state=STAYS, remedy=GOES_ON)
