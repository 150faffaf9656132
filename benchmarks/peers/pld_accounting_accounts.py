"""pld-accounting: subsampling and random allocation on loss distributions, composed by dp-accounting."""

from __future__ import annotations

import warnings

import PLD_accounting as accounting
from meter import account, task

warnings.simplefilter("ignore")  # it says at each import of a distribution how much mass it repaired
GRID, TAIL = task()["options"]["grid"], 1e-15


def allocation(part, delta):
    """Return its own search for a grid; its default grid of 1e-2 takes minutes and gigabytes for ten epochs."""
    return accounting.gaussian_allocation_epsilon_range(
        delta=delta, sigma=part["sigma"], num_steps=part["steps"], num_epochs=part["count"], epsilon_accuracy=GRID
    )


def epsilon(task):
    (part,) = task["parts"]
    if part["kind"] == "allocation":
        return allocation(part, task["delta"])
    base = accounting.gaussian_distribution(scale=part["sigma"], value_discretization=GRID, tail_truncation=TAIL)
    remove, add = (
        accounting.subsample_pld_realization(base_pld=base, sampling_prob=part["rate"], direction=direction)
        for direction in (accounting.Direction.REMOVE, accounting.Direction.ADD)
    )
    both = accounting.compose_full_pld(remove_dist=remove, add_dist=add, bound_type=accounting.BoundType.DOMINATES)
    return float(both.self_compose(part["count"]).get_epsilon_for_delta(task["delta"])), None


if __name__ == "__main__":
    account({"epsilon": epsilon})
