"""Audit: tries to break guarantees, and measures what an attacker gains.

A finding is internal: it was computed from raw data outside of the door. scipy and scikit-learn are loaded with the
first estimate, not with this package.
"""

from discreet.audit.claims import Claim
from discreet.audit.statistics.bound import LowerBound
from discreet.audit.tester import MechanismAudit, Pair, answer_pairs, mechanism, one_by_one, record_pairs
from discreet.audit.verdict import Finding, Verdict

__all__ = [
    "Claim",
    "Finding",
    "LowerBound",
    "MechanismAudit",
    "Pair",
    "Verdict",
    "answer_pairs",
    "mechanism",
    "one_by_one",
    "record_pairs",
]
