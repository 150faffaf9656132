"""plan, run, explain: a whole project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from discreet import accounting, events
from discreet.cli.output import (
    FORECAST,
    Json,
    Stopped,
    Yes,
    confirm,
    errors,
    forecast,
    say,
    show_json,
    show_table,
    size,
)
from discreet.cli.training import told
from discreet.profiles import show_delta
from discreet.release.shown import number

if TYPE_CHECKING:
    from discreet.ledger import Account
    from discreet.project import Done, Step

Place = Annotated[Path, typer.Argument(metavar="PROJECT", help="A discreet.toml or the folder it is in.")]
Audience = Literal["person", "policy", "engineer"]
STATES = {
    "new": "will be charged and released",
    "released": "stands already, is re-used and costs nothing",
    "begun": "was charged and interrupted; a run goes on with it and costs nothing",
    "charged": "was charged and never released (a crash)",
    "lost": "was released, but its folder is gone or was altered; restore it from a backup",
    "refused": "the account will not hold it when its turn comes",
}
COLOURS = {"new": "green", "released": "dim", "begun": "green", "charged": "yellow", "lost": "yellow", "refused": "red"}
STOPS = ("charged", "lost", "refused")
NO_RELEASE = "The file declares no release; add one: [[release]]."
ID = 12  # as much of a request's id as a person needs to find its folder


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (plan, run, explain):
        app.command()(command)


def plan(project: Place, *, as_json: Json = False) -> None:
    """Show each release's mechanism, event, cost and expected error. Spends nothing, reads no private row."""
    from discreet.project import Project

    read = Project.read(project)
    steps, draft = read.plan(), read.draft
    accounts = {name: draft.account(name) for name in dict.fromkeys(step.population for step in steps)}
    stop, notes = _stop(steps), read.differences()
    if as_json:
        _plan_json(steps, accounts, draft.drafted, notes)
        return
    if not steps:
        say(NO_RELEASE)
        return
    _show_errors([step for step in steps if step.query is not None])
    _show_noise(steps)
    for step in steps:
        if step.query is None:
            say(f"{step.release.name}: {told(step.plan.facts)}")
    _show_steps(steps, accounts)
    for state in dict.fromkeys(step.state for step in steps):
        say(f"{state}: {STATES[state]}.")
    for step in steps:
        if step.state in ("charged", "lost"):
            again = f"[[release]] {step.release.name}: attempt = {step.release.attempt + 1}"
            say(f"To ask {step.release.name!r} again, for a new charge: {again}")
    say("ε left: the largest ε that one more release could have then, at the account's δ.")
    if stop < len(steps):
        say(f"A run stops at {steps[stop].release.name!r}; what stands after it is not reached.")
    for account in accounts.values():
        _show_budget(account, _then(account, steps[:stop]), opened=account.population not in draft.drafted)
    for note in notes:
        say(f"Note: {note}.")
    say("Nothing was spent and no data was read.")


def _plan_json(steps: list[Step], accounts: dict[str, Account], drafted: frozenset[str], notes: list[str]) -> None:
    stop = _stop(steps)
    show_json(
        {
            "releases": [_step(step) for step in steps],
            "stops_at": steps[stop].release.name if stop < len(steps) else None,
            "accounts": {
                name: {
                    "open": name not in drafted,
                    "unit": account.unit.to_dict(),
                    "measure": str(account.measure),
                    "epsilon": account.epsilon,
                    "delta": account.delta,
                    "spent_epsilon": _stated(account, account.spent),
                    "after_epsilon": _stated(account, _then(account, steps[:stop])),
                }
                for name, account in accounts.items()
            },
            "notes": notes,
        }
    )


def _stop(steps: list[Step]) -> int:
    """Return the place of the first step at which a run would stop; past the last if it would not."""
    return next((place for place, step in enumerate(steps) if step.state in STOPS), len(steps))


def _then(account: Account, reached: list[Step]) -> accounting.Cost:
    """Return what the account will have spent after the steps that a run reaches."""
    spent = account.spent
    for step in reached:
        if step.population == account.population:
            spent += step.cost
    return spent


def _stated(account: Account, spent: accounting.Cost) -> float:
    return accounting.statement(account.measure, spent, delta=account.delta)


def _show_budget(account: Account, then: accounting.Cost, *, opened: bool) -> None:
    say(f"{account.population}: ε = {number(account.epsilon)} at δ = {show_delta(account.delta)} {account.unit.label}")
    spent, after = number(_stated(account, account.spent)), number(_stated(account, then))
    say(f"  spent so far ε = {spent}, after a run ε = {after}")
    if not opened:
        say("  not open yet: these are the terms of the file, which discreet ledger open fixes for ever")


