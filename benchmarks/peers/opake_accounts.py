"""opake: loss distributions in Rust; its inner functions, since the outer ones come with packages that train."""

from __future__ import annotations

from meter import account, task
from opake.api.accounting.core import opake_accounting as native

CONFIG = native.DiscretizationConfig(discretization=task()["options"]["grid"])
MECHANISMS = {
    "sgd": lambda p: native.poisson_pld(native.gaussian_pld(p["sigma"], CONFIG), p["rate"]),
    "gaussian": lambda p: native.gaussian_pld(p["sigma"], CONFIG),
    "truncated": lambda p: native.truncated_poisson_gaussian_pld(p["sigma"], p["rate"], p["most"], p["people"], CONFIG),
    "allocation": lambda p: native.random_allocation_gaussian_pld(p["sigma"], p["steps"], 1, CONFIG),
}


def composed(task):
    (part,) = task["parts"]
    return MECHANISMS[part["kind"]](part).self_compose(part["count"])


def epsilon(task):
    return composed(task).epsilon_at(task["delta"]), None


def curve(task):
    found = composed(task)
    return [found.delta_at(epsilon) for epsilon in task["epsilons"]], None


if __name__ == "__main__":
    account({"epsilon": epsilon, "curve": curve})
