"""The account as facts: what it guarantees, what was spent by whom, what is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discreet import accounting, events
from discreet.errors import UnsupportedEvent
from discreet.explain import ran, words

if TYPE_CHECKING:
    from discreet.ledger import Account, Entry

OTHER = "not in this report"


def account(facts: Account, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return who the account protects and what its filter guarantees, raises included."""
    raises = [{"when": item.when, "epsilon": finite(item.epsilon), "seen": item.seen} for item in facts.raises]
    opening = next((entry for entry in entries if entry.kind == "open"), None)
    unit = facts.unit
    return {
        "population": facts.population,
        "unit": unit.protects if unit.enforced else unit.to_dict(),  # enforced bounds are each table's own
        "unit_words": words.unit(unit),
        "relation": unit.relation.value,
        "relation_words": words.RELATIONS[unit.relation.value],
        "you_words": words.YOU[unit.relation.value],
        "enforced": unit.enforced,
        "measure": str(facts.measure),
        "measure_words": words.measure(str(facts.measure)),
        "epsilon": finite(facts.epsilon),
        "opened_epsilon": finite(facts.opened_epsilon),
        "ceiling": facts.ceiling,
        "delta": facts.delta,
        "delta_atoms": facts.delta_atoms,
        "opened": facts.opened,
        "owner": None if opening is None else opening.who,
        "raises": raises,
        "chosen_after": any(item.seen > 0 for item in facts.raises),
        "proved": not any(item.seen > 0 for item in facts.raises),
        "head": facts.head,
    }


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: the infinite becomes None, which reports show as ∞."""
    return value if math.isfinite(value) else None


def budget(facts: Account, entries: Sequence[Entry], shown: Mapping[int, str]) -> dict[str, Any]:
    """Return the ledger's bar: one part for each charge; `shown` names those that the report holds."""
    charges = [entry for entry in entries if entry.kind == "charge"]
    costs, capacity = [entry.cost for entry in charges], facts.capacity
    parts = [
        {
            "number": position,
            "label": shown.get(entry.sequence, OTHER),
            "sequence": entry.sequence,
            "when": entry.when,
            "who": entry.who,
            "analyst": entry.analyst,
            "purpose": entry.purpose,
            "loss": cost.loss,
            "delta": cost.delta,
            "share": share(cost.loss, capacity.loss),
            "share_delta": share(cost.delta, capacity.delta),
            "hash": entry.hash,
        }
        for position, (entry, cost) in enumerate(zip(charges, costs, strict=True), start=1)
    ]
    loss, atoms = sum(cost.loss for cost in costs), sum(cost.delta for cost in costs)
    return {
        "parts": parts,
        "loss": loss,
        "capacity": capacity.loss,
        "atoms": atoms,
        "capacity_atoms": capacity.delta,
        "spent": share(loss, capacity.loss),
        "left": max(0.0, 1 - share(loss, capacity.loss)),
        "spent_atoms": share(atoms, capacity.delta),
        "analysts": _analysts(facts, parts),
    }


def share(part: int, whole: int) -> float:
    """Return part / whole; nothing of nothing is nothing."""
    return part / whole if whole else (0.0 if part == 0 else 1.0)


def history(facts: Account, entries: Sequence[Entry], *, fixed: bool) -> dict[str, Any]:
    """Return what was spent so far, twice: the filter's guarantee, and the composed history's own curve.

    The history's ε is known from both sides: `epsilon` holds as its `label` says, and beneath `epsilon_lower` nothing
    could be proved of the mechanisms that ran. The filter's number is above both.
    """
    charges = [entry for entry in entries if entry.kind == "charge"]
    costs = [entry.cost for entry in charges]
    spent = accounting.Cost(sum(cost.loss for cost in costs), sum(cost.delta for cost in costs))
    found, why_not = _curve([event for entry in charges if (event := entry.event) is not None], facts.delta)
    label, why = _label(len(charges), fixed=fixed)
    stated = accounting.statement(facts.measure, spent, delta=facts.delta) if charges else 0.0
    own = None if found is None else found.epsilon
    return {
        "charges": len(charges),
        "filter": finite(stated),
        "delta": facts.delta,
        "epsilon": None if own is None else finite(min(stated, own.upper)),
        "epsilon_lower": None if own is None else finite(min(stated, own.lower)),
        "method": None if found is None else found.method,
        "unknown": why_not,
        "label": label,
        "why": why,
        "profile": found,
    }


def _curve(held: list[events.Event], delta: float) -> tuple[ran.Ran | None, str | None]:
    try:
        return ran.curve(ran.composed(held), delta), None
    except UnsupportedEvent as error:
        return None, error.what


def _label(charges: int, *, fixed: bool) -> tuple[str, str]:
    """Return whether the composed history's number may be called a guarantee, and why."""
    if charges <= 1:
        return "guarantee", "there is at most one charge, so no later question could be chosen after an earlier answer"
    if fixed:
        return "promise", "the project says that all parameters were fixed before the first answer was seen"
    return (
        "estimate",
        (
            "it holds for certain only if the parameters of every release were fixed before the first answer "
            "was seen, and the ledger cannot know that; the filter's number holds either way"
        ),
    )


def _analysts(facts: Account, parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each analyst's share of the account and what they took of it."""
    rows = []
    for name in sorted(facts.shares):
        granted = facts.shares[name].capacity
        taken = sum(part["loss"] for part in parts if part["analyst"] == name)
        rows.append({
            "analyst": name,
            "granted": share(granted.loss, facts.capacity.loss),
            "spent": share(taken, facts.capacity.loss),
            "of_own": share(taken, granted.loss),
        })  # fmt: skip
    return rows
