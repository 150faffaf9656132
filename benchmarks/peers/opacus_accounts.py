"""Opacus: its PRV accountant, whose lower end is inside it but not shown, and its Rényi accountant."""

from __future__ import annotations

import warnings

from meter import account, task
from opacus.accountants import PRVAccountant, RDPAccountant
from opacus.accountants.utils import get_noise_multiplier

OPTIONS = task()["options"]
warnings.simplefilter("ignore")  # the best order is the largest of its list: said on standard error at each call


def epsilon(task):
    found = PRVAccountant() if OPTIONS["of"] == "prv" else RDPAccountant()
    found.history = [(part["sigma"], part.get("rate", 1.0), part["count"]) for part in task["parts"]]
    delta = task["delta"]
    if OPTIONS["of"] == "rdp":
        return float(found.get_epsilon(delta)), None
    law = found._get_dprv(eps_error=OPTIONS["error"], delta_error=delta / 1000)  # noqa: SLF001 - the lower end is nowhere else
    lower, _, upper = law.compute_epsilon(delta, delta / 1000, OPTIONS["error"])
    return float(upper), float(lower)


def calibrate(task):
    (part,) = task["parts"]
    return get_noise_multiplier(
        target_epsilon=task["epsilon"], target_delta=task["delta"], sample_rate=part["rate"], steps=part["count"],
        accountant=OPTIONS["of"], epsilon_tolerance=0.001,
    ), None  # fmt: skip


if __name__ == "__main__":
    account({"epsilon": epsilon, "calibrate": calibrate})
