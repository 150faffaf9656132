"""The program `discreet`: its commands, and what becomes of an error.

Exit codes: 0 done, 1 failure, 2 usage, 3 budget exceeded. No traceback is ever shown: its frames
and messages could hold private values.
"""

from __future__ import annotations

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from discreet.cli import doctor, ledger, projects, queries
from discreet.cli.output import fail, help_if_alone, say
from discreet.errors import BudgetExceeded, DiscreetError

FAILURE, EXCEEDED, INTERRUPTED = 1, 3, 130

app = typer.Typer(
    name="discreet",
    help="Differential privacy from end to end: plan, run and explain private releases.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (projects, queries, doctor):
    group.add_to(app)
app.add_typer(ledger.app, name="ledger")


def _version(shown: bool) -> None:
    if shown:
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
    try:
        code = app(args=arguments, standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
    except DiscreetError as error:
        fail(error, arguments)
        return EXCEEDED if isinstance(error, BudgetExceeded) else FAILURE
    except TyperException as error:
        fail(DiscreetError(error.format_message(), remedy="See --help."), arguments, kind="Usage")
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        fail(_plain("interrupted", "What was charged stays charged."), arguments, kind="Interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return FAILURE
    except Exception as error:  # noqa: BLE001 - its message could hold a private value: only its class is named
        unexpected = _plain(
            f"discreet itself failed ({type(error).__name__}); the message is withheld because it may show private values",
            "What was charged stays charged: see discreet ledger show.",
        )
        fail(unexpected, arguments, kind="Unexpected")
        return FAILURE
    return code if isinstance(code, int) else 0


def _plain(what: str, state: str) -> DiscreetError:
    return DiscreetError(f"{what}.", state=state)
