"""Opacus: trains the model of the task on its rows, by its own optimizer, loader and accountant."""

from __future__ import annotations

import itertools
import json
import time
import warnings

import numpy as np
import torch
from meter import task
from opacus import GradSampleModule
from opacus.accountants.utils import get_noise_multiplier
from opacus.data_loader import DPDataLoader
from opacus.optimizers import DPOptimizer
from torch import nn
from torch.utils.data import TensorDataset


def network(sizes):
    """Return the model of discreet.train.tables: tanh between, the last layer 0 at first."""
    layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.Tanh())][:-1]
    for parameter in layers[-1].parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(*layers)


def trained(asked, rows, sigma):
    net = GradSampleModule(network(asked["sizes"]))
    plain = torch.optim.SGD(net.parameters(), lr=asked["learning_rate"], momentum=asked["momentum"])
    optimizer = DPOptimizer(plain, noise_multiplier=sigma, max_grad_norm=asked["max_grad_norm"],
                            expected_batch_size=asked["expected_batch_size"])  # fmt: skip
    taken = 0
    while taken < asked["steps"]:
        for x, y in DPDataLoader(rows, sample_rate=asked["sample_rate"]):  # 1 / sample_rate batches
            if taken == asked["steps"]:
                break
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y.long()).backward()
            optimizer.step()
            taken += 1
    return net


def main():
    asked = task()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    held = np.load(asked["rows"])
    rows = TensorDataset(torch.from_numpy(held["x"]), torch.from_numpy(held["y"]))
    sigma = get_noise_multiplier(
        target_epsilon=asked["epsilon"], target_delta=asked["delta"], sample_rate=asked["sample_rate"],
        steps=asked["steps"], accountant="prv", epsilon_tolerance=0.001,
    )  # fmt: skip
    start, outcomes = time.process_time(), []
    for _ in range(asked["seeds"]):
        net = trained(asked, rows, sigma)
        with torch.no_grad():
            outcomes.append(torch.softmax(net(torch.from_numpy(held["test"])), 1).numpy())
    np.save(asked["outcomes"], np.stack(outcomes))
    print(json.dumps({"sigma": sigma, "cpu": (time.process_time() - start) / asked["seeds"]}))


if __name__ == "__main__":
    main()
