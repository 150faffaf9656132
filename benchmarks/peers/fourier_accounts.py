"""fourier-accountant: the first accountant by FFT; one number, of which it does not say on which side it errs."""

from __future__ import annotations

import fourier_accountant
from meter import account


def epsilon(task):
    (part,) = task["parts"]
    of = fourier_accountant.get_epsilon_S if part["kind"] == "replace" else fourier_accountant.get_epsilon_R
    return float(of(target_delta=task["delta"], sigma=part["sigma"], q=part["rate"], ncomp=part["count"])), None


if __name__ == "__main__":
    account({"epsilon": epsilon})
