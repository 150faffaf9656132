"""What can undermine a guarantee, layer by layer, and how each question is answered here.

The layers follow the idea of the evaluation pyramid of NIST SP 800-226 (epsilon and the privacy
unit on top; algorithms, utility and security in the middle; trust, access and data collection at
the base). The wording is ours: the standard's own text could not be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from discreet.explain import words

How = Literal["evidence", "promise", "unknown"]
TOP, MIDDLE, BASE = "top: the bound and the unit", "middle: what can undermine it", "base: trust, access, collection"
EXACT = frozenset({"discrete_gaussian", "discrete_laplace"})
# What questions in SQL draw and select, they draw by exact arithmetic, too; elsewhere nobody says so.
EXACT_IN_SQL = EXACT | {"exponential_mechanism", "permute_and_flip", "key_selection", "approximate"}


class Hazard(NamedTuple):
    """One question about the protection and how it is answered.

    evidence: from the releases or the ledger. promise: somebody's word. unknown: nobody said.
    """

    layer: str
    question: str
    answer: str
    how: How


def hazards(facts: Mapping[str, Any]) -> list[Hazard]:
    """Return all questions, from the top of the pyramid to its base."""
    return [
        *(Hazard(TOP, *row) for row in _top(facts)),
        *(Hazard(MIDDLE, *row) for row in _middle(facts)),
        *(Hazard(BASE, *row) for row in _base(facts)),
    ]


def _top(facts: Mapping[str, Any]) -> Iterable[tuple[str, str, How]]:
    account, releases = facts["account"], facts["releases"]
    yield (
        "How much can be learned about one unit, over everything published from this account?",
        f"At most ε = {words.epsilon(account['epsilon'])} at δ = {words.delta(account['delta'])}: the ledger refuses what does not fit.",
        "evidence",
    )
    if account["enforced"]:
        yield (
            "Is a whole person protected?",
            f"Yes: {account['unit_words']}; bounds are enforced inside each query.",
            "evidence",
        )
    else:
        yield (
            "Is a whole person protected?",
            f"The unit is {account['unit_words']}. That this is all a person has is the owner's word.",
            "promise",
        )
    if account["raises"]:
        when = "after" if account["chosen_after"] else "before"
        yield (
            "Was the budget fixed before results were seen?",
            f"No: it was raised {words.times(len(account['raises']))}, first {when} something had been released."
            if account["chosen_after"]
            else f"It was raised {words.times(len(account['raises']))}, before anything had been released.",
            "evidence",
        )
    else:
        yield (
            "Was the budget fixed before results were seen?",
            "Yes: it was fixed at opening and never raised.",
            "evidence",
        )
    yield (
        "Is δ small against the number of people?",
        f"δ = {words.delta(account['delta'])} is {words.one_in(account['delta'])}. Compare δ yourself with one over the number of people: it should be far below.",
        "unknown",
    )
    assumed = sorted({text for release in releases for text in release["guarantee"]["assumptions"]})
    if assumed:
        yield ("What does the guarantee assume?", "; ".join(assumed), "promise")


def _middle(facts: Mapping[str, Any]) -> Iterable[tuple[str, str, How]]:
    releases = facts["releases"]
    levels = sorted({release["guarantee"]["evidence"] for release in releases})
    yield (
        "Are the algorithms right?",
        f"Their guarantees are {' or '.join(levels)}; proof notes are part of the documentation.{_absent(facts)}"
        if levels
        else _nothing(facts),
        "evidence" if levels or not facts["missing"] else "unknown",
    )
    yield _randomness(facts)
    yield _numerics(facts)
    yield _accuracy(releases)
    yield from _bias(releases)
    yield (
        "Were bounds, keys and parameters chosen without looking at private rows?",
        str(
            facts["project"].get("tuning")
            or "They are declared by the owner as public knowledge; discreet never reads them off the data."
        ),
        "promise",
    )
    yield (
        "Can running time, memory or failures reveal something?",
        "They are not protected. Running time and resource use were not examined.",
        "unknown",
    )
    yield (
        "Is every access charged?",
        f"The ledger holds {words.count(len(facts['budget']['parts']), 'charge')}, each written before the rows were read; its chain ends in {facts['account']['head'][:12]}….",
        "evidence",
    )


def _accuracy(releases: list[Mapping[str, Any]]) -> tuple[str, str, How]:
    question = "Is each result accurate enough?"
    models = [f"“{release['title']}”" for release in releases if release["details"].get("kind") == "train"]
    unmeasured = f"How good a trained model is, nothing here says; measure it on public rows: {'; '.join(models)}."
    if models and len(models) == len(releases):
        return question, unmeasured, "unknown"
    return (
        question,
        "Every number stands with the interval of its noise"
        + ("; one that was drawn, with how far off its place may be" if any(map(_by_chance, releases)) else "")
        + "; whether that is enough depends on the use."
        + (f" {unmeasured}" if models else ""),
        "evidence",
    )


def _by_chance(release: Mapping[str, Any]) -> bool:
    return bool(release["chance_plainly"])


def _nothing(facts: Mapping[str, Any]) -> str:
    """Return why there is no release to speak of."""
    return _absent(facts).strip() or "Nothing is recorded as released."


def _absent(facts: Mapping[str, Any]) -> str:
    missing = len(facts["missing"])
    if not missing:
        return ""
    return f" {words.count(missing, 'released answer')} could not be examined: not in this folder."


def _randomness(facts: Mapping[str, Any]) -> tuple[str, str, How]:
    releases = facts["releases"]
    fixed = [release["name"] for release in releases if release["test"]]
    question = "Is the noise unpredictable?"
    if fixed:
        return (
            question,
            f"No: {', '.join(fixed)} was made with fixed randomness for tests. It protects nobody.",
            "evidence",
        )
    return (
        question,
        "It is drawn from the operating system's randomness, which is taken to be unpredictable.",
        "promise",
    )


def _numerics(facts: Mapping[str, Any]) -> tuple[str, str, How]:
    releases = facts["releases"]
    question = "Can floating-point rounding leak?"
    if facts["missing"] and (not releases or _all_exact(releases)):
        return question, f"{'No, for those shown.' if releases else ''}{_absent(facts)}".strip(), "unknown"
    if not releases:
        return question, _nothing(facts), "evidence"
    if _all_exact(releases):
        return question, "No: sums and noise are exact whole numbers; rounding happens before or after.", "evidence"
    return (
        question,
        "Some mechanism here is not of the exact whole-number kind; see each release's assumptions.",
        "unknown",
    )


def _all_exact(releases: list[Mapping[str, Any]]) -> bool:
    return all(
        _kinds(release["event"]) <= (EXACT_IN_SQL if release["details"].get("kind") == "sql" else EXACT)
        for release in releases
    )


def _kinds(event: Any) -> set[str]:
    if isinstance(event, Mapping):
        inner = [kind for key in ("event", "events") for kind in _kinds(event.get(key))]
        if inner or event.get("kind") == "composed":
            return set(inner)
        return {str(event["kind"])}
    if isinstance(event, list):
        return {kind for item in event for kind in _kinds(item)}
    return set()


def _bias(releases: list[Mapping[str, Any]]) -> Iterable[tuple[str, str, How]]:
    cut = [f"“{release['title']}”" for release in releases if release["limits"]]
    yield (
        "Are results biased by bounds on values, rows and groups?",
        (
            "Values beyond the declared bounds count as the bound, and a person's rows and groups beyond theirs are scaled down or left out. "
            "How many were is private and was not released, so the effect is not known."
            + (f" Rows or groups may have been cut off in: {'; '.join(cut)}." if cut else "")
        ),
        "unknown",
    )
    worst = _worst_cell(releases)
    if worst is not None:
        yield ("Who bears the error?", worst, "evidence")


def _worst_cell(releases: list[Mapping[str, Any]]) -> str | None:
    """Return which group has the largest error relative to its own value: small groups bear it."""
    found: list[tuple[float, str]] = []
    for release in releases:
        if not release["table"]["keys"]:
            continue
        for row in release["table"]["rows"]:
            for cell in row["cells"]:
                if cell["value"] and cell["low"] is not None and cell["high"] is not None:
                    half = max(cell["value"] - cell["low"], cell["high"] - cell["value"])
                    place = f"{cell['column']} of {' · '.join(row['keys'])} in “{release['title']}”"
                    found.append((half / abs(cell["value"]), place))
    if not found:
        return None
    size, place = max(found)
    share = words.percent(size) + " of the value" if size < 1 else "more than the value itself"
    return f"Noise does not shrink with the group, so small groups bear relatively more: up to {share}, for {place}."


def _base(facts: Mapping[str, Any]) -> Iterable[tuple[str, str, How]]:
    curator = facts["project"].get("curator")
    yield (
        "Who must be trusted?",
        f"{curator or 'The curator'} holds the raw data and runs discreet on it (the central model). Readers of the releases need no trust.",
        "promise",
    )
    yield (
        "Who can reach the raw data, the ledger and the owner's key?",
        "This report cannot see access rights.",
        "unknown",
    )
    yield (
        "Were other results published about the same people?",
        "Only what is charged to this account is counted. Nothing else may have been published from these rows.",
        "promise",
    )
    yield (
        "Can an analyst go around the door?",
        "Inside the same process a hostile analyst is not held back; one who only sees output is.",
        "promise",
    )
    yield ("How were the data collected, and with what consent?", "Nothing here says it.", "unknown")
