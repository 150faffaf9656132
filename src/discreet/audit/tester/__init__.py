"""The mechanism tester: a claim about a black box, and events that would refute it."""

from discreet.audit.tester.mechanism import mechanism
from discreet.audit.tester.outputs import Raised, Run, one_by_one
from discreet.audit.tester.pairs import Pair, answer_pairs, record_pairs
from discreet.audit.tester.report import Cell, Counterexample, MechanismAudit

__all__ = [
    "Cell",
    "Counterexample",
    "MechanismAudit",
    "Pair",
    "Raised",
    "Run",
    "answer_pairs",
    "mechanism",
    "one_by_one",
    "record_pairs",
]
