"""What a noise multiplier of another accountant refers to; see the package."""

from __future__ import annotations

from typing import Literal, get_args

from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.events.checks import shown

NoisePer = Literal["norm", "sensitivity"]

MARGIN = 1e-14  # relative; above the rounding of a logarithm and three operations


def check(relation: object, noise_per: object) -> None:
    """Refuse what is no convention."""
    if not isinstance(relation, Relation):
        raise InvalidInput(
            f"relation must be a Relation, got {shown(relation)}.", remedy=f"One of {', '.join(Relation)}."
        )
    if noise_per not in get_args(NoisePer):
        raise InvalidInput(f"noise_per must be one of {', '.join(get_args(NoisePer))}, got {shown(noise_per)}.")


def share_of(relation: Relation, noise_per: NoisePer) -> int:
    """Return sensitivity / (what noise multipliers refer to)."""
    return 2 if relation is Relation.REPLACE_ONE and noise_per == "norm" else 1
