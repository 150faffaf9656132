"""What other accountants say of the same event, where they are installed.

A peer is imported when it is asked, never before, and whatever it raises becomes a note: its answer is
material for a comparison and nothing here rests on it. It runs in this process, for as long and with as
much memory as it likes.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from importlib.metadata import PackageNotFoundError, version

from discreet import events
from discreet.accounting.curves import singles
from discreet.accounting.interchange import NoisePer, to_dp_accounting
from discreet.accounting.losses import check_relation
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation
from discreet.profiles import Bracket, show_delta

LONGEST = 160  # characters of a note: one line


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What one accountant said.

    Args:
        name: The accountant.
        version: Of its package.
        epsilon: Its ε, or None if it gave none.
        note: What it warned of, or why it gave none; empty where there is nothing to say.
    """

    name: str
    version: str
    epsilon: float | None
    note: str = ""


def ask(event: events.Event, delta: float) -> list[PeerAnswer]:
    """Ask every installed accountant that is known here for the ε of an event.

    Args:
        event: Put to each peer as the same mechanism in its own words; who has no words for it, refuses.
        delta: The δ of the question, in (0, 1).

    Returns:
        One answer for each accountant that is installed; none where none is.

    Not protected: the answers are the peers' own; some lie below what the mechanism spends.

    Raises:
        InvalidInput: delta is out of range.
    """
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 < delta < 1:
        raise InvalidInput(f"delta must lie in (0, 1), got {delta!r}.")
    answers = []
    for name, package, question in _PEERS:
        try:
            installed = version(package)
        except PackageNotFoundError:
            continue
        answers.append(_answer(name, installed, question, event, float(delta)))
    return answers


def _answer(name: str, installed: str, question: Question, event: events.Event, delta: float) -> PeerAnswer:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            epsilon = float(question(event, delta))
        except Exception as problem:  # noqa: BLE001 - whatever a peer does, the others are asked
            return PeerAnswer(name, installed, None, _line(f"refused: {problem}", type(problem).__name__))
    if math.isnan(epsilon):
        return PeerAnswer(name, installed, None, "refused: it answered nan")
    heard = [one for one in said if issubclass(one.category, UserWarning | RuntimeWarning)]
    return PeerAnswer(name, installed, epsilon, _line(f"warned: {heard[0].message}", "") if heard else "")


def _line(text: str, otherwise: str) -> str:
    """Return a text as one line of a bounded length."""
    words = " ".join(text.partition("\n")[0].split())
    if words in ("refused:", "warned:"):
        words = f"{words} {otherwise}"
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


def sentence(yours: float, bracket: Bracket, delta: float) -> str:
    """Say where somebody's ε stands beside the bracket: "Your 8.00 is [7.412, 7.413] …".

    Args:
        yours: An ε that another accountant gave for the event.
        bracket: Ours, of the same event and δ. Its lower end is what the mechanism really spends where the
            profile's method does not say that its pair need not be attained.
        delta: The δ of both.

    Returns:
        One line. The ends are rounded outward, with as many digits as it takes to tell them from `yours`.

    Raises:
        InvalidInput: `yours` is not a number.
    """
    if isinstance(yours, bool) or not isinstance(yours, int | float) or math.isnan(yours):
        raise InvalidInput(f"an ε to compare with must be a number, got {yours!r}.")
    mine, lower, upper = _tell_apart(float(yours), bracket)
    start = f"Your {mine} is [{lower}, {upper}] at δ = {show_delta(delta)}:"
    if yours > bracket.upper:
        if math.isinf(yours):
            return f"{start} it bounds nothing."
        return f"{start} {_gap(yours - bracket.upper, bracket.upper)} more than is spent."
    if yours < bracket.lower:
        if math.isinf(bracket.lower):
            return f"{start} below what the mechanism really spends; no ε holds at this δ."
        return f"{start} {_gap(bracket.lower - yours, bracket.lower)} below what the mechanism really spends."
    if yours == bracket.upper:
        return f"{start} the same as our upper end."
    return f"{start} within the bracket, so neither proved nor refuted; the upper end is proved."


def _gap(gap: float, whole: float) -> str:
    percent = 100 * gap / whole if whole > 0 else math.inf
    share = f" ({percent:.2g} %)" if percent < 10 else f" ({percent:.0f} %)" if percent < 1e6 else ""
    return f"{gap:.2g}{share}"


def _tell_apart(yours: float, bracket: Bracket) -> tuple[str, str, str]:
    """Show the three numbers with as few digits as keep their order."""
    for digits in range(4, 18):
        mine = _nearest(yours, digits)
        lower = _rounded(bracket.lower, digits, ROUND_FLOOR)
        upper = _rounded(bracket.upper, digits, ROUND_CEILING)
        seen = float(mine) if math.isfinite(yours) else yours
        same = (seen > _value(upper)) == (yours > bracket.upper)
        if same and (seen < _value(lower)) == (yours < bracket.lower):
            break
    return mine, lower, upper


