"""discreet's own accounting: certified on both sides."""

from __future__ import annotations

from meter import account

from discreet import events
from discreet.accounting import profile
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
    ours = profile(composed(task))
    found = [ours.delta(epsilon) for epsilon in task["epsilons"]]
    return [one.upper for one in found], [one.lower for one in found]


if __name__ == "__main__":
    account({"epsilon": epsilon, "curve": curve})
