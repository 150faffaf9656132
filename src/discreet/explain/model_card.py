"""ModelCard: what there is to say of a trained model, and what nobody knows of it; from its release alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from discreet import events
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.explain import pages, ran, risk_words, values, words
from discreet.explain.questions import source, title
from discreet.explain.risk import risk
from discreet.release import Release

VERSION = 1
TRAINED = "train"  # the kind of a training's facts
DELTAS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10)
DECLARED = "declared by the owner, as chosen without the private rows"
SELECTED = "of the candidate that private selection chose, or the same in all of them; the event covers the choice"
SAID_ELSEWHERE = frozenset({"target", "features", "epsilon", "delta", "sample_rate", "learning_rate"})
OF_ALL_RUNS = frozenset({"sampler", "expected_batch_size", "noise_multiplier", "correlation"})
PLAN = (
    "sampler",
    "expected_batch_size",
    "noise_multiplier",
    "max_grad_norm",
    "clip",
    "correlation",
    "average",
    "variants_of_a_row",
)


@dataclass(frozen=True, slots=True, eq=False)
class ModelCard:
    """The card of one trained model; every number and word in it comes from `facts`.

    Args:
        facts: Plain data (JSON).
    """

    facts: dict[str, Any]

    def __repr__(self) -> str:
        return f"ModelCard({self.facts['name']!r})"

    def markdown(self) -> str:
        """Return the card as Markdown.

        Raises:
            MissingExtra: jinja2 is not installed.
        """
        return pages.filled("model_card.md.j2", c=copy.deepcopy(self.facts), w=words)


def model_card(release: Release, *, project: Mapping[str, Any] | None = None, audits: Sequence[str] = ()) -> ModelCard:
    """Return the card of a trained model. Reads the release alone: no row, no ledger, no clock.

    Args:
        release: Of a training.
        project: Prose that only people can give: curator, intended_use, tuning.
        audits: What audits of this model, or of the code that made it, found: a sentence each, which may be published.

    Raises:
        InvalidInput: the release is no trained model.
    """
    if release.facts.get("kind") != TRAINED:
        raise InvalidInput(
            f"the release {release.name!r} is no trained model.",
            state="Nothing was written.",
            remedy="Explain it with explain(…), or give the release of a training run.",
        )
    left, prose = release.facts, project or {}
    about = left.get("about")
    about = about if isinstance(about, Mapping) else {}
    guarantee, unit = release.guarantee, release.guarantee.unit
    tensors = release.value.to_pylist()
    return ModelCard(
        {
            "v": VERSION,
            "name": release.name,
            "title": title(release, None),
            "sentence": str(left.get("sentence") or ""),
            "curator": prose.get("curator"),
            "intended_use": prose.get("intended_use"),
            "tuning": prose.get("tuning"),
            "folder": values.place(release),
            "request": release.entry.get("request"),
            "entry": {key: release.entry.get(key) for key in ("population", "sequence", "hash")},
            "made": release.provenance.get("made"),
            "test": release.provenance.get("test"),
            "source": source(release),
            "data_version": release.provenance.get("version"),
            "software": {name: release.provenance.get(name) or left.get(name) for name in ("discreet", "torch")},
            "about": {key: about[key] for key in ("estimator", "loss", "row") if key in about},
            "target": about.get("target"),
            "features": about.get("features"),
            "more": {key: value for key, value in about.items() if key not in KNOWN},
            "architecture": left.get("architecture"),
            "numbers": {"trained": left.get("parameters"), "all": sum(_size(row["shape"]) for row in tensors)},
            "unit": {"words": words.unit(unit), "enforced": unit.enforced, **unit.to_dict()},
            "relation_words": words.RELATIONS[unit.relation.value],
            "guarantee": guarantee.to_dict(),
            "curve": _curve(release),
            "risks": _risks(release),
            "event": events.to_dict(release.event),
            "mechanisms": words.mechanisms(release.event),
            "noise": left.get("noise"),
            "steps": {"paid": left.get("steps"), "taken": left.get("steps_taken")},
            "settings": [list(row) for row in _settings(left, about, release.event)],
            "variants": left.get("variants_of_a_row", 1),
            "selection": left.get("selection"),
            "released": bool(release.files),
            "audits": [str(one) for one in audits],
        }
    )


KNOWN = frozenset({"estimator", "loss", "row", "target", "features", "parameters", "provenance"})


def _size(shape: str) -> int:
    return math.prod(int(part) for part in str(shape).split(" × "))


def _curve(release: Release) -> list[list[float | None]] | None:
    """Return (δ, ε) from the largest δ to the smallest; None where nothing is known but one pair."""
    stated = release.guarantee.delta
    try:
        found = ran.curve(release.event, stated).curve
    except UnsupportedEvent:
        return None
    at = sorted({*DELTAS, stated} - {0.0}, reverse=True)
    ends = [found.epsilon(delta).upper for delta in at]
    return [[delta, end if math.isfinite(end) else None] for delta, end in zip(at, ends, strict=True)]


def _risks(release: Release) -> dict[str, Any]:
    card = risk(release)
    return {
        "views": [{"short": one.short, "label": one.label} for one in card.views],
        "rows": [row.to_dict() for row in risk_words.rows(card.views) if not row.detail],
    }


def _settings(left: Mapping[str, Any], about: Mapping[str, Any], event: events.Event) -> Iterator[tuple[str, str, str]]:
    """Yield each setting of the training: its name, its value, and how it was found."""
    found = about.get("provenance")
    given = found if isinstance(found, Mapping) else {}
    selected = isinstance(event, events.PrivateSelection | events.PoissonSelection)

    def how(*names: str, chosen: str = SELECTED) -> str:
        return str(next((given[name] for name in names if name in given), chosen if selected else DECLARED))

    yield "steps", words.count(int(left.get("steps") or 0), "step"), how("steps", chosen=DECLARED)
    for name in PLAN:
        if left.get(name) is not None:
            names = (name, "sample_rate") if name == "sampler" else (name,)
            yield name, _shown(left[name]), how(*names, chosen=DECLARED if name in OF_ALL_RUNS else SELECTED)
    yield "optimizer", str(left.get("optimizer") or "not said"), how("optimizer")
    groups = [group for group in left.get("settings") or () if isinstance(group, Mapping)]
    for place, group in enumerate(groups):
        where = f", group {place + 1}" if len(groups) > 1 else ""
        for name, value in group.items():
            names = ("learning_rate", "lr") if name == "lr" else (name, "optimizer")
            yield f"optimizer: {name}{where}", str(value), how(*names)
    if left.get("scheduler") is not None:
        yield "scheduler", str(left["scheduler"]), how("scheduler")
    own = about.get("parameters")
    said = SAID_ELSEWHERE | {"steps", *PLAN}
    for name, value in own.items() if isinstance(own, Mapping) else ():
        if name not in said and value is not None:
            yield str(name), _shown(value), how(name)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return words.number(float(value)) if isinstance(value, int | float) and math.isfinite(value) else str(value)
