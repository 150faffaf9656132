"""Accounting, first floor: from events to proved losses, curves and filters. No data, no randomness."""

from discreet.accounting.calibrate import Calibration, Target, calibrate
from discreet.accounting.composed import profile
from discreet.accounting.conversions import (
    rdp_delta,
    rdp_epsilon,
    rdp_loss,
    zcdp_delta,
    zcdp_epsilon,
    zcdp_rho,
)
from discreet.accounting.curves import analytic
from discreet.accounting.dpsgd import Sampling, dpsgd
from discreet.accounting.filters import budget, capacity, statement
from discreet.accounting.gaussian import gaussian_delta, gaussian_epsilon, gaussian_mu, noise_multiplier
from discreet.accounting.losses import Loss, check_relation, cost, loss
from discreet.accounting.measures import COST_UNIT, DELTA_UNIT, Cost, Measure
from discreet.accounting.odometer import Odometer

__all__ = [
    "COST_UNIT",
    "DELTA_UNIT",
    "Calibration",
    "Cost",
    "Loss",
    "Measure",
    "Odometer",
    "Sampling",
    "Target",
    "analytic",
    "budget",
    "calibrate",
    "capacity",
    "check_relation",
    "cost",
    "dpsgd",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "loss",
    "noise_multiplier",
    "profile",
    "rdp_delta",
    "rdp_epsilon",
    "rdp_loss",
    "statement",
    "zcdp_delta",
    "zcdp_epsilon",
    "zcdp_rho",
]
