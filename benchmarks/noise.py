"""Speed of exact integer noise: discreet against OpenDP, at the same law and scale, in one run.

Both draw exact samples from the operating system's randomness. Rounds are interleaved, so that a
busy machine slows both alike; figures are CPU time, medians over rounds. Run it:

    python benchmarks/noise.py            # about a minute
    python benchmarks/noise.py --rounds 3
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import opendp.prelude as dp

from discreet.mechanisms import Rng, discrete_gaussian, discrete_laplace, inversion

OURS, THEIRS, FEW = 1_000_000, 20_000, 1000
SCALES = (Fraction(10), Fraction(1000), Fraction(10**6))
GOAL = 50


def cpu(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def opendp_noise(law, scale):
    norm = dp.l1_distance(T="i64") if law == "laplace" else dp.l2_distance(T="f64")
    then = dp.m.then_laplace if law == "laplace" else dp.m.then_gaussian
    measurement = (dp.vector_domain(dp.atom_domain(T="i64")), norm) >> then(float(scale))
    zeros = [0] * THEIRS
    return lambda: measurement(zeros)


def our_noise(law, scale, size):
    rng = Rng()
    if law == "laplace":
        return lambda: discrete_laplace(size, scale=scale, rng=rng)
    return lambda: discrete_gaussian(size, variance=scale**2, rng=rng)


def cold(law, scale):
    inversion.table.cache_clear()
    return our_noise(law, scale, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    dp.enable_features("contrib")
    print(f"discreet {version('discreet')}, opendp {version('opendp')}, numpy {np.__version__}, "
          f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")  # fmt: skip
    print(f"CPU time per sample, median of {rounds} interleaved rounds "
          f"({OURS:,} samples of ours, {THEIRS:,} of opendp's, each round)\n")  # fmt: skip
    print("law       scale     discreet     opendp    ratio  samples/s  1,000 values  first call")
    worst = float("inf")
    for law in ("laplace", "gaussian"):
        for scale in SCALES:
            first = statistics.median(cpu(cold(law, scale)) for _ in range(5))
            ours, theirs, few = our_noise(law, scale, OURS), opendp_noise(law, scale), our_noise(law, scale, FEW)
            spent = [(cpu(ours) / OURS, cpu(theirs) / THEIRS, cpu(lambda f=few: [f() for _ in range(50)]) / 50)
                     for _ in range(rounds)]  # fmt: skip
            mine, peer, thousand = (statistics.median(column) for column in zip(*spent, strict=True))
            ratio = statistics.median(b / a for a, b, _ in spent)
            worst = min(worst, ratio)
            print(f"{law:8} {float(scale):9,.0f} {mine * 1e9:8.1f} ns {peer * 1e9:7.0f} ns {ratio:6.0f} x "
                  f"{1 / mine / 1e6:6.0f} M {thousand * 1e6:10.0f} us {first * 1e6:8.0f} us")  # fmt: skip
    entropy = statistics.median(cpu(lambda: [os.urandom(2**17) for _ in range(100)]) for _ in range(5))
    print(f"\nos.urandom: {entropy * 1e9 / (100 * 2**17):.2f} ns a byte; a sample takes 2 to 12 bytes")
    print(f"slowest ratio {worst:.0f}x; goal {GOAL}x: {'met' if worst >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
