"""dp-accounting's trees, the histories of opacus and plain JSON, as events."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from discreet import events
from discreet.accounting.interchange.conventions import MARGIN, NoisePer, check, share_of
from discreet.accounting.losses import check_relation
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation
from discreet.events.checks import shown

NOTHING = events.Composed(())
DEEPEST = 32  # as for our own events
OPACUS = ("rdp", "prv", "gdp")  # names of its accountants; all keep the same history


def from_dp_accounting(tree: object, *, relation: Relation, noise_per: NoisePer = "norm") -> events.Event:
    """Return the event that a dp-accounting event describes.

    Args:
        tree: A `dp_accounting.DpEvent`, its named tuple, or that as plain JSON data.
        relation: The neighbouring relation of the accountant that the tree was made for.
        noise_per: What noise multipliers refer to: the norm of a contribution, as dp-accounting documents
            it, or the sensitivity under the relation, as its RdpAccountant computes. Only under replace_one
            does it matter, and there "norm" is the larger loss.

    Returns:
        Noise of zero is `NonPrivate`; a sample rate or count of zero ran nothing.

    Guarantee: the event's loss is not below that of the mechanism that the tree defines, its noise read as told.
    Evidence: cited, the definitions of dp_accounting 0.6.0; docs/reference/accounting.md has each in our words.
        What is rounded is rounded to more loss.
    Assumes: the tree describes what ran: a Poisson-sampled event was sampled so, and under replace_one its
        contributions were clipped. A best-of-many is scored by what each run would publish.
    Not protected: sampling that was accounted as Poisson but shuffled.
    References: dp_accounting 0.6.0, dp_event.py.

    Raises:
        UnsupportedEvent: a class has no counterpart, or none under this relation.
        InvalidInput: a value is impossible, or this is not one of its events.
    """
    check(relation, noise_per)
    event = _Reading(relation, noise_per, DEEPEST).event(tree)
    check_relation(event, relation)
    return event


def from_opacus(history: object, *, relation: Relation = Relation.ADD_REMOVE) -> events.Event:
    """Return the event of an opacus accountant's history.

    Args:
        history: The accountant's `history`, a list of (noise_multiplier, sample_rate, num_steps), or its
            `state_dict()`.
        relation: By default the one that opacus accounts under. Its noise multiplier is per clip norm.

    Assumes: batches were Poisson-sampled: the history is the same where `poisson_sampling=False`, and then
        neither number is true.

    Raises:
        InvalidInput: this is no history.
    """
    check(relation, "norm")
    if isinstance(history, Mapping):
        if history.get("mechanism") not in OPACUS:
            raise InvalidInput(
                f"an opacus state names one of the mechanisms {', '.join(OPACUS)}, got {shown(history.get('mechanism'))}."
            )
        history = history.get("history")
    if not _is_history(history):
        raise InvalidInput("an opacus history is a list of (noise_multiplier, sample_rate, num_steps).")
    assert isinstance(history, Sequence)
    reading = _Reading(relation, "norm", DEEPEST)
    runs = []
    for noise, rate, steps in history:
        step = _poisson_of(reading, rate, reading.noise(events.Gaussian, noise))
        runs.append(_self_composed_of(step, steps))
    return runs[0] if len(runs) == 1 else events.Composed(tuple(runs))


def read(text: str, *, relation: Relation | None = None, noise_per: NoisePer = "norm") -> events.Event:
    """Return the event that a JSON text holds: ours, dp-accounting's, or an opacus history.

    Args:
        text: `{"v": 1, "kind": …}`; the named tuple of a dp-accounting event, as an object with
            `module_name` and `class_name` or as the list that `json.dumps` makes of it; or an opacus
            state or history.
        relation: Needed for dp-accounting's events, which name none. An event that names another is refused.
        noise_per: As for `from_dp_accounting`.

    Raises:
        InvalidInput: the text is none of these, or lacks the relation that it needs.
        UnsupportedEvent: a part has no counterpart, or none under the relation.
    """
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except (TypeError, ValueError, RecursionError):
        data = None
    if isinstance(data, dict) and "v" in data:
        event = events.from_json(text)
        if relation is not None:
            check_relation(event, relation)
        return event
    if _is_named(data):
        if relation is None:
            raise InvalidInput(
                "a dp-accounting event does not say under which neighbouring relation it is meant.",
                remedy=f"Name one: {', '.join(Relation)}.",
            )
        return from_dp_accounting(data, relation=relation, noise_per=noise_per)
    if (isinstance(data, dict) and "history" in data) or (data and _is_history(data)):
        return from_opacus(data, relation=relation or Relation.ADD_REMOVE)
    raise InvalidInput(
        "this is no JSON of an event that is known here.",
        remedy='Give an event {"v": 1, "kind": …}, a dp-accounting named tuple, or an opacus state or history.',
    )


# ------------------------------------------------------------------------------- dp-accounting's events


@dataclass(frozen=True, slots=True)
class _Reading:
    """Under which conventions a tree is read, and how much deeper it may be."""

    relation: Relation
    noise_per: NoisePer
    deeper: int

    def event(self, node: object) -> events.Event:
        if self.deeper < 0:
            raise InvalidInput(f"an event holds others at most {DEEPEST} deep.")
        name, given = _opened(node)
        if name not in _KNOWN:
            raise UnsupportedEvent(
                f"dp-accounting's {name} has no counterpart here.",
                remedy=_REFUSED.get(name, "Describe the mechanism by one of discreet's events."),
            )
        reader, fields = _KNOWN[name]
        values = dict(zip(fields, given, strict=False)) if isinstance(given, list) else given
        if set(values) != set(fields) or (isinstance(given, list) and len(given) != len(fields)):
            raise InvalidInput(f"the fields of {name} are {list(fields)}; this one has others.")
        return reader(self, *(values[field] for field in fields))

    def within(self, node: object) -> events.Event:
        return replace(self, deeper=self.deeper - 1).event(node)

    def noise(self, kind: type[events.Gaussian | events.Laplace], multiplier: object) -> events.Event:
        value = _real("noise_multiplier", multiplier)
        return events.NonPrivate() if value == 0 else kind(value / share_of(self.relation, self.noise_per))


def _opened(node: object) -> tuple[str, list[Any] | dict[str, Any]]:
    """Return the class of one of dp-accounting's events and its fields: by name, or a list in their order."""
    given: list[Any] | dict[str, Any]
    if isinstance(node, list) and len(node) >= 2:
        module, name, *given = node
    elif isinstance(node, dict):
        given = {key: value for key, value in node.items() if key not in ("module_name", "class_name")}
        module, name = node.get("module_name"), node.get("class_name")
    elif isinstance(node, tuple) and hasattr(node, "_fields"):
        return _opened(dict(zip(node._fields, node, strict=True)))
    else:
        module, name = type(node).__module__, type(node).__qualname__
        given = {field.name: getattr(node, field.name) for field in getattr(node, "__attrs_attrs__", ())}
    if not (isinstance(module, str) and isinstance(name, str) and f"{module}.".startswith("dp_accounting.")):
        raise InvalidInput(
            f"this is not an event of dp-accounting: {type(node).__name__}.",
            remedy="Give a dp_accounting.DpEvent, or its named tuple.",
        )
    return name, given


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidInput(f"{name} must be a number, got {shown(value)}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if math.isnan(number):
        raise InvalidInput(f"{name} must be a number that a float holds, got {shown(value)}.")
    return number


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise InvalidInput(f"{name} must be a whole number of at least 0, got {shown(value)}.")
    return int(value)


def _composed(reading: _Reading, parts: object) -> events.Event:
    if not isinstance(parts, list | tuple):
        raise InvalidInput("the events of a ComposedDpEvent must be a list.")
    return events.Composed(tuple(reading.within(part) for part in parts))


def _self_composed_of(event: events.Event, count: object) -> events.Event:
    times = _whole("count", count)
    return events.Repeated(times, event) if times else NOTHING


def _poisson_of(reading: _Reading, rate: object, event: events.Event) -> events.Event:
    value = _real("sampling_probability", rate)
    if value == 0:
        return NOTHING
    return events.PoissonSampled(value, reading.relation, event)


def _truncated(reading: _Reading, size: object, rate: object, most: object, noise: object) -> events.Event:
    value, people, cap = (
        _real("sampling_probability", rate),
        _whole("dataset_size", size),
        _whole("truncated_batch_size", most),
    )
    gaussian = reading.noise(events.Gaussian, noise)
    if 0 in (value, people, cap):
        return NOTHING
    return events.TruncatedPoissonSampled(value, people, cap, reading.relation, gaussian)


def _fixed(reading: _Reading, size: object, batch: object, inner: object) -> events.Event:
    people, sample, event = _whole("source_dataset_size", size), _whole("sample_size", batch), reading.within(inner)
    return events.FixedSizeSampled(people, sample, reading.relation, event) if sample else NOTHING


def _discrete_laplace(reading: _Reading, rate: object, sensitivity: object) -> events.Event:
    value, norm = _real("noise_parameter", rate), _whole("sensitivity", sensitivity)
    if value == 0:
        return events.NonPrivate()
    if not 0 < value < math.inf:
        raise InvalidInput(f"noise_parameter must be a finite number above 0, got {shown(value)}.")
    return events.DiscreteLaplace(
        sensitivity=Fraction(norm * share_of(reading.relation, reading.noise_per)), scale=1 / Fraction(value)
    )


def _response(_: _Reading, noise: object, buckets: object) -> events.Event:
    """The true bucket has odds (1 - p + p/k) : p/k, so ε = log(1 + k(1 - p)/p)."""
    value, count = _real("noise_parameter", noise), _whole("num_buckets", buckets)
    if not 0 <= value <= 1 or count == 0:
        raise InvalidInput(
            f"randomised response needs a noise in [0, 1] and a bucket, got {shown(value)}, {shown(count)}."
        )
    if count == 1:
        return NOTHING
    if value == 0:
        return events.NonPrivate()
    odds = count * (1 - Fraction(value)) / Fraction(value)
    if odds > 10**300:
        raise InvalidInput(f"a noise_parameter of {shown(value)} is none, but for rounding.")
    return events.RandomizedResponse(math.log1p(odds) * (1 + MARGIN), count)


def _zcdp(_: _Reading, rho: object, xi: object) -> events.Event:
    if _real("xi", xi) != 0:
        raise UnsupportedEvent(
            "(ξ, ρ)-zCDP with ξ above 0 has no counterpart here.", remedy="Give its Rényi curve as an RDP event."
        )
    return events.ZCDP(_real("rho", rho))


def _tree_aggregation(reading: _Reading, noise: object, steps: object) -> events.Event:
    """A record of one leaf stands in at most ⌊log2(steps)⌋ + 1 nodes, each with the noise of its own."""
    if reading.relation is not Relation.ZERO_OUT:
        raise UnsupportedEvent(
            f"SingleEpochTreeAggregationDpEvent is bounded under zero_out, not under {reading.relation.value}.",
            remedy="dp-accounting calls that relation REPLACE_SPECIAL.",
        )
    counts = [_whole("step_counts", count) for count in (steps if isinstance(steps, list | tuple) else [steps])]
    return _self_composed_of(reading.noise(events.Gaussian, noise), max(counts, default=0).bit_length())


def _selection(reading: _Reading, inner: object, mean: object, shape: object) -> events.Event:
    average, form, event = _real("mean", mean), _real("shape", shape), reading.within(inner)
    if average < 1 or form < 0:
        raise InvalidInput(
            f"RepeatAndSelectDpEvent needs a mean of at least 1 and no negative shape, got {shown(mean)}."
        )
    if form == math.inf:
        return events.PoissonSelection(average, event)
    return event if average == 1 else events.PrivateSelection(average, form, event)


_KNOWN: Mapping[str, tuple[Callable[..., events.Event], tuple[str, ...]]] = {
    "NoOpDpEvent": (lambda _: NOTHING, ()),
    "NonPrivateDpEvent": (lambda _: events.NonPrivate(), ()),
    "GaussianDpEvent": (lambda reading, noise: reading.noise(events.Gaussian, noise), ("noise_multiplier",)),
    "LaplaceDpEvent": (lambda reading, noise: reading.noise(events.Laplace, noise), ("noise_multiplier",)),
    "DiscreteLaplaceDpEvent": (_discrete_laplace, ("noise_parameter", "sensitivity")),
    "RandomizedResponseDpEvent": (_response, ("noise_parameter", "num_buckets")),
    "ZCDpEvent": (_zcdp, ("rho", "xi")),
    "ComposedDpEvent": (_composed, ("events",)),
    "SelfComposedDpEvent": (
        lambda reading, event, count: _self_composed_of(reading.within(event), count),
        ("event", "count"),
    ),
    "PoissonSampledDpEvent": (
        lambda reading, rate, event: _poisson_of(reading, rate, reading.within(event)),
        ("sampling_probability", "event"),
    ),
    "TruncatedSubsampledGaussianDpEvent": (
        _truncated,
        ("dataset_size", "sampling_probability", "truncated_batch_size", "noise_multiplier"),
    ),
    "SampledWithoutReplacementDpEvent": (_fixed, ("source_dataset_size", "sample_size", "event")),
    "SingleEpochTreeAggregationDpEvent": (_tree_aggregation, ("noise_multiplier", "step_counts")),
    "RepeatAndSelectDpEvent": (_selection, ("event", "mean", "shape")),
}

_REFUSED: Mapping[str, str] = {
    "UnsupportedDpEvent": "dp-accounting itself says that no accountant supports it.",
    "SampledWithReplacementDpEvent": "No accountant of dp-accounting supports it either.",
    "MixtureOfGaussiansDpEvent": "If it stands for sampled Gaussian noise, describe the sampling.",
}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _is_named(data: object) -> bool:
    if isinstance(data, dict):
        return "class_name" in data
    return isinstance(data, list) and len(data) >= 2 and all(isinstance(one, str) for one in data[:2])


def _is_history(data: object) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(entry, list | tuple) and len(entry) == 3 for entry in data)
