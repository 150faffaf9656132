"""prv-accountant: a grid in extended precision, with both ends."""

from __future__ import annotations

import prv_accountant as prv
from meter import account, spent_in_turn, task

ERROR = task()["options"]["error"]
MECHANISMS = {
    "sgd": lambda p: prv.PoissonSubsampledGaussianMechanism(
        sampling_probability=p["rate"], noise_multiplier=p["sigma"]
    ),
    "gaussian": lambda p: prv.GaussianMechanism(noise_multiplier=p["sigma"]),
    "laplace": lambda p: prv.LaplaceMechanism(mu=1 / p["scale"]),
    "response": lambda p: prv.PureDPMechanism(p["response"]),
}


def epsilon(task):
    counts = [part["count"] for part in task["parts"]]
    found = prv.PRVAccountant(
        [MECHANISMS[part["kind"]](part) for part in task["parts"]],
        eps_error=ERROR, delta_error=task["delta"] / 1000, max_self_compositions=counts,
    )  # fmt: skip
    lower, _, upper = found.compute_epsilon(task["delta"], counts)
    return float(upper), float(lower)


def odometer(task):
    """It has none: everything again at each readout."""
    return spent_in_turn(
        [], task["parts"], lambda state, part: [*state, part], lambda state: epsilon(task | {"parts": state})
    )


if __name__ == "__main__":
    account({"epsilon": epsilon, "odometer": odometer})