def _show_steps(steps: list[Step], accounts: dict[str, Account]) -> None:
    show_table(
        "What a run would do, in order",
        ("release", "why", "state", "ε", "budget", "ε left"),
        [
            (
                step.release.name,
                step.release.purpose or step.plan.facts["sentence"],
                Text(step.state, style=COLOURS[step.state]),
                number(step.plan.guarantee.epsilon),
                f"{100 * step.cost.loss / accounts[step.population].capacity.loss:.2f} %",
                number(step.left),
            )
            for step in steps
        ],
        right=("ε", "budget", "ε left"),
    )


def _show_errors(steps: list[Step]) -> None:
    if not steps:
        return
    show_table(
        "Expected errors",
        ("release", *FORECAST),
        [
            ("" if place else step.release.name, *cells)
            for step in steps
            for place, cells in enumerate(forecast(step.forecasts))
        ],
        right=FORECAST[1:],
    )


def _show_noise(steps: list[Step]) -> None:
    show_table(
        "Noise",
        ("release", "added to", "law", "deviation"),
        [
            ("" if place else step.release.name, item["of"], item["mechanism"], size(item))
            for step in steps
            for place, item in enumerate(step.plan.facts["noise"])
        ],
        right=("deviation",),
    )


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.release.name,
        "kind": step.plan.facts["kind"],
        "state": step.state,
        "population": step.population,
        "request": step.request,
        "sql": None if step.query is None else str(step.query.select),
        "event": events.to_dict(step.plan.event),
        "guarantee": step.plan.guarantee.to_dict(),
        "cost": {"loss": step.cost.loss, "delta": step.cost.delta},
        "left": step.left,
        "noise": step.plan.facts["noise"],
        "columns": [
            {
                "name": item.name,
                "standard_error": item.standard_error,
                "half_width": item.half_width,
                "guess": item.guess,
                "relative": item.relative,
                "rank_error": item.rank_error,
            }
            for item in step.forecasts
        ],
    }


def run(
    project: Place,
    *,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="Run this release alone.")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Charge, run and write each release; what was released before is re-used and costs nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from discreet.project import Project

    read = Project.read(project)
    steps = [step for step in read.plan() if only is None or step.release.name == only]
    if not (steps or only or as_json):
        say(NO_RELEASE)
        return
    for population in dict.fromkeys(step.population for step in steps):
        read.check_open(population)
    new = [step for step in steps[: _stop(steps) + 1] if step.state in ("new", "refused")]
    if new:
        costs = ", ".join(f"{step.release.name} (ε = {number(step.plan.guarantee.epsilon)})" for step in new)
        confirm(f"This charges {len(new)} release(s): {costs}. Go on?", yes=yes)
    done: list[Done] = []
    failure: BaseException | None = None
    columns, shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()), errors()
    hidden = (
        as_json or not shown.is_terminal or any(step.query is None for step in steps)
    )  # a training has its own line
    try:
        with Progress(*columns, console=shown, transient=True, disable=hidden) as bar:
            task = bar.add_task("releases", total=len(steps))
            for item in read.run(only):
                done.append(item)
                bar.update(task, advance=1, description=item.release.name)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - shown once what stands has been
        failure = error
    stand = {"releases": [_done(item) for item in done]}
    if not as_json:
        _show_done(done, project)
    if failure is not None:
        raise Stopped(failure, stand)
    if as_json:
        show_json(stand)


def _show_done(done: list[Done], project: Path) -> None:
    if not done:
        return
    show_table(
        "Released",
        ("release", "rows", "ε", "δ", "state", "request"),
        [
            (
                item.release.name,
                item.release.value.num_rows,
                number(item.release.guarantee.epsilon),
                show_delta(item.release.guarantee.delta),
                "re-used, nothing spent" if item.reused else "charged",
                item.place.name[:ID],
            )
            for item in done
        ],
        right=("rows", "ε", "δ"),
    )
    fresh = sum(not item.reused for item in done)
    shelf = done[0].place.parents[1]
    say(f"{fresh} charged, {len(done) - fresh} re-used. Each stands in {shelf}/<release>/<request>…/")
    say(f"To read them: discreet explain {project}")


def _done(item: Done) -> dict[str, Any]:
    return {
        "name": item.release.name,
        "reused": item.reused,
        "folder": str(item.place),
        "guarantee": item.release.guarantee.to_dict(),
        "entry": dict(item.release.entry),
        "value": item.release.value.to_pylist(),
    }


def explain(
    project: Place,
    *,
    audience: Annotated[Audience | None, typer.Option(help="For whom; by default all three.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to write; by default report/.")] = None,
    as_json: Json = False,
) -> None:
    """Write a report on everything released: report.html, report.md and registry.json. Spends nothing."""
    from discreet.project import Project

    read = Project.read(project)
    written = read.write_report(out or read.settings.folder / "report", audience=audience)
    if as_json:
        show_json({"written": [str(path) for path in written]})
        return
    for path in written:
        say(f"Wrote {path}")
