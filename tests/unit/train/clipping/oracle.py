"""One example at a time through plain autograd, and arithmetic in float64: nothing of discreet's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils import _pytree


def each_gradient(model, loss, batch) -> list[dict[str, Tensor]]:
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    count = next(leaf for leaf in _pytree.tree_leaves(batch)).shape[0]
    found = []
    for i in range(count):
        one = _pytree.tree_map(lambda leaf: leaf[i : i + 1], batch)  # noqa: B023 - used at once
        model.zero_grad()
        loss(model, one).sum().backward()
        found.append({n: torch.zeros_like(p) if p.grad is None else p.grad.float() for n, p in named.items()})
    model.zero_grad()
    return found


def norm(gradient: dict[str, Tensor]) -> float:
    return sum(float(g.double().square().sum()) for g in gradient.values()) ** 0.5


def flat_sum(gradients: list[dict[str, Tensor]], max_norm: float) -> dict[str, Tensor]:
    """The sum of gradients shortened to max_norm, in float64."""
    total = {name: torch.zeros_like(g, dtype=torch.float64) for name, g in gradients[0].items()}
    for gradient in gradients:
        factor = min(1.0, max_norm / max(norm(gradient), 1e-300))
        for name, g in gradient.items():
            total[name] += factor * g.double()
    return total


def distance(sums: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Relative distance of two sums, over all parameters."""
    assert sums.keys() == expected.keys()
    apart = {name: sums[name].double() - expected[name].double() for name in sums}
    return norm(apart) / max(norm(expected), 1e-300)
