"""audit risk: what somebody could learn at most, from a release, an event, or a stated (ε, δ)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discreet import events
from discreet.cli.audit.release import find
from discreet.cli.output import Json, WrongUse, say, show_json, show_table
from discreet.cli.runs import read
from discreet.errors import InvalidInput
from discreet.events import Relation

if TYPE_CHECKING:
    from discreet.explain.risk import RiskCard

Shares = list[float]


def add_to(app: typer.Typer) -> None:
    """Add the command to its group."""
    app.command()(risk)


def risk(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|PATH|FILE", help="A release of the project, a release's folder, or a .json of events."
        ),
    ] = None,
    *,
    project: Annotated[Path, typer.Option(metavar="PROJECT", help="Where NAME is looked up.")] = Path(),
    epsilon: Annotated[float | None, typer.Option(help="A stated ε, instead of a release or a file.")] = None,
    delta: Annotated[float | None, typer.Option(help="The δ stated with it, or at which a file's ε is wanted.")] = None,
    relation: Annotated[Relation | None, typer.Option(help="What a neighbour is; a release names its own.")] = None,
    prior: Annotated[
        Shares | None, typer.Option(help="How sure somebody is before, or the share of people who are in; repeatable.")
    ] = None,
    fpr: Annotated[Shares | None, typer.Option(help="Of those who are not in, the share accused; repeatable.")] = None,
    baseline: Annotated[
        Shares | None, typer.Option(help="How often a guess about a record is right without it; repeatable.")
    ] = None,
    group: Annotated[int, typer.Option(help="How many people change at once.")] = 1,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page on which people move the numbers: .html.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what somebody could learn at most: the worst case of (ε, δ), and the mechanism's own curve beside it.

    Looks at no data and spends nothing.
    """
    if (what is None) == (epsilon is None):
        raise WrongUse("give a release, a file of events, or --epsilon with --delta and --relation.")
    if page is not None and page.suffix.lower() != ".html":
        raise InvalidInput(f"a page is a .html, got {page.name!r}.", remedy="Name the file accordingly.")
    asked: dict[str, Any] = {"priors": prior, "false_positive_rates": fpr, "baselines": baseline}
    asked = {name: numbers for name, numbers in asked.items() if numbers} | {"group": group}
    card = _stated(epsilon, delta, relation, asked) if what is None else _of(what, project, delta, relation, asked)
    if page is not None:
        _write(page, card.html())
    if as_json:
        show_json(card.to_dict() | {"page": None if page is None else str(page)})
    else:
        _show(card, page)


def _stated(epsilon: float | None, delta: float | None, relation: Relation | None, asked: dict[str, Any]) -> RiskCard:
    from discreet.explain import risk as card_of

    if epsilon is None or delta is None or relation is None:
        raise WrongUse("--epsilon needs --delta (0 if there is none) and --relation.")
    return card_of(events.Approximate(epsilon, delta), relation=relation, **asked)


def _of(what: str, project: Path, delta: float | None, relation: Relation | None, asked: dict[str, Any]) -> RiskCard:
    from discreet.explain import risk as card_of

    if Path(what).suffix.lower() == ".json":
        return card_of(read(Path(what), relation).event, relation=relation, delta=delta, **asked)
    if delta is not None or relation is not None:
        raise InvalidInput(
            "a release names its own δ and relation; --delta and --relation would be others.",
            remedy="Leave them out. A file of events is a .json.",
        )
    return card_of(find(what, project), **asked)


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{page} cannot be written: {error.strerror}.", remedy="Choose another folder.") from None


def _show(card: RiskCard, page: Path | None) -> None:
    from discreet.explain import risk_words

    heads = [one.short for one in card.views]
    *rows, method = risk_words.rows(card.views)
    say(f"{risk_words.about(card)}. {risk_words.HELD}")
    say("")
    show_table("", ("at most", *heads), [(row.text, *row.cells) for row in rows], right=heads)
    for one, how in zip(card.views, method.cells, strict=True):
        say(f"{one.short}: {how}; {one.label}")
    if card.unknown is not None:
        say(f"its own curve is not known: {card.unknown.rstrip('.')}")
    if page is not None:
        say(f"Wrote {page}")
