"""Explain releases to people: facts, words, pictures, hazards and the registry record.

Reads releases and ledger entries, never verticals: a vertical explains itself through the facts it
leaves in its `Release`.
"""

from discreet.explain.hazards import Hazard
from discreet.explain.model_card import ModelCard, model_card
from discreet.explain.report import Report, explain
from discreet.explain.risk import RiskCard, risk

__all__ = ["Hazard", "ModelCard", "Report", "RiskCard", "explain", "model_card", "risk"]
