"""Audit: tries to break guarantees, and measures what an attacker gains.

A finding is internal: it was computed from raw data outside of the door. scipy and scikit-learn are loaded with the
first estimate, not with this package.
"""

from discreet.audit.canaries import Estimator, Flip, directions, flip, step_scores
from discreet.audit.claims import Claim
from discreet.audit.membership.attack import Attack, Membership, membership
from discreet.audit.membership.roc import Found, MemberRoc, Roc, roc
from discreet.audit.membership.scores import (
    Variance,
    bavaria,
    bavaria_offline,
    best_a,
    lira,
    lira_offline,
    loss_threshold,
    rmia,
    rmia_offline,
)
from discreet.audit.membership.shadows import Shadows
from discreet.audit.membership.signals import Signals, logits
from discreet.audit.rederive import Derivation, Rederived, rederive
from discreet.audit.statistics.bound import LowerBound
from discreet.audit.tester import MechanismAudit, Pair, answer_pairs, mechanism, one_by_one, record_pairs
from discreet.audit.verdict import Finding, Verdict

__all__ = [
    "Attack",
    "Claim",
    "Derivation",
    "Estimator",
    "Finding",
    "Flip",
    "Found",
    "LowerBound",
    "MechanismAudit",
    "MemberRoc",
    "Membership",
    "Pair",
    "Rederived",
    "Roc",
    "Shadows",
    "Signals",
    "Variance",
    "Verdict",
    "answer_pairs",
    "bavaria",
    "bavaria_offline",
    "best_a",
    "directions",
    "flip",
    "lira",
    "lira_offline",
    "logits",
    "loss_threshold",
    "mechanism",
    "membership",
    "one_by_one",
    "record_pairs",
    "rederive",
    "rmia",
    "rmia_offline",
    "roc",
    "step_scores",
]
