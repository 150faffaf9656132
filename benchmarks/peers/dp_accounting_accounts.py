"""Google's dp-accounting: privacy loss distributions on a grid, and Rényi orders.

Its optimistic distributions are its only lower bound. No task counts releases of randomised response: version 0.6.0
takes any number of them for one.
"""

from __future__ import annotations

import math

import dp_accounting as dp
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.pld.pld_privacy_accountant import PLDAccountant
from dp_accounting.rdp.rdp_privacy_accountant import RdpAccountant
from meter import account, task

OPTIONS = task()["options"]
RELATIONS = {
    "replace": dp.NeighboringRelation.REPLACE_ONE,
    "fixed": dp.NeighboringRelation.REPLACE_ONE,
    # Refused under add/remove; the other parts of such a task are the same under this relation.
    "response": dp.NeighboringRelation.REPLACE_SPECIAL,
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


def accountant(task):
    stated = [RELATIONS[part["kind"]] for part in task["parts"] if part["kind"] in RELATIONS]
    relation = stated[0] if stated else dp.NeighboringRelation.ADD_OR_REMOVE_ONE
    if OPTIONS["of"] == "rdp":
        return RdpAccountant(neighboring_relation=relation)
    return PLDAccountant(relation, OPTIONS["grid"])


def spent(task):
    found = accountant(task)
    for part in task["parts"]:
        found.compose(EVENTS[part["kind"]](part), part["count"])
    return found


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
        lambda: accountant(task),
        lambda sigma: dp.SelfComposedDpEvent(EVENTS[part["kind"]](part | {"sigma": sigma}), part["count"]),
        task["epsilon"], task["delta"], tol=1e-6,
    ), None  # fmt: skip


def odometer(task):
    found = accountant(task)
    for part in task["parts"]:
        found.compose(EVENTS[part["kind"]](part), part["count"])
        readout = found.get_epsilon(task["delta"])
    return readout, None


if __name__ == "__main__":
    account({"epsilon": epsilon, "curve": curve, "calibrate": calibrate, "odometer": odometer})
