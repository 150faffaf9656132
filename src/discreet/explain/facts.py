"""Gather everything a report says into one plain dict; words and pictures are made from it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discreet import events
from discreet.explain import attacker, budget, questions, values, words
from discreet.explain.hazards import hazards
from discreet.explain.registry import registry
from discreet.release import Release

if TYPE_CHECKING:
    from discreet.ledger import Account, Entry

VERSION = 1
PROSE = ("name", "description", "curator", "intended_use", "region", "sector", "actors", "tuning", "justification")


def gather(
    releases: Sequence[Release], account: Account, entries: Sequence[Entry], project: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the facts of a report: plain data, the same for the same inputs."""
    charged = {entry.sequence: entry for entry in entries if entry.kind == "charge"}
    released = {str(entry.request): entry for entry in entries if entry.kind == "release"}
    shown = {
        sequence: questions.title(release, charged[sequence].purpose)
        for release in releases
        if (sequence := release.entry.get("sequence")) in charged
    }
    about = budget.account(account, entries)
    history = budget.history(account, entries, fixed=project.get("fixed_beforehand") is True)
    facts: dict[str, Any] = {
        "v": VERSION,
        "project": {field: project.get(field) for field in PROSE},
        "account": about,
        "budget": budget.budget(account, entries, shown),
        "history": {key: value for key, value in history.items() if key != "profile"},
        "attacker": attacker.attacker(about, history),
        "releases": [
            _release(position, release, charged, released, account)
            for position, release in enumerate(releases, start=1)
        ],
        "published": len(released.keys() | {str(release.entry.get("request")) for release in releases}),
        "missing": _missing(releases, entries),
        "entries": [_entry(entry) for entry in entries],
        "glossary": [list(item) for item in words.GLOSSARY],
    }
    facts["as_of"] = _as_of(releases, entries)
    if any(release["chance_plainly"] for release in facts["releases"]):
        facts["glossary"].append(list(words.RANK))
    facts["title"] = project.get("name") or about["population"]
    facts["hazards"] = [list(row) for row in hazards(facts)]
    facts["registry"] = registry(facts, tier=3)
    return facts


def _release(
    position: int,
    release: Release,
    charged: Mapping[int, Entry],
    released: Mapping[str, Entry],
    account: Account,
) -> dict[str, Any]:
    entry = charged.get(release.entry.get("sequence", -1))
    proof = released.get(release.entry.get("request", ""))
    left = release.facts
    groups, rows, grouped = questions.bounds(release)
    return {
        "id": f"r{position}",
        "name": release.name,
        "title": questions.title(release, None if entry is None else entry.purpose),
        "sentence": questions.sentence(release),
        "sql": left.get("sql"),
        "notes": [str(note) for note in left.get("notes") or ()],
        "limits": questions.limits(release),
        "plainly": questions.plainly(release),
        "details": {key: left[key] for key in sorted(left) if key not in SHOWN},
        "table": values.table(release, from_zero=questions.from_zero(release)),
        "folder": values.place(release),
        "noise": questions.noise(left) or words.mechanisms(release.event),
        "noise_plainly": questions.noise_plainly(release),
        "chance_plainly": questions.chance_plainly(release),
        "mechanisms": words.mechanisms(release.event),
        "event": events.to_dict(release.event),
        "guarantee": release.guarantee.to_dict() | {"epsilon": budget.finite(release.guarantee.epsilon)},
        "unit_words": words.unit(release.guarantee.unit),
        "bounds_words": words.bounds(groups, rows, grouped=grouped, enforced=release.guarantee.unit.enforced),
        "share": None if entry is None else budget.share(entry.cost.loss, account.capacity.loss),
        "loss": None if entry is None else entry.cost.loss,
        "loss_delta": None if entry is None else entry.cost.delta,
        "sequence": release.entry.get("sequence"),
        "hash": release.entry.get("hash"),
        "request": release.entry.get("request"),
        "digest": None if proof is None else proof.digest,
        "who": None if entry is None else entry.who,
        "purpose": None if entry is None else entry.purpose,
        "when": release.provenance.get("made") or (None if entry is None else entry.when),
        "data_version": release.provenance.get("version"),
        "source": questions.source(release),
        "software": release.provenance.get("discreet"),
        "test": release.provenance.get("test"),
    }


def _missing(releases: Sequence[Release], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the answers that the ledger recorded as released and that are not given here."""
    given = {str(release.entry.get("request")) for release in releases}
    purposes = {entry.request: entry.purpose for entry in entries if entry.kind == "charge"}
    return [
        {"sequence": entry.sequence, "request": entry.request, "purpose": purposes.get(entry.request)}
        for entry in entries
        if entry.kind == "release" and str(entry.request) not in given
    ]


SHOWN = frozenset({"title", "sentence", "sql", "notes"})


def _entry(entry: Entry) -> dict[str, Any]:
    cost = entry.cost
    return {
        "sequence": entry.sequence,
        "kind": entry.kind,
        "when": entry.when,
        "who": entry.who,
        "analyst": entry.analyst,
        "purpose": entry.purpose,
        "request": entry.request,
        "loss": cost.loss,
        "delta": cost.delta,
        "digest": entry.digest,
        "hash": entry.hash,
        "previous": entry.previous,
    }


def _as_of(releases: Sequence[Release], entries: Sequence[Entry]) -> str | None:
    """Return the latest moment that the inputs speak of; the clock is never asked."""
    moments = [str(release.provenance["made"]) for release in releases if release.provenance.get("made")]
    moments += [entry.when for entry in entries]
    return max(moments, default=None)
