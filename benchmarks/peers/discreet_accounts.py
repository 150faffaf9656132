"""discreet's own accounting: certified on both sides."""

from __future__ import annotations

from meter import account, spent_in_turn

from discreet import events
from discreet.accounting import Odometer, Target, calibrate, profile
from discreet.events import Relation

MECHANISMS = {
    "sgd": lambda p: events.PoissonSampled(p["rate"], Relation.ADD_REMOVE, events.Gaussian(p["sigma"])),
    "gaussian": lambda p: events.Gaussian(p["sigma"]),
    "laplace": lambda p: events.Laplace(p["scale"]),
    "response": lambda p: events.RandomizedResponse(p["response"], 2),
    "truncated": lambda p: events.TruncatedPoissonSampled(
        p["rate"], p["people"], p["most"], Relation.ZERO_OUT, events.Gaussian(p["sigma"])
    ),
    # The sensitivity of a replacement is twice the clip norm, to which sigma refers.
    "replace": lambda p: events.PoissonSampled(p["rate"], Relation.REPLACE_ONE, events.Gaussian(p["sigma"] / 2)),
    "fixed": lambda p: events.FixedSizeSampled(
        p["people"], p["batch"], Relation.REPLACE_ONE, events.Gaussian(p["sigma"])
    ),
    "allocation": lambda p: events.RandomAllocation(p["steps"], Relation.ADD_REMOVE, events.Gaussian(p["sigma"])),
}


def composed(task):
    parts = tuple(events.Repeated(part["count"], MECHANISMS[part["kind"]](part)) for part in task["parts"])
    return parts[0] if len(parts) == 1 else events.Composed(parts)


def epsilon(task):
    found = profile(composed(task)).epsilon(task["delta"])
    return found.upper, found.lower


def curve(task):
    found = profile(composed(task)).curve(task["epsilons"])
    return [one.upper for one in found], [one.lower for one in found]


def noise(task):
    """Return the least sigma on the certified side: an upper end, with no lower one."""
    (part,) = task["parts"]
    target = Target(epsilon=task["epsilon"], delta=task["delta"])
    return calibrate(
        lambda sigma: composed({"parts": [part | {"sigma": sigma}]}), target, low=0.2, high=100.0
    ).value, None


def odometer(task):
    events_of = [MECHANISMS[part["kind"]](part) for part in task["parts"]]

    def readout(state):
        found = state.epsilon(task["delta"])
        return found.upper, found.lower

    return spent_in_turn(Odometer.start(), events_of, Odometer.spend, readout)


if __name__ == "__main__":
    account({"epsilon": epsilon, "curve": curve, "calibrate": noise, "odometer": odometer})
