"""audit model: scores of canaries, held against what was claimed of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discreet.cli.audit import scores as files
from discreet.cli.audit.claim import claimed
from discreet.cli.output import REFUTED, Json, percent, say, show_json
from discreet.errors import InvalidInput
from discreet.events import Relation

if TYPE_CHECKING:
    from discreet.audit import Estimator, Finding, Roc

RATES = (0.01, 0.001, 0.0)

Coins = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The coins as they were recorded before the training.")
]
Alpha = Annotated[float, typer.Option(help="The chance of a false alarm.")]
How = Annotated[str, typer.Option(metavar="[betting|guesses|curve]", help="How scores become a bound.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the curve: .svg, .png or .pdf.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to its group."""
    app.command()(model)


def model(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="CSV or JSON: a score of each canary, and whether it was included.")
    ],
    *,
    relation: Annotated[Relation, typer.Option(help="What a neighbour is under the claim.")],
    epsilon: Annotated[float | None, typer.Option(help="The claim: ε.")] = None,
    delta: Annotated[float | None, typer.Option(help="The claim's δ; or at which δ to state an ε.")] = None,
    mu: Annotated[float | None, typer.Option(help="The claim: the μ of Gaussian DP.")] = None,
    rho: Annotated[float | None, typer.Option(help="The claim: the ρ of zCDP.")] = None,
    event: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The claim: what ran, as a JSON file of events.")
    ] = None,
    coins: Coins = None,
    estimator: How = "betting",
    alpha: Alpha = 0.05,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Hold canaries' scores, all of one training, against a claim. Exit code 4: refuted. What it prints is internal."""
    held = files.read(scores, coins)
    kind = estimator_of(estimator)
    claim = claimed(relation, epsilon=epsilon, delta=delta, mu=mu, rho=rho, event=event)
    finding = held.flip.audit(held.scores, claim=claim, delta=delta, alpha=alpha, estimator=kind)
    curve = held.flip.roc(held.scores)
    if plot is not None:
        draw(curve, plot)
    if as_json:
        show_json(facts(finding, curve, plot))
    else:
        show_finding(finding, curve, plot)
    stop_if_refuted(finding)


def estimator_of(name: str) -> Estimator:
    """Return the estimator of this name.

    Raises:
        InvalidInput: there is none.
    """
    from discreet.audit import Estimator

    try:
        return Estimator(name)
    except ValueError:
        known = ", ".join(item.value for item in Estimator)
        raise InvalidInput(f"an estimator is one of {known}, got {name!r}.", remedy="Name one of them.") from None


def draw(curve: Roc, path: Path) -> None:
    """Draw the curve into a file that only its owner can read."""
    from discreet.explain import roc

    roc.save({"canaries": curve.to_dict()}, path)


def show_finding(finding: Finding, curve: Roc, plot: Path | None) -> None:
    """Print a finding, and what the scores found of the canaries."""
    say(str(finding))
    for rate in RATES:
        found = curve.at(rate)
        say(
            f"{percent(found.rate)} of those included found ({percent(found.low)} to {percent(found.high)}) "
            f"while at most {percent(rate)} of the others are wrongly accused"
        )
    if plot is not None:
        say(f"Wrote {plot}")


def facts(finding: Finding, curve: Roc, plot: Path | None) -> dict[str, Any]:
    """Return the JSON object of a finding."""
    return {
        "finding": finding.to_dict(),
        "auc": curve.auc,
        "found": [curve.at(rate).to_dict() for rate in RATES],
        "plot": None if plot is None else str(plot),
    }


def stop_if_refuted(finding: Finding) -> None:
    """Leave with the exit code of a refuted claim if it is one."""
    from discreet.audit import Verdict

    if finding.verdict is Verdict.REFUTED:
        raise typer.Exit(REFUTED)
