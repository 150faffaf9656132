"""A clipping norm that follows the gradients: noisy counts say how many are short, and are charged with the sums.

Proof: docs/proofs/adaptive_clipping.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from discreet.errors import InvalidInput
from discreet.train.clipping.clips import LEAST, Flat
from discreet.train.noise import KeyedNoise
from discreet.train.plan import DPSGD

REACH = 1e4  # the norm stays within this factor of the first one
MOST = 1e30  # of first norms
GRAIN = 2**20  # an example counts in steps of 1 / GRAIN: whole numbers add up alike in any order
GRID = 2.0**-8  # of a count's noise: what is used of a noisy count is a multiple of about this share of it
NOBODY = 2.0**-20  # of the norm: a gradient that is shorter counts in proportion, and who has none not at all
SLOPE = 4.0  # an example counts 1/2 up to 7/8 of the norm, and -1/2 from 9/8 on
COUNT = 0  # names the count's noise: tensors have names that are texts
ROUNDED = 1 + 2.0**-50  # more than the roundings of a quotient and a root


@dataclass(frozen=True)
class Quantile(Flat):
    """Shorten whole gradients to a norm that moves, in each step, to where a share `quantile` of them is shorter.

    A step counts how many gradients are shorter than its norm less how many are longer, adds noise, and divides by the
    plan's expected batch size. The next norm is this one times exp(-rate·(what came out + 1/2 - quantile)).

    The counts have a charge of their own, within that of the plan: its noise_multiplier stays what is charged, a share
    of it pays for the counts, and gradients get the more noise. See `noise`.

    Args:
        max_norm: The first norm, the plan's max_grad_norm. A power of ten off costs a few dozen steps.
        quantile: How many of the gradients are to be shorter than the norm, between 0 and 1.
        rate: How fast the norm moves.
        share: How much of the charge, in 1 / noise_multiplier², is for the counts.

    Guarantee:
        Sum and count of a step together are as private as the plan's event says: what an example adds to both, in units
        of their noise, is a vector of length at most 1 / noise_multiplier.
    Evidence:
        Proven: docs/proofs/adaptive_clipping.md. Audited with canaries that pull at both.
    Assumes:
        What `Flat` and the plan assume. The norm follows from noisy counts: it may be shown as the model may.
    Not protected:
        Rounding, of norms near the threshold as of the sums: an example's count moves by four times the norm's
        relative rounding.

    References:
        Andrew, Thakkar, McMahan, Ramaswamy, "Differentially Private Learning with Adaptive Clipping", 2021.
    """

    quantile: float = 0.5
    rate: float = 0.2
    share: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not LEAST * REACH <= self.max_norm <= MOST:
            raise InvalidInput(
                f"max_norm must lie between {LEAST * REACH:g} and {MOST:g}, got {self.max_norm!r}.",
                state="Nothing was charged and no data was read.",
                remedy="Scale the loss: float32 holds the norms of its gradients then, wherever they move.",
            )
        for name, most, why in (
            ("quantile", 1.0, "0.5 clips about half of the gradients."),
            ("rate", math.inf, "0.2 is usual."),
            ("share", 1.0, "0.01 makes gradients noisier by half a percent."),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < most:
                raise InvalidInput(
                    f"{name} must be a finite number between 0 and {most:g}, got {value!r}.",
                    state="Nothing was charged and no data was read.",
                    remedy=why,
                )

    def noise(self, noise_multiplier: float) -> tuple[float, float]:
        """Return what a plan's noise_multiplier z is made of: that of gradients, and the deviation of a count's noise.

        For these, z = (z_gradients⁻² + (2·z_count)⁻²)^(-1/2): an example moves a count by at most 1/2.
        """
        of_gradients = noise_multiplier / math.sqrt(1 - self.share) * ROUNDED
        return of_gradients, noise_multiplier / (2 * math.sqrt(self.share)) * ROUNDED


class Moving:
    """Where the norm of a `Quantile` stands in a run.

    Args:
        clip: The clip.
        plan: The run's plan.

    Attributes:
        norm: What the next step clips to.
    """

    def __init__(self, clip: Quantile, plan: DPSGD) -> None:
        assert plan.noise_multiplier is not None
        self.norm = float(clip.max_norm)
        self._clip, self._expected = clip, plan.expected_batch_size
        self._of_gradients, self._of_count = clip.noise(plan.noise_multiplier)
        self._grid = 2.0 ** math.floor(math.log2(self._of_count * GRID))  # a power of two: division is exact

    @property
    def rule(self) -> Flat:
        """How the next step clips."""
        return Flat(self.norm)

    @property
    def noise_std(self) -> float:
        """The deviation of the noise of the next step's sum."""
        return self._of_gradients * self.norm

    def counted(self, norms: torch.Tensor) -> torch.Tensor:
        """Return what examples with these norms count together, in units of 1 / GRAIN.

        Each counts 1/2 if its gradient is shorter than the norm, -1/2 if it is longer or no number, and something in
        between if it is about as long: a threshold would let a rounding decide. Who has no gradient counts nothing, as
        who is not there: that is what a blank is. Next to 0 it counts in proportion, so that it matters little whether a
        square that is too small for float32 became 0.
        """
        norms = norms.float()
        apart = (SLOPE * (1 - norms / self.norm)).clamp(-0.5, 0.5).nan_to_num(nan=-0.5)
        there = (norms / (self.norm * NOBODY)).clamp(max=1.0).nan_to_num(nan=1.0)
        each = apart * there
        return (each * GRAIN).round().to(torch.int64).sum()

    def move(self, count: torch.Tensor, noise: KeyedNoise, step: int) -> None:
        """Add a step's noise to its count, and move the norm.

        The sum is rounded to a public grid before it is used: of noise that is a float32 number times a constant, the
        last bits would tell which count it was added to, and the norm may be shown.
        """
        noisy = int(count) / GRAIN + self._of_count * float(noise.fresh(step, COUNT, 1)[0])
        noisy = round(noisy / self._grid) * self._grid
        clip = self._clip
        far = clip.rate * (noisy / self._expected + 0.5 - clip.quantile)
        reach = math.log(REACH)
        now = math.log(self.norm / clip.max_norm)
        self.norm = clip.max_norm * math.exp(min(reach, max(-reach, now - far)))

    def spoil(self) -> None:
        """Make it unusable."""
        self.norm = math.nan

    def state_dict(self) -> dict[str, float]:
        """Return where the norm stands."""
        return {"norm": self.norm}

    def load_state_dict(self, held: Mapping[str, float]) -> None:
        """Go on from where it stood."""
        self.norm = float(held["norm"])
