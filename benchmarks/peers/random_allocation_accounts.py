"""random-allocation: the best of the upper bounds of its paper, and its lower bound."""

from __future__ import annotations

import random_allocation as allocation
from meter import account
from random_allocation.comparisons.structs import Direction
from random_allocation.random_allocation_scheme.combined import allocation_epsilon_combined
from random_allocation.random_allocation_scheme.lower_bound import allocation_epsilon_lower_bound


def epsilon(task):
    (part,) = task["parts"]
    params = allocation.PrivacyParams(
        sigma=part["sigma"], num_steps=part["steps"], num_epochs=part["count"], delta=task["delta"]
    )
    config = allocation.SchemeConfig(allocation_direct_alpha_orders=list(range(2, 61)))
    upper = float(allocation_epsilon_combined(params, config, Direction.BOTH))
    if part["count"] > 1:  # its lower bound knows one epoch only
        return upper, None
    return upper, float(allocation_epsilon_lower_bound(params, config, Direction.BOTH))


if __name__ == "__main__":
    account({"epsilon": epsilon})
