"""autodp: Rényi orders, and its analytical Fourier accountant."""

from __future__ import annotations

import math
import warnings

from autodp import mechanism_zoo as zoo
from autodp import transformer_zoo as transformers
from meter import account, task

warnings.simplefilter("ignore")
FOURIER = task()["options"]["of"] == "fourier"
FLAGS = {"phi_off": not FOURIER, "RDP_off": FOURIER}


def fixed(part):
    base = zoo.GaussianMechanism(sigma=part["sigma"])
    base.neighboring = "replace_one"
    sampled = transformers.AmplificationBySampling(PoissonSampling=False)
    return sampled(base, part["batch"] / part["people"], improved_bound_flag=True)


MECHANISMS = {
    "sgd": lambda p: zoo.SubsampleGaussianMechanism({"prob": p["rate"], "sigma": p["sigma"], "coeff": 1}, **FLAGS),
    "gaussian": lambda p: zoo.GaussianMechanism(p["sigma"], **FLAGS),
    "laplace": lambda p: zoo.LaplaceMechanism(p["scale"], **FLAGS),
    "response": lambda p: zoo.RandresponseMechanism(1 / (1 + math.exp(-p["response"])), **FLAGS),
    "fixed": fixed,
}


def epsilon(task):
    compose = transformers.ComposeAFA() if FOURIER else transformers.Composition()
    mechanisms = [MECHANISMS[part["kind"]](part) for part in task["parts"]]
    return float(compose(mechanisms, [part["count"] for part in task["parts"]]).get_approxDP(task["delta"])), None


if __name__ == "__main__":
    account({"epsilon": epsilon})
