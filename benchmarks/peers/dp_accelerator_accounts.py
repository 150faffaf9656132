"""dp-accelerator: Rényi orders in Rust. Rates that are no fraction of whole numbers go to its inner function."""

from __future__ import annotations

from dp_accelerator import DPSGDAccountant, compute_epsilon_batch
from meter import account

ORDERS = DPSGDAccountant(1.0, 1, 2).orders


def epsilon(task):
    (part,) = task["parts"]
    return compute_epsilon_batch(part["rate"], part["sigma"], [part["count"]], ORDERS, task["delta"])[0], None


if __name__ == "__main__":
    account({"epsilon": epsilon})
