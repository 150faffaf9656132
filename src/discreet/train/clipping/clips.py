"""How an example's gradient is shortened, and what one example can then change.

Every rule returns a factor for each example and each group of parameters. Factors are computed from upper bounds of
the norms (`norms.Squares.bound`), so that rounding never lengthens a clipped gradient.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from discreet.errors import InvalidInput
from discreet.train.clipping.norms import ROUNDING, Squares

SLACK = 1 - 16 * ROUNDING  # roundings of the root, the quotient, the factor and the product
LEAST = 1e-12  # a norm below this is lost among numbers that float32 rounds to nothing


class Clip(Protocol):
    """A clipping rule."""

    @property
    def sensitivity(self) -> float:
        """L2 distance that adding or removing one example can move the sum."""
        ...

    def groups(self, names: Sequence[str]) -> list[int]:
        """Return the group of each parameter, counted from 0."""
        ...

    def factors(self, group: int, groups: int, norm: Squares) -> Tensor:
        """Return each example's factor for one group; examples with a norm that is not finite are left out elsewhere."""
        ...


def _positive(value: float, what: str) -> None:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= LEAST):
        raise InvalidInput(
            f"{what} is {value!r}, which is not a finite number of at least {LEAST}.",
            remedy="Give the largest length that one example's gradient may keep, for example 1.0.",
        )


def _capped(norm: Squares, cap: float) -> Tensor:
    return (cap * SLACK / norm.bound.sqrt()).clamp(max=1.0)


@dataclass(frozen=True)
class Flat:
    """Shorten the whole gradient to `max_norm` where it is longer."""

    max_norm: float

    def __post_init__(self) -> None:
        _positive(self.max_norm, "max_norm")

    @property
    def sensitivity(self) -> float:
        """L2 distance that adding or removing one example can move the sum."""
        return self.max_norm

    def groups(self, names: Sequence[str]) -> list[int]:
        """Return one group for all parameters."""
        return [0] * len(names)

    def factors(self, group: int, groups: int, norm: Squares) -> Tensor:  # noqa: ARG002 - one group
        """Return min(1, max_norm / norm)."""
        return _capped(norm, self.max_norm)


@dataclass(frozen=True)
class Automatic:
    """Bring every gradient to nearly `max_norm`: the factor is max_norm / (norm + gamma)."""

    max_norm: float
    gamma: float = 0.01

    def __post_init__(self) -> None:
        _positive(self.max_norm, "max_norm")
        _positive(self.gamma, "gamma")

    @property
    def sensitivity(self) -> float:
        """L2 distance that adding or removing one example can move the sum."""
        return self.max_norm

    def groups(self, names: Sequence[str]) -> list[int]:
        """Return one group for all parameters."""
        return [0] * len(names)

    def factors(self, group: int, groups: int, norm: Squares) -> Tensor:  # noqa: ARG002 - one group
        """Return max_norm / (norm + gamma)."""
        return self.max_norm * SLACK / (norm.bound.sqrt() + self.gamma)


@dataclass(frozen=True)
class PerLayer:
    """Shorten each layer on its own: L layers get max_norm / √L each, which makes max_norm together.

    A layer is a module with parameters of its own.
    """

    max_norm: float

    def __post_init__(self) -> None:
        _positive(self.max_norm, "max_norm")

    @property
    def sensitivity(self) -> float:
        """L2 distance that adding or removing one example can move the sum."""
        return self.max_norm

    def groups(self, names: Sequence[str]) -> list[int]:
        """Return the module of each parameter."""
        layers = [name.rpartition(".")[0] for name in names]
        order = {layer: place for place, layer in enumerate(dict.fromkeys(layers))}
        return [order[layer] for layer in layers]

    def factors(self, group: int, groups: int, norm: Squares) -> Tensor:  # noqa: ARG002 - all groups alike
        """Return min(1, share / norm)."""
        return _capped(norm, self.max_norm / math.sqrt(groups) * SLACK)


@dataclass(frozen=True)
class Groups:
    """Shorten groups of parameters, each to its own norm.

    Args:
        bounds: From the start of parameters' names to the group's norm; the longest start that fits counts, and
            `""` fits every name.
    """

    bounds: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.bounds:
            raise InvalidInput(
                "Groups has no group.", remedy='Name at least one, for example Groups({"head": 1.0, "": 0.5}).'
            )
        for start, bound in self.bounds.items():
            _positive(bound, f"the norm of group {start!r}")

    @property
    def sensitivity(self) -> float:
        """L2 distance that adding or removing one example can move the sum."""
        return math.hypot(*self.bounds.values()) * (1 + 1e-15)

    def groups(self, names: Sequence[str]) -> list[int]:
        """Return the group of each parameter.

        Raises:
            InvalidInput: a parameter fits no group.
        """
        starts = list(self.bounds)
        return [starts.index(self._start(name)) for name in names]

    def _start(self, name: str) -> str:
        fitting = [s for s in self.bounds if not s or name == s or name.startswith(s + ".")]
        if not fitting:
            raise InvalidInput(
                f"parameter {name!r} is in none of the groups {sorted(self.bounds)}.",
                remedy='Add a group for it; "" takes every parameter that is left.',
            )
        return max(fitting, key=len)

    def factors(self, group: int, groups: int, norm: Squares) -> Tensor:  # noqa: ARG002 - bounds are known by place
        """Return min(1, bound / norm) with the group's own bound."""
        return _capped(norm, list(self.bounds.values())[group])


@dataclass(frozen=True, eq=False, repr=False)
class Scaled:
    """Multiply gradients number by number, then clip: lengths, clipped gradients and their sums are those of scaled ones.

    Args:
        rule: How scaled gradients are clipped.
        scales: For each parameter the factors, in its shape: finite and above 0, and worked out without the batch.
    """

    rule: Clip
    scales: Mapping[str, Tensor]

    def __repr__(self) -> str:
        """Name all of the scales, for a run is named by its clip; tensors print only some of their numbers."""
        found = hashlib.sha256()
        for name, scale in sorted(self.scales.items()):
            found.update(f"{name!r} {scale.dtype} {[*scale.shape]};".encode())
            found.update(scale.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return f"Scaled({self.rule!r}, scales with sha256 {found.hexdigest()})"

    @property
    def sensitivity(self) -> float:
        """L2 distance that adding or removing one example can move the sum of scaled gradients."""
        return self.rule.sensitivity

    def groups(self, names: Sequence[str]) -> list[int]:
        """Return the groups of the rule.

        Raises:
            InvalidInput: a parameter has no scales.
        """
        missing = [name for name in names if name not in self.scales]
        if missing:
            raise InvalidInput(
                f"parameter {missing[0]!r} has no scales ({len(missing)} in all).",
                remedy="Give ones for parameters that are not to be scaled.",
            )
        return self.rule.groups(names)

    def factors(self, group: int, groups: int, norm: Squares) -> Tensor:
        """Return the factors of the rule, for norms of scaled gradients."""
        return self.rule.factors(group, groups, norm)

    def scaled(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return gradients, of one example or of several in front, each times its scale."""
        return {name: gradient * self.scales[name] for name, gradient in found.items()}
