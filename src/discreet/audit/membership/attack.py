"""Membership: what an attack with shadow models finds of real records. Internal, always."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from discreet.audit.canaries import Flip, write_private
from discreet.audit.membership import scores
from discreet.audit.membership.roc import RATES, MemberRoc, roc
from discreet.audit.membership.shadows import Shadows
from discreet.audit.membership.signals import Signals
from discreet.release import Internal


class Attack(str, Enum):
    """How records are scored. loss: by the target alone; the others: beside what shadow models say of them."""

    LOSS = "loss"
    LIRA = "lira"
    RMIA = "rmia"
    BAVARIA = "bavaria"


_SCORES: Mapping[Attack, Callable[[Signals], NDArray[np.float64]]] = {
    Attack.LOSS: lambda signals: scores.loss_threshold(np.logaddexp(0.0, -signals.target)),
    Attack.LIRA: scores.lira,
    Attack.RMIA: scores.rmia,
    Attack.BAVARIA: scores.bavaria,
}


@dataclass(frozen=True, slots=True, eq=False)
class Membership(Internal):
    """What an attacker finds of the records that a target was trained on.

    Internal: real records were read outside of the door and nobody was charged, so no release and no report may hold it.

    Args:
        signals: What the target and its shadows say of each record.
        flip: The coins that decided which records the target was trained on.
    """

    signals: Signals
    flip: Flip

    def scores(self, attack: Attack = Attack.BAVARIA) -> NDArray[np.float64]:
        """Return each record's score; `flip.audit` holds it against a claim about one record's presence."""
        return _SCORES[Attack(attack)](self.signals)

    def roc(self, attack: Attack = Attack.BAVARIA) -> MemberRoc:
        """Return the curve of an attack on the target."""
        found, included = self.scores(attack), self.flip.included
        return roc(found[included], found[~included])

    @property
    def vulnerability(self) -> NDArray[np.float64]:
        """How far training on it moves a record's signal, in standard deviations over the shadows."""
        inner, outer = (self.signals.side(inside=inside, least=1) for inside in (True, False))
        deviation = np.sqrt((inner.pooled + outer.pooled) / 2)
        found: NDArray[np.float64] = (inner.means - outer.means) / deviation
        return found

    def __str__(self) -> str:
        records, shadows = self.flip.included.size, self.signals.shadows.shape[0]
        lines = [f"{records:,} records, {int(self.flip.included.sum()):,} of them members; {shadows} shadow models"]
        for attack in Attack:
            curve = self.roc(attack)
            shares = ", ".join(f"{100 * curve.at(rate).rate:.2g} % at {100 * rate:g} %" for rate in RATES)
            lines.append(f"{attack.value}: members found {shares} wrongly accused; AUC {curve.auc:.3f}")
        return "\n".join([*lines, self.note])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data, each record's vulnerability with it; it stays internal."""
        return {
            "internal": self.note,
            "records": self.flip.included.size,
            "shadows": self.signals.shadows.shape[0],
            "commitment": self.flip.commitment,
            "attacks": {attack.value: self.roc(attack).to_dict() for attack in Attack},
            "vulnerability": self.vulnerability.tolist(),
        }

    def write(self, path: Path) -> None:
        """Write the result into a new file that only its owner can read.

        Raises:
            InvalidInput: the file is there already, or cannot be written.
        """
        write_private(path, json.dumps(self.to_dict(), indent=1) + "\n")


def membership(fit: Any, data: Any, labels: Any, *, shadows: int = 32) -> Membership:
    """Train a target and shadow models on random halves of the records, and attack the target.

    To show progress, iterate over `Shadows` instead, and build `Membership` from its signals and flip.

    Args:
        fit: A scikit-learn classifier, or a function; see `Shadows`.
        data: The records, one row each.
        labels: Their labels.
        shadows: How many shadow models; an even number.

    Returns:
        The attack's result. It is internal: keep it in a file of its own (`Membership.write`).

    Raises:
        InvalidInput: see `Shadows`.

    Not protected:
        Anything: an audit is an uncharged look at private records. What it finds is a measurement of this attack on
        this training procedure, with half of the records; a better attacker finds more.
    """
    training = Shadows(fit, data, labels, count=shadows)
    for _ in training:
        pass
    return Membership(training.signals, training.flip)
