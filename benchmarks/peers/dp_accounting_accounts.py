"""Google's dp-accounting: privacy loss distributions on a grid, and Rényi orders.

Its optimistic distributions are its only lower bound. Randomised response is composed one by one, because version 0.6.0 takes any
number of them for one. It is private under replacement of one answer by another, where the Laplace mechanism is refused:
an accountant for each relation, put together by hand, answers for both. REPLACE_SPECIAL would take all at once, but there
the other answer is replaced by a uniform one: a weaker guarantee.
"""

from __future__ import annotations

import math

import dp_accounting as dp
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.pld.pld_privacy_accountant import PLDAccountant
from dp_accounting.rdp.rdp_privacy_accountant import RdpAccountant
from meter import account, spent_in_turn, task

OPTIONS = task()["options"]
RELATIONS = {
    "replace": dp.NeighboringRelation.REPLACE_ONE,
    "fixed": dp.NeighboringRelation.REPLACE_ONE,
    "response": dp.NeighboringRelation.REPLACE_ONE,
}
EVENTS = {
    "sgd": lambda p: dp.PoissonSampledDpEvent(p["rate"], dp.GaussianDpEvent(p["sigma"])),
    "gaussian": lambda p: dp.GaussianDpEvent(p["sigma"]),
    "laplace": lambda p: dp.LaplaceDpEvent(p["scale"]),
    "response": lambda p: dp.RandomizedResponseDpEvent(2 / (1 + math.exp(p["response"])), 2),
    "truncated": lambda p: dp.dp_event.TruncatedSubsampledGaussianDpEvent(
        p["people"], p["rate"], p["most"], p["sigma"]
    ),
    "replace": lambda p: dp.PoissonSampledDpEvent(p["rate"], dp.GaussianDpEvent(p["sigma"])),
    "fixed": lambda p: dp.SampledWithoutReplacementDpEvent(p["people"], p["batch"], dp.GaussianDpEvent(p["sigma"])),
}


def relation(part):
    return RELATIONS.get(part["kind"], dp.NeighboringRelation.ADD_OR_REMOVE_ONE)


def accountant(relation):
    if OPTIONS["of"] == "rdp":
        return RdpAccountant(neighboring_relation=relation)
    return PLDAccountant(relation, OPTIONS["grid"])


def spent(task):
    """Return an accountant of all parts; what was spent under a second relation is added inside it."""
    found = {each: accountant(each) for each in dict.fromkeys(map(relation, task["parts"]))}
    for part in task["parts"]:
        of = found[relation(part)]
        one_by_one = part["kind"] == "response"
        for _ in range(part["count"] if one_by_one else 1):
            of.compose(EVENTS[part["kind"]](part), 1 if one_by_one else part["count"])
    total, *others = found.values()
    for other in others:
        if OPTIONS["of"] == "rdp":
            total._rdp = total._rdp + other._rdp  # noqa: SLF001 - there is no other way to add
        else:
            total._pld = total._pld.compose(other._pld)  # noqa: SLF001
    return total


def optimistic(task):
    (part,) = task["parts"]
    common = {
        "pessimistic_estimate": False,
        "value_discretization_interval": OPTIONS["grid"],
        "use_connect_dots": False,
    }
    if part["kind"] == "laplace":
        one = pld.from_laplace_mechanism(part["scale"], **common)
    else:
        one = pld.from_gaussian_mechanism(part["sigma"], sampling_prob=part.get("rate", 1.0), **common)
    return None, one.self_compose(part["count"]).get_epsilon_for_delta(task["delta"])


def epsilon(task):
    return optimistic(task) if OPTIONS["of"] == "optimistic" else (spent(task).get_epsilon(task["delta"]), None)


def curve(task):
    (part,) = task["parts"]
    one = pld.from_gaussian_mechanism(
        part["sigma"], sampling_prob=part["rate"], value_discretization_interval=OPTIONS["grid"]
    )
    return one.self_compose(part["count"]).get_delta_for_epsilon(task["epsilons"]).tolist(), None


def calibrate(task):
    (part,) = task["parts"]
    return dp.calibrate_dp_mechanism(
        lambda: accountant(relation(part)),
        lambda sigma: dp.SelfComposedDpEvent(EVENTS[part["kind"]](part | {"sigma": sigma}), part["count"]),
        task["epsilon"], task["delta"], tol=1e-6,
    ), None  # fmt: skip


def odometer(task):
    events = [EVENTS[part["kind"]](part) for part in task["parts"]]
    return spent_in_turn(
        accountant(relation(task["parts"][0])), events,
        lambda state, event: state.compose(event), lambda state: (state.get_epsilon(task["delta"]), None),
    )  # fmt: skip


if __name__ == "__main__":
    account({"epsilon": epsilon, "curve": curve, "calibrate": calibrate, "odometer": odometer})