def _nearest(value: float, digits: int) -> str:
    """Show somebody's number as people write it: 8.00, 123.46, 0.000862."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits - 2}f}" if abs(value) >= 0.1 else f"{value:.{digits - 1}g}"


def _rounded(value: float, digits: int, rounding: str) -> str:
    if math.isinf(value):
        return "∞"
    return f"{float(Context(prec=digits, rounding=rounding).create_decimal(Decimal(value))):.{digits}g}"


def _value(text: str) -> float:
    return math.inf if text == "∞" else float(text)


# ------------------------------------------------------------------------------------------ the peers

Question = Callable[[events.Event, float], float]


def _stated(event: events.Event) -> Relation:
    """Return a relation that every part of the event is bounded under; noise is relative to any."""
    for relation in Relation:
        try:
            check_relation(event, relation)
        except UnsupportedEvent:
            continue
        return relation
    raise UnsupportedEvent("its parts are meant under different neighbouring relations.")


def _dp_accounting(event: events.Event, delta: float, accountant: str, noise_per: NoisePer) -> float:
    relation = _stated(event)
    tree = to_dp_accounting(event, relation=relation, noise_per=noise_per)
    relations = importlib.import_module("dp_accounting").NeighboringRelation
    named = {
        Relation.ADD_REMOVE: relations.ADD_OR_REMOVE_ONE,
        Relation.REPLACE_ONE: relations.REPLACE_ONE,
        Relation.ZERO_OUT: relations.REPLACE_SPECIAL,
    }
    module, _, kind = accountant.rpartition(".")
    found = getattr(importlib.import_module(module), kind)(neighboring_relation=named[relation])
    found.compose(tree)
    return float(found.get_epsilon(delta))


def _by_pld(event: events.Event, delta: float) -> float:
    counts = singles(event)
    if any(isinstance(single, events.RandomizedResponse) and counts[single] > 1 for single in counts):
        warnings.warn("version 0.6.0 takes any number of randomised responses for one", UserWarning, stacklevel=1)
    return _dp_accounting(event, delta, "dp_accounting.pld.PLDAccountant", "norm")


def _by_rdp(event: events.Event, delta: float) -> float:
    return _dp_accounting(event, delta, "dp_accounting.rdp.RdpAccountant", "sensitivity")


def _history(event: events.Event) -> list[tuple[float, float, int]]:
    """Return (noise multiplier, sample rate, steps) of what is nothing but Poisson-sampled Gaussian noise."""
    found = []
    for single, count in singles(event).items():
        match single:
            case events.Gaussian(noise_multiplier=noise):
                found.append((noise, 1.0, count))
            case events.PoissonSampled(event=events.Gaussian(noise_multiplier=noise)) if (
                single.relation is not Relation.REPLACE_ONE
            ):
                found.append((noise, single.sample_rate, count))
            case _:
                under = f" under {single.relation.value}" if hasattr(single, "relation") else ""
                raise UnsupportedEvent(
                    f"it knows Poisson-sampled Gaussian noise under add_remove, not {single.kind}{under}."
                )
    if not found:
        raise UnsupportedEvent("nothing ran.")
    return found


def _by_opacus_rdp(event: events.Event, delta: float) -> float:
    accountant = importlib.import_module("opacus.accountants").RDPAccountant()
    accountant.history = _history(event)
    return float(accountant.get_epsilon(delta))


def _by_opacus_prv(event: events.Event, delta: float) -> float:
    accountant = importlib.import_module("opacus.accountants").PRVAccountant()
    accountant.history = _history(event)
    return float(accountant.get_epsilon(delta))


def _by_riskcal(event: events.Event, delta: float) -> float:
    accountant = importlib.import_module("riskcal.accountants").CTDAccountant()
    accountant.history = _history(event)
    return float(accountant.get_epsilon(delta=delta))


def _by_prv_accountant(event: events.Event, delta: float) -> float:
    """Ask with the error of 0.1 that its documentation calls typical; the upper end is its answer."""
    library = importlib.import_module("prv_accountant")
    mechanisms, counts = [], []
    for single, count in singles(event).items():
        match single:
            case events.Laplace(noise_multiplier=noise):
                mechanisms.append(library.LaplaceMechanism(mu=1 / noise))
            case events.Pure(epsilon=epsilon):
                mechanisms.append(library.PureDPMechanism(epsilon))
            case events.Approximate(epsilon=epsilon, delta=own):
                mechanisms.append(library.ApproximateDPMechanism(epsilon, own))
            case _:
                [(noise, rate, _)] = _history(single)
                mechanisms.append(
                    library.GaussianMechanism(noise_multiplier=noise)
                    if rate == 1
                    else library.PoissonSubsampledGaussianMechanism(sampling_probability=rate, noise_multiplier=noise)
                )
        counts.append(count)
    accountant = library.PRVAccountant(
        mechanisms, eps_error=0.1, delta_error=delta / 1000, max_self_compositions=counts
    )
    return float(accountant.compute_epsilon(delta, counts)[2])


_PEERS: tuple[tuple[str, str, Question], ...] = (
    ("dp-accounting PLD", "dp-accounting", _by_pld),
    ("dp-accounting RDP", "dp-accounting", _by_rdp),
    ("opacus RDP", "opacus", _by_opacus_rdp),
    ("opacus PRV", "opacus", _by_opacus_prv),
    ("prv-accountant", "prv-accountant", _by_prv_accountant),
    ("riskcal", "riskcal", _by_riskcal),
)
