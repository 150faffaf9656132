"""epsilon, calibrate, curve, compare: what a described run costs. They read no private row and know no ledger."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from discreet import events
from discreet.cli.output import Json, say, show_json, show_table
from discreet.cli.runs import Among, Cap, Drawn, Epochs, Noise, Rate, Records, Size, Steps, What, described, read
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.profiles import show_delta

if TYPE_CHECKING:
    from discreet.accounting.calibrate import Calibration
    from discreet.profiles import Bracket, PrivacyProfile

DELTAS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)
RATES = (0.1, 0.01, 0.001)
PICTURES = (".svg", ".png", ".pdf")
LEAST_NOISE, MOST_NOISE = 2.0**-5, 2.0**17  # between which calibrate looks

Delta = Annotated[float, typer.Option(help="The δ at which ε is wanted; there is no default.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(epsilon)
    app.command()(calibrate)
    app.command()(curve)
    app.command()(compare)


def epsilon(
    what: What,
    *,
    delta: Delta,
    sample_rate: Rate = None,
    noise_multiplier: Noise = None,
    steps: Steps = None,
    relation: Among = None,
    sampling: Drawn = None,
    records: Records = None,
    batch_cap: Cap = None,
    batch_size: Size = None,
    participations: Epochs = None,
    as_json: Json = False,
) -> None:
    """Show the ε of a run at a δ, between two proved ends. The ε to state is the upper end.

    The run's parameters must not depend on what earlier steps gave out; else an account's filter is needed.
    """
    run = described(what, locals())
    with _clock() as clock:
        found, method = _epsilon(run.event, delta)
    if as_json:
        show_json(
            _bracket(found, delta) | {"method": method, "seconds": clock.seconds, "event": events.to_dict(run.event)}
        )
        return
    say(_line(found, delta, [run.words, method, clock.shown]))


def calibrate(
    what: Annotated[Literal["dpsgd"], typer.Argument(help="A DP-SGD run described by the options.")],
    *,
    target_epsilon: Annotated[float, typer.Option(help="The most that ε may be.")],
    target_delta: Annotated[float, typer.Option(help="At this δ.")],
    steps: Annotated[int, typer.Option(help="How many batches are drawn.")],
    sample_rate: Rate = None,
    relation: Among = None,
    sampling: Drawn = None,
    records: Records = None,
    batch_cap: Cap = None,
    batch_size: Size = None,
    participations: Epochs = None,
    as_json: Json = False,
) -> None:
    """Show the least noise with which a run proves its target."""
    given = locals()
    if not 0 < target_delta < 1:  # of nan neither holds
        raise _no_delta("target_delta must lie in (0, 1)", target_delta)
    if not 0 < target_epsilon < math.inf:
        raise InvalidInput(
            f"target_epsilon must be a finite number above 0, got {target_epsilon!r}.",
            remedy="Name the ε that the run may cost.",
        )
    run = described(what, given | {"noise_multiplier": 1.0})  # refuses what is wrong before anything is computed

    def event_of(noise_multiplier: float) -> events.Event:
        return described(what, given | {"noise_multiplier": noise_multiplier}).event

    with _clock() as clock:
        found = _least_noise(event_of, target_epsilon, target_delta)
    method, reached = _profile(found.event).method, found.reached
    if as_json:
        facts = {"method": method, "seconds": clock.seconds, "event": events.to_dict(found.event)}
        show_json({"noise_multiplier": found.value} | _bracket(reached, target_delta) | facts)
        return
    shown = "; ".join([run.words, f"reaches {interval(reached)}", method, clock.shown])
    target = f"ε ≤ {target_epsilon:g} at δ = {show_delta(target_delta)}"
    say(f"noise multiplier {upwards(found.value, 6)} for {target} ({shown})")


def _least_noise(event_of: Callable[[float], events.Event], epsilon: float, delta: float) -> Calibration:
    """Return the least noise with which the target is proved, found between two powers of 2.

    Noise far from the answer can cost an engine a hundred times as much as noise near it.
    """
    from discreet.accounting.calibrate import Target, calibrate

    target = Target(epsilon=epsilon, delta=delta)

    @cache
    def meets(noise: float) -> bool:
        try:
            return target.of(_profile(event_of(noise))).upper <= epsilon
        except UnsupportedEvent:  # nothing is proved there
            return False

    low = high = 1.0
    while not meets(high):
        low, high = high, 2 * high
        if high > MOST_NOISE:
            raise InvalidInput(
                f"no noise multiplier up to {MOST_NOISE:g} is proved to keep ε ≤ {epsilon:g} at δ = {show_delta(delta)}.",
                remedy="Ask for a larger ε, or for fewer steps.",
            )
    while low == high or (meets(low) and low > LEAST_NOISE):
        low, high = low / 2, low
    return calibrate(event_of, target, low=low, high=high)


def curve(
    what: What,
    *,
    sample_rate: Rate = None,
    noise_multiplier: Noise = None,
    steps: Steps = None,
    relation: Among = None,
    sampling: Drawn = None,
    records: Records = None,
    batch_cap: Cap = None,
    batch_size: Size = None,
    participations: Epochs = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: a .svg, .png or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """Show the whole curve of a run: ε at many δ, and the best that any attacker can do."""
    run = described(what, locals())
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise InvalidInput(
            f"a picture is a {', '.join(PICTURES)}, got {plot.name!r}.", remedy="Name the file accordingly."
        )
    with _clock() as clock:
        profile = _profile(run.event)
        points = [(delta, profile.epsilon(delta)) for delta in DELTAS]
        advantage = profile.advantage()
        rates = [(rate, profile.true_positive_rate(rate)) for rate in RATES]
    if plot is not None:
        from discreet.explain import curve as picture

        picture.save(profile, plot)
    if as_json:
        show_json(
            {
                "epsilons": [_bracket(found, delta) for delta, found in points],
                "advantage": advantage.upper,
                "advantage_lower": advantage.lower,
                "rates": [
                    {
                        "false_positive_rate": rate,
                        "true_positive_rate": found.upper,
                        "true_positive_rate_lower": found.lower,
                    }
                    for rate, found in rates
                ],
                "method": profile.method,
                "seconds": clock.seconds,
                "plot": None if plot is None else str(plot),
                "event": events.to_dict(run.event),
            }
        )
        return
    say("; ".join(filter(None, [run.words, profile.method, clock.shown])))
    say("")
    ends = ("at most", "bracket")
    show_table("ε at δ", ("δ", *ends), [(f"{x:g}", *_ends(found)) for x, found in points], right=("δ", *ends))
    names = ("falsely accused", *ends)
    rows = [(f"{x:g}", *_ends(found)) for x, found in rates]
    show_table("best share of members that an attacker finds", names, rows, right=names)
    say(f"advantage of the best attacker ≤ {upwards(advantage.upper)} (bracket {interval(advantage)})")
    if plot is not None:
        say(f"Wrote {plot}")


def compare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON file of events, or another accountant's.")],
    *,
    delta: Delta,
    relation: Among = None,
    as_json: Json = False,
) -> None:
    """Show what the installed accountants say of the same event, beside the bracket.

    Known are dp-accounting, opacus, prv-accountant and riskcal. A peer runs for as long as it likes.
    """
    from discreet.accounting import peers

    run = read(file, relation)
    with _clock() as clock:
        found, method = _epsilon(run.event, delta)
    answers = peers.ask(run.event, delta) if delta else []  # none of them knows a δ of 0
    if as_json:
        told = [
            {"name": one.name, "version": one.version, "epsilon": _finite(one.epsilon), "note": one.note}
            for one in answers
        ]
        facts = {"method": method, "seconds": clock.seconds, "event": events.to_dict(run.event)}
        show_json(_bracket(found, delta) | facts | {"peers": told})
        return
    say(_line(found, delta, [run.words, method, clock.shown]))
    if not answers:
        say("No other accountant is installed.")
        return
    say("")
    rows = [
        (f"{one.name} {one.version}", _given(one.epsilon), _beside(one.epsilon, found), one.note) for one in answers
    ]
    show_table("", ("accountant", "its ε", "beside the bracket", "note"), rows, right=("its ε",))


def _given(epsilon: float | None) -> str:
    return "–" if epsilon is None else f"{epsilon:.6g}"


def _beside(epsilon: float | None, ours: Bracket) -> str:
    """Say where a peer's ε lies: below the lower end it states less than is spent."""
    if epsilon is None:
        return ""
    if ours.lower <= epsilon <= ours.upper:
        return "within"
    if epsilon > ours.upper:
        return f"{epsilon - ours.upper:.2g} above"
    return f"{ours.lower - epsilon:.2g} BELOW"


