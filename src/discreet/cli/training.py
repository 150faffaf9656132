"""train: a model of one column of a declared table, without a [[release]] in the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discreet import accounting, events
from discreet.cli.output import Json, Yes, confirm, say, show_json
from discreet.errors import DiscreetError
from discreet.release.shown import number

if TYPE_CHECKING:
    from discreet.dataset import Dataset
    from discreet.ledger import Entry
    from discreet.release import Release
    from discreet.train.bound import Bound

Place = Annotated[Path, typer.Argument(metavar="PROJECT", help="A discreet.toml or the folder it is in.")]
Table = Annotated[str, typer.Argument(metavar="TABLE", help="A declared table of people.")]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="The column to tell, with declared keys or bounds.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(train)


def train(
    project: Place,
    table: Table,
    target: Target,
    *,
    epsilon: Annotated[float, typer.Option(help="What the model may cost.")],
    delta: Annotated[float, typer.Option(help="The probability beyond it.")],
    sample_rate: Annotated[float, typer.Option(help="The chance of a row in each batch.")],
    expected_batch_size: Annotated[
        float, typer.Option(help="Sample rate times a public idea of how many rows there are.")
    ],
    epochs: Annotated[float | None, typer.Option(help="How often each row is expected in a batch; 20.")] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of epochs: how many batches.")] = None,
    hidden: Annotated[
        list[int] | None, typer.Option(metavar="SIZE", help="Of a hidden layer; repeatable. None: a linear model.")
    ] = None,
    features: Annotated[
        list[str] | None, typer.Option("--feature", metavar="COLUMN", help="Repeatable; by default all that can be.")
    ] = None,
    max_grad_norm: Annotated[float | None, typer.Option(help="What each row's gradient is clipped to; 1.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="0.2 unless given.")] = None,
    name: Annotated[str | None, typer.Option(help="The release's name; by default TABLE-TARGET.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Why; written to the ledger.")] = None,
    attempt: Annotated[int, typer.Option(help="Train anew what was charged and cannot go on.")] = 1,
    analyst: Annotated[str | None, typer.Option(metavar="NAME", help="Whose share of the account pays too.")] = None,
    cost: Annotated[bool, typer.Option("--cost", help="Show what it would cost; spend nothing.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Train a model of one column from the others, and charge the account; goes on where it was interrupted."""
    from discreet.project import Project, Training, named
    from discreet.project.asking import ask

    name = f"{table}-{target}" if name is None else name
    asked = Training(
        name=name,
        table=table,
        target=target,
        epsilon=epsilon,
        delta=delta,
        sample_rate=sample_rate,
        expected_batch_size=expected_batch_size,
        epochs=epochs,
        steps=steps,
        hidden=hidden or None,
        features=features or None,
        max_grad_norm=max_grad_norm,
        learning_rate=learning_rate,
        purpose=purpose or "",
        attempt=attempt,
    )
    read = Project.read(project)
    dataset = read.dataset_to_train(table, analyst=analyst, ledger=read.draft if cost else None)
    question = asked.estimator(dataset.domain).question(dataset, purpose=asked.why)
    if cost:
        _show_cost(name, question, dataset, drafted=dataset.population in read.draft.drafted, as_json=as_json)
        return
    request = dataset.request(question, name=name, attempt=attempt)
    known = dataset.ledger.request(dataset.population, request)  # a charge of an earlier run, or its release
    if not yes and known is None:
        if not as_json:
            say(told(question.facts))
        confirm(f"This charges {question.guarantee} to {dataset.population!r}. Go on?", yes=False)
    try:
        release = ask(asked, dataset, read.settings.folder)
    except DiscreetError as error:
        failure = named(error, name=name, request=request, again=f"with --attempt {attempt + 1}")
    else:
        if as_json:
            place = str(read.shelf.place(name, request))
            value, entry = release.value.to_pylist(), dict(release.entry)
            done = {"reused": known is not None, "folder": place, "value": value, "entry": entry}
            show_json(_json(name, question, dataset) | done)
        else:
            _show(release, read.shelf.place(name, request), known)
        return
    raise failure  # outside of the handler, so that nothing hangs on to it


def told(facts: Mapping[str, Any]) -> str:
    """Return what a training does and how its noise compares, from a bound run's facts: no error is known before."""
    noise, batch = facts["noise"][0]["standard_deviation"], facts["expected_batch_size"]
    times = noise * math.sqrt(facts["parameters"]) / (batch * facts["max_grad_norm"])
    return (
        f"{facts['parameters']:,} numbers are trained in {facts['steps']:,} steps, with batches by {facts['sampler']} and "
        f"{number(facts['noise_multiplier'])} as noise multiplier. How good the model will be is not known beforehand: "
        f"that depends on the rows. The noise of a step is typically {number(times)} times as long as the mean gradient "
        "of an expected batch can be; the smaller, the better."
    )


def _json(name: str, question: Bound, dataset: Dataset) -> dict[str, Any]:
    return {
        "name": name,
        "population": dataset.population,
        "guarantee": question.guarantee.to_dict(),
        **{fact: question.facts[fact] for fact in ("steps", "noise_multiplier", "parameters")},
    }


def _show_cost(name: str, question: Bound, dataset: Dataset, *, drafted: bool, as_json: bool) -> None:
    account = dataset.ledger.account(dataset.population)
    cost = accounting.cost(question.event, account.measure)
    fits = cost <= account.left()
    if as_json:
        price = {"loss": cost.loss, "delta": cost.delta}
        what = {"measure": str(account.measure), "event": events.to_dict(question.event)}
        show_json(_json(name, question, dataset) | what | {"cost": price, "affordable": fits})
        return
    say(told(question.facts))
    say(f"  {question.guarantee}, charged to {dataset.population!r} ({account.measure})")
    say(f"  {100 * cost.loss / account.capacity.loss:.2f} % of the account")
    if not fits:
        say(f"{dataset.population!r} does not hold this.")
    if drafted:
        say(f"{dataset.population!r} is not open yet; these are the terms of the file.")
    say("Nothing was spent and no data was read.")


def _show(release: Release, place: Path, known: Entry | None) -> None:
    where = f"entry {release.entry['sequence']} of {release.entry['population']!r}"
    if known is None:
        say(f"{release.guarantee}; {where}.")
    else:
        said = "Trained before" if known.kind == "release" else "Gone on with what was paid for"
        say(f"{said}, as {where}; nothing was spent.")
    say(f"The model stands in {place}/")
