"""audit release: what a release states, derived once more from what it says ran, and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from discreet.cli.audit import model
from discreet.cli.audit import scores as files
from discreet.cli.output import REFUTED, Json, say, show_json, show_table
from discreet.errors import InvalidInput
from discreet.profiles import show_delta, show_up
from discreet.release import RECORD, Release, check_name

if TYPE_CHECKING:
    from discreet.audit import Rederived


def add_to(app: typer.Typer) -> None:
    """Add the command to its group."""
    app.command()(release)


def release(
    what: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A release of the project, or a release's folder.")],
    *,
    project: Annotated[Path, typer.Option(metavar="PROJECT", help="Where NAME is looked up.")] = Path(),
    scores: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also hold canaries' scores against its event; see audit model.")
    ] = None,
    coins: model.Coins = None,
    estimator: model.How = "curve",
    alpha: model.Alpha = 0.001,
    plot: model.Plot = None,
    as_json: Json = False,
) -> None:
    """Derive a release's guarantee once more from its event, and attack its noise. Exit code 4: refuted, or not proved.

    Looks at no data and spends nothing. The noise and the canaries are a test each, with a chance of a false alarm of
    alpha each.
    """
    from discreet.audit import Claim, Verdict, rederive

    if scores is None and (coins is not None or plot is not None):
        raise InvalidInput("--coins and --plot are about scores, and there are none.", remedy="Add --scores FILE.")
    found = find(what, project)
    derived = rederive(found, alpha=alpha)
    finding = curve = None
    if scores is not None:
        held = files.read(scores, coins)
        claim = Claim.event(found.event, relation=found.guarantee.unit.relation)
        finding = held.flip.audit(
            held.scores, claim=claim, delta=derived.delta, alpha=alpha, estimator=model.estimator_of(estimator)
        )
        curve = held.flip.roc(held.scores)
        if plot is not None:
            model.draw(curve, plot)
    if as_json:
        beside = None if finding is None or curve is None else model.facts(finding, curve, plot)
        show_json(derived.to_dict() | {"canaries": beside})
    else:
        _show(derived)
        if finding is not None and curve is not None:
            model.show_finding(finding, curve, plot)
    if derived.verdict is Verdict.REFUTED or not derived.proved:
        raise typer.Exit(REFUTED)
    if finding is not None:
        model.stop_if_refuted(finding)


def find(what: str, project: Path) -> Release:
    """Return the newest release of this name that the ledger knows, or the one in this folder."""
    folder = Path(what)
    if (folder / RECORD).is_file():
        return Release.read(folder)
    from discreet.project import Project

    name = check_name(what)
    read = Project.read(project)
    named = [one for who in read.settings.populations for one in read.releases(who) if one.name == name]
    if not named:
        raise InvalidInput(
            f"{what} is neither a release's folder nor one of the project's releases.",
            remedy="See what stands: discreet ledger show. Or name the folder that holds its release.json.",
        )
    return named[-1]


def _show(derived: Rederived) -> None:
    from discreet.audit.rederive import NOT_ATTACKED

    say(
        f"{derived.name} states ε = {show_up(derived.epsilon)}, δ = {show_delta(derived.delta)}, {derived.claim.relation.value}."
    )
    show_table(
        "",
        ("derived by", "ε at most", "not below", "note"),
        [
            (
                one.method,
                "–" if one.upper is None else show_up(one.upper),
                "–" if not one.lower else f"{one.lower:.4g}",
                one.note,
            )
            for one in derived.derivations
        ],
        right=("ε at most", "not below"),
    )
    if derived.attack is None:
        say(f"The noise was {NOT_ATTACKED}.")
    else:
        say(f"The noise as it is drawn, against {derived.attack.claim.text}: {derived.attack.verdict.value}.")
        say(f"  {derived.attack.bounds[0]}")
    show_table(
        "What paired runs of this release can certify at best",
        ("runs of each", "ε"),
        [(f"{runs:,}", f"{ceiling:.3g}") for runs, ceiling in derived.ceilings.items()],
        right=("runs of each", "ε"),
    )
    say(f"{derived.verdict.value}: {_sentence(derived)}")


def _sentence(derived: Rederived) -> str:
    if not derived.proved:
        return "the statement does not follow from the event; what it says ran costs more."
    if derived.verdict.value == "refuted":
        return "the event, or the noise, gives away more than is stated."
    if derived.verdict.value == "underpowered":
        return "the statement follows from the event; nothing here could have shown that it is false."
    return "the statement follows from the event. Whether the event is what ran, this does not show."
