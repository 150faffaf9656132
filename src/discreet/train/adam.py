"""PrivateAdam: Adam that knows how much of its second moment is noise, and may have gradients scaled before they are clipped.

Proof: docs/proofs/scaled_clipping.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from discreet.errors import InvalidInput
from discreet.train.plan import DPSGD

LEAST, MOST = 1e-6, 1e6  # of scales, whose squares are 1 on average


class PrivateAdam(torch.optim.Optimizer):
    """Adam without the bias that noise gives its second moment: the noise's known variance is taken off.

    The mean of squared noisy gradients is that of the squared gradients plus the noise's variance, which is the larger of
    both in most private training: plain Adam then divides all numbers by about the same. Decay of weights is decoupled, as
    in AdamW.

    Args:
        params: The parameters, in float32 or float64.
        plan: The calibrated plan of the run: it knows the noise.
        lr: How far a step goes.
        betas: How much of both moments stays in each step.
        floor: The least that is left of the second moment, as a share of the noise's variance.
        weight_decay: How much of a parameter goes in each step, times lr.
        scaled: Let gradients be multiplied, number by number, by about one over the root of their second moment before
            they are clipped and noised, and divided by it afterwards: numbers that move little get less noise. The clipping
            norm is that of scaled gradients. It forms the gradients of single examples, which takes longer.

    Guarantee:
        None of its own: it sees noisy gradients alone. Scales follow from those of earlier steps.
    Evidence:
        Proven: docs/proofs/scaled_clipping.md.
    Assumes:
        In a loop of your own: gradients with the plan's noise. In a run, the run tells what noise there is.
    Not protected:
        Nothing more than a run's.

    References:
        Tang, Shpilevskiy, Lécuyer, "DP-AdamBC: Your DP-Adam Is Actually DP-SGD (Unless You Apply Bias Correction)", 2023.
        Ganesh, McMahan, Thakurta, "On Design Principles for Private Adaptive Optimizers", 2025.
    """

    def __init__(
        self,
        params: Iterable[Any],
        plan: DPSGD,
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        floor: float = 0.1,
        weight_decay: float = 0.0,
        scaled: bool = False,
    ) -> None:
        self.fits(plan)
        for name, value, least, most in (
            ("lr", lr, 0.0, math.inf),
            ("betas[0]", betas[0], 0.0, 1.0),
            ("betas[1]", betas[1], 0.0, 1.0),
            ("floor", floor, 1e-9, math.inf),
            ("weight_decay", weight_decay, 0.0, math.inf),
        ):
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < most:
                raise _refused(f"{name} must be from {least:g} up to, and not, {most:g}, got {value!r}.", "See Args.")
        noise = plan.noise_std / plan.expected_batch_size
        settings = {"lr": lr, "betas": betas, "floor": floor, "weight_decay": weight_decay, "scaled": scaled}
        super().__init__(params, {**settings, "noise": noise})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dtype not in {torch.float32, torch.float64}:
                    raise _refused(
                        f"a parameter is {parameter.dtype}, in which a variance less another one is mostly rounding.",
                        "Keep parameters in float32, and compute under torch.autocast.",
                    )

    @staticmethod
    def fits(plan: DPSGD) -> None:
        """Refuse a plan whose noise cannot be taken off.

        Raises:
            InvalidInput: it is not calibrated, or its noise is correlated.
        """
        if not isinstance(plan, DPSGD) or plan.noise_multiplier is None:
            raise _refused("plan is no calibrated plan.", "Take plan.calibrate(target_epsilon, target_delta).")
        if plan.correlation is not None:
            raise _refused(
                "with correlated noise, squares of noisy gradients depend on each other over steps.",
                "Take SGD with momentum, which correlated noise is made for, or plan without correlation.",
            )

    def expect(self, noise: float) -> None:
        """Take the noise of the next gradients to have this deviation: in units of scaled ones, where they are scaled."""
        for group in self.param_groups:
            group["noise"] = noise

    @torch.no_grad()
    def scales(self) -> dict[torch.Tensor, torch.Tensor]:
        """Return what the next gradients of each parameter are multiplied by before they are clipped; empty if nothing is.

        One over the root of what is known of their second moment plus the noise's variance, all times one number: their
        squares are 1 on average. Ones for groups that are not scaled, beside others that are.
        """
        found: dict[torch.Tensor, torch.Tensor] = {}
        for group in self.param_groups:
            if group["scaled"]:
                for parameter in (p for p in group["params"] if p.requires_grad):
                    known, _ = self._moments(parameter, group)
                    found[parameter] = known.clamp_(min=0).add_(group["noise"] ** 2).rsqrt_().float()
        if found:
            total = sum(float(scale.square().sum(dtype=torch.float64)) for scale in found.values())
            size = sum(scale.numel() for scale in found.values())
            for scale in found.values():
                scale.mul_(math.sqrt(size / total)).clamp_(LEAST, MOST)
            trained = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
            found |= {p: torch.ones_like(p, dtype=torch.float32) for p in trained if p not in found}
        return found

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step by noisy gradients, which are still scaled where `scales` says so.

        Args:
            closure: Refused: a second look at the loss would be a second release.
        """
        if closure is not None:
            raise _refused("a closure looks at the loss again.", "Call step() alone.")
        scales = self.scales()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group, scales.get(parameter) if group["scaled"] else None)
        return None

    def _move(self, parameter: torch.Tensor, group: dict[str, Any], scale: torch.Tensor | None) -> None:
        (first, second), state, gradient = group["betas"], self.state[parameter], parameter.grad
        assert gradient is not None
        noise: float | torch.Tensor = group["noise"] ** 2
        if scale is not None:
            scale = scale.to(gradient.dtype)
            gradient, noise = gradient / scale, noise / scale.square()
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["noise"] = 0.0 if scale is None else torch.zeros_like(parameter)
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        state["noise"] = second * state["noise"] + (1 - second) * noise
        known, of_noise = self._moments(parameter, group)
        least = group["floor"] * of_noise
        kept = known.clamp_(min=least) if isinstance(least, float) else torch.maximum(known, least)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.addcdiv_(state["mean"], kept.sqrt_(), value=-group["lr"] / (1 - first ** state["step"]))

    def _moments(self, parameter: torch.Tensor, group: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """Return the second moment of gradients less that of their noise, which may come out below 0; and the latter."""
        state = self.state.get(parameter)
        if not state:
            return torch.zeros_like(parameter), 0.0
        whole = 1 - group["betas"][1] ** state["step"]
        return (state["square"] - state["noise"]) / whole, state["noise"] / whole


def _refused(what: str, remedy: str) -> InvalidInput:
    return InvalidInput(what, state="Nothing was charged and no data was read.", remedy=remedy)