# ---------------------------------------------------------------------------------- what is found, and shown


def _profile(event: events.Event) -> PrivacyProfile:
    from discreet import accounting

    return accounting.profile(event)


def _epsilon(event: events.Event, delta: float) -> tuple[Bracket, str]:
    """Return the bracket of ε and its method; an infinite ε is a refusal."""
    if not 0 <= delta < 1:
        raise _no_delta("delta must lie in [0, 1)", delta)
    profile = _profile(event)
    found = profile.epsilon(delta)
    if not math.isfinite(found.upper):
        raise UnsupportedEvent(
            f"no finite ε holds for this event at δ = {show_delta(delta)}.",
            remedy="Ask at a larger δ.",
        )
    return found, profile.method


def _no_delta(demand: str, delta: float) -> InvalidInput:
    return InvalidInput(f"{demand}, got {delta!r}.", remedy="Choose it well below one in the number of people.")


class Clock:
    """How long the accountant took, without the time to load it."""

    seconds = 0.0

    @property
    def shown(self) -> str:
        """The time in a few words."""
        return f"{1000 * self.seconds:.2g} ms" if self.seconds < 0.1 else f"{self.seconds:.2g} s"


@contextmanager
def _clock() -> Iterator[Clock]:
    from discreet.accounting.engines import solve  # noqa: F401 - loads numpy before the clock starts

    clock, start = Clock(), time.perf_counter()
    yield clock
    clock.seconds = time.perf_counter() - start


