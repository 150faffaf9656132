"""What epsilon, calibrate, curve and compare account for: a DP-SGD run in options, or an event in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from discreet import events
from discreet.accounting.dpsgd import Sampling, dpsgd
from discreet.cli.output import WrongUse
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation

DPSGD = "dpsgd"
WORDS = {
    Sampling.POISSON: "Poisson sampling",
    Sampling.TRUNCATED: "truncated Poisson sampling",
    Sampling.FIXED: "batches of fixed size",
    Sampling.ALLOCATION: "random allocation",
}
OPTIONS = (
    "sample_rate",
    "noise_multiplier",
    "steps",
    "relation",
    "sampling",
    "records",
    "batch_cap",
    "batch_size",
    "participations",
)

What = Annotated[
    str, typer.Argument(metavar="dpsgd|FILE", help="A DP-SGD run that the options describe, or a JSON file of events.")
]
Rate = Annotated[float | None, typer.Option(help="Poisson, truncated: how likely a record enters a batch.")]
Noise = Annotated[float | None, typer.Option(help="Standard deviation of the noise / clipping norm.")]
Steps = Annotated[int | None, typer.Option(help="How many batches are drawn.")]
Among = Annotated[Relation | None, typer.Option(help="What a neighbour is; for dpsgd by default add_remove.")]
Drawn = Annotated[Sampling | None, typer.Option(help="How a batch is drawn; by default poisson.")]
Records = Annotated[int | None, typer.Option(help="Truncated, fixed: the public number of records.")]
Cap = Annotated[int | None, typer.Option(help="Truncated: the largest batch that is computed.")]
Size = Annotated[int | None, typer.Option(help="Fixed: the size of every batch.")]
Epochs = Annotated[int | None, typer.Option(help="Allocation: in how many steps each record takes part.")]


@dataclass(frozen=True)
class Run:
    """What is accounted for.

    Args:
        event: What runs.
        words: Its relation and sampling, as shown beside every number.
    """

    event: events.Event
    words: str


def described(what: str, given: Mapping[str, Any]) -> Run:
    """Return the run that a command line describes.

    Args:
        what: "dpsgd" or the path of a file.
        given: The command's parameters; those in `OPTIONS` that are not None were given.

    Raises:
        WrongUse: an option that dpsgd always needs is missing.
        InvalidInput: a value is wrong, or the file is.
    """
    options = {name: given[name] for name in OPTIONS if given.get(name) is not None}
    if what != DPSGD:
        relation = options.pop("relation", None)
        if options:
            raise InvalidInput(
                f"{what} holds its event whole; {_flag(next(iter(options)))} describes another beside it.",
                remedy=f"Leave the options out, or name {DPSGD} instead of a file.",
            )
        return read(Path(what), relation)
    for name in ("noise_multiplier", "steps"):
        if name not in options:
            raise WrongUse(f"{DPSGD} needs {_flag(name)}.")
    chosen: dict[str, Any] = {"relation": Relation.ADD_REMOVE, "sampling": Sampling.POISSON} | options
    return Run(dpsgd(**chosen), f"{chosen['relation'].value}, {WORDS[chosen['sampling']]}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def read(path: Path, relation: Relation | None) -> Run:
    """Read an event, a list of events that ran one after the other, or what another accountant wrote.

    Args:
        path: The file.
        relation: Needed for dp-accounting's events, which name none; any other must agree with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = f"Name a file with an event as JSON, or {DPSGD}."
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is no text.", remedy="Name a file with an event as JSON.") from None
    try:
        event = _event(text, relation)
        named = _relation(event)
    except (InvalidInput, UnsupportedEvent) as error:
        remedy = error.remedy or "Describe the run by events of discreet, or of the accountants that it can read."
        raise type(error)(f"{path}: {error.what}", remedy=remedy) from None
    return Run(event, "" if named is None else named.value)


def _event(text: str, relation: Relation | None) -> events.Event:
    from discreet.accounting import check_relation, interchange

    try:
        items = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise InvalidInput("this is no valid JSON.", remedy="Write it anew, each name once.") from None
    if not (isinstance(items, list) and items and all(isinstance(item, dict) and "v" in item for item in items)):
        return interchange.read(text, relation=relation)
    event = events.Composed(tuple(map(events.from_dict, items)))
    if relation is not None:
        check_relation(event, relation)
    return event


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _relation(event: events.Event) -> Relation | None:
    """Return the one relation that the event's parts name; None if none of them does."""
    named = sorted(_relations(event))
    if len(named) > 1:
        raise InvalidInput(
            f"its parts are bounded under different relations, {' and '.join(named)}: no one number covers them.",
            remedy="Describe every part under one relation; there is no silent conversion.",
        )
    return named[0] if named else None


def _relations(event: events.Event) -> set[Relation]:
    own = getattr(event, "relation", None)
    if isinstance(event, events.RandomizedResponse | events.Shuffled):  # they hide which answer, not whether
        own = Relation.REPLACE_ONE
    return ({own} if own is not None else set()).union(*map(_relations, events.parts(event)))
