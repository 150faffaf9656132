"""dpsgd: which event a described run is, and what is no run at all."""

import math
import subprocess
import sys

import pytest

from discreet import accounting, events
from discreet.accounting.dpsgd import NEEDS, RELATIONS, Sampling, dpsgd
from discreet.errors import InvalidInput
from discreet.events import Relation

NOISE = events.Gaussian(1.5)
HALF = events.Gaussian(0.75)
VALUES = {"sample_rate": 0.01, "records": 1000, "batch_cap": 20, "batch_size": 10, "participations": 5}


def run(sampling, relation, **changed):
    """Describe a run with exactly what its sampling needs, but for what is changed."""
    given = {name: VALUES[name] for name in NEEDS[sampling]}
    return dpsgd(
        **{"noise_multiplier": 1.5, "steps": 100, "relation": relation, "sampling": sampling, **given} | changed
    )


@pytest.mark.parametrize("relation", Relation)
def test_poisson(relation):
    noise = HALF if relation is Relation.REPLACE_ONE else NOISE
    expected = events.Repeated(100, events.PoissonSampled(0.01, relation, noise))
    assert run(Sampling.POISSON, relation) == expected


@pytest.mark.parametrize(("relation", "noise"), [(Relation.ZERO_OUT, NOISE), (Relation.REPLACE_ONE, HALF)])
def test_truncated(relation, noise):
    expected = events.Repeated(100, events.TruncatedPoissonSampled(0.01, 1000, 20, relation, noise))
    assert run(Sampling.TRUNCATED, relation) == expected


def test_fixed():
    expected = events.Repeated(100, events.FixedSizeSampled(1000, 10, Relation.REPLACE_ONE, HALF))
    assert run(Sampling.FIXED, Relation.REPLACE_ONE) == expected


@pytest.mark.parametrize("relation", RELATIONS[Sampling.ALLOCATION])
def test_allocation(relation):
    expected = events.Repeated(5, events.RandomAllocation(20, relation, NOISE))
    assert run(Sampling.ALLOCATION, relation) == expected


def test_names_may_be_given_as_text():
    assert run(Sampling.POISSON, Relation.ADD_REMOVE) == run(Sampling("poisson"), "add_remove")


def test_replacing_a_record_of_an_unsampled_run_costs_twice_the_distance():
    """Full batches: one Gaussian of μ = 2·sqrt(T)/σ under replace_one, of half that under add_remove."""
    for relation, factor in ((Relation.ADD_REMOVE, 1), (Relation.REPLACE_ONE, 2)):
        event = dpsgd(sample_rate=1.0, noise_multiplier=10.0, steps=4, relation=relation, sampling=Sampling.POISSON)
        found = accounting.profile(event).epsilon(1e-5)
        assert found.upper == pytest.approx(accounting.gaussian_epsilon(factor * 0.2, 1e-5), rel=1e-9)


@pytest.mark.parametrize("sampling", Sampling)
@pytest.mark.parametrize("relation", Relation)
def test_relations_that_are_not_bounded_are_refused(sampling, relation):
    if relation in RELATIONS[sampling]:
        assert run(sampling, relation)
        return
    with pytest.raises(InvalidInput, match=f"so not under {relation.value}") as refused:
        run(sampling, relation)
    assert refused.value.remedy
    assert "Nothing was spent" in refused.value.state


@pytest.mark.parametrize("sampling", Sampling)
@pytest.mark.parametrize("name", VALUES)
def test_exactly_what_a_sampling_needs(sampling, name):
    relation = RELATIONS[sampling][0]
    needed = name in NEEDS[sampling]
    with pytest.raises(
        InvalidInput, match=f"{name} not given" if needed else f"nothing else, got {name} = "
    ) as refused:
        run(sampling, relation, **{name: None if needed else VALUES[name]})
    assert refused.value.remedy


NAN, INF = math.nan, math.inf
BAD = {
    "noise_multiplier": (NAN, INF, 0, -1.0, "1", True, None),
    "steps": (0, -1, 1.5, 100.0, True, "100", NAN, None),
    "sample_rate": (NAN, 0.0, -0.1, 1.1, INF, "x"),
    "records": (0, -5, 10.5, NAN),
    "batch_cap": (0, -5, 10.5, True),
    "batch_size": (0, -5, 10.5, 1001),
    "participations": (0, -5, 2.5, 3),
    "relation": ("add", None, 7, "ADD_REMOVE"),
    "sampling": ("shuffled", None, 7),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_what_is_no_run(name, value):
    sampling = next((kind for kind in Sampling if name in NEEDS[kind]), Sampling.POISSON)
    given = {"sampling": sampling, "relation": RELATIONS[sampling][0], name: value}
    described = {other: VALUES[other] for other in NEEDS[sampling] if other != name}
    if name == "batch_size":
        described["records"] = 1000
    with pytest.raises(InvalidInput, match=name) as refused:
        dpsgd(**{"noise_multiplier": 1.5, "steps": 100} | described | given)
    assert refused.value.remedy
    assert "Nothing was spent and no data was read." in str(refused.value)


def test_the_noise_that_was_given_is_shown():
    """Under replace_one the event halves it; an error speaks of what was written."""
    with pytest.raises(InvalidInput, match=r"got -3\.0"):
        run(Sampling.POISSON, Relation.REPLACE_ONE, noise_multiplier=-3.0)


@pytest.mark.parametrize("module", ["discreet", "discreet.accounting.dpsgd", "discreet.cli.app"])
def test_numpy_is_not_loaded(module):
    code = f"import sys, {module}; print(sorted({{'numpy', 'scipy', 'matplotlib', 'jinja2'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