def _bracket(found: Bracket, delta: float) -> dict[str, Any]:
    """Return ε as fields; null where no finite one holds."""
    return {"epsilon": _finite(found.upper), "epsilon_lower": _finite(found.lower), "delta": delta}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _line(found: Bracket, delta: float, facts: list[str]) -> str:
    words, *others = facts
    shown = "; ".join(filter(None, [words, f"bracket {interval(found)}", *others]))
    return f"ε ≤ {upwards(found.upper)} at δ = {show_delta(delta)} ({shown})"


def _ends(found: Bracket) -> tuple[str, str]:
    return upwards(found.upper), interval(found)


def interval(found: Bracket) -> str:
    """Show both ends, rounded outwards, to the digits in which they differ and one more."""
    lower, upper = found.lower, found.upper
    if not math.isfinite(upper):
        return f"[{_rounded(lower, 4, ROUND_FLOOR)}, ∞]"
    digits = 15
    if lower < upper:
        digits = min(15, max(4, 1 + math.ceil(math.log10(upper / (upper - lower)))))
    return f"[{_rounded(lower, digits, ROUND_FLOOR)}, {_rounded(upper, digits, ROUND_CEILING)}]"


def upwards(value: float, digits: int = 4) -> str:
    """Show a number to so many digits, never below its value."""
    return _rounded(value, digits, ROUND_CEILING)


def _rounded(value: float, digits: int, rounding: str) -> str:
    if not math.isfinite(value):
        return "∞"
    exact = Decimal(value)
    if exact == 0:
        return "0"
    shown = exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), rounding=rounding)
    if shown == exact:
        shown = shown.normalize()
    return f"{shown:f}" if -5 <= shown.adjusted() <= 15 else f"{shown:e}"
