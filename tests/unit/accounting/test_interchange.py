"""Events of other accountants: each class by hand, both ways round, and what is refused."""

import builtins
import importlib
import json
import math
import subprocess
import sys
from fractions import Fraction

import attr
import dp_accounting as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet import events
from discreet.accounting import interchange
from discreet.errors import InvalidInput, MissingExtra, UnsupportedEvent
from discreet.events import Relation

ADD, REPLACE, ZERO = Relation.ADD_REMOVE, Relation.REPLACE_ONE, Relation.ZERO_OUT
tree = dp.dp_event
NOTHING = events.Composed(())


def sampled(rate, relation, sigma):
    return events.PoissonSampled(rate, relation, events.Gaussian(sigma))


# ------------------------------------------------------------------------------------------ class by class


@pytest.mark.parametrize(
    ("theirs", "relation", "ours"),
    [
        (tree.NoOpDpEvent(), ADD, NOTHING),
        (tree.NonPrivateDpEvent(), ADD, events.NonPrivate()),
        (tree.GaussianDpEvent(3.0), ADD, events.Gaussian(3.0)),
        (tree.GaussianDpEvent(3.0), ZERO, events.Gaussian(3.0)),
        (tree.GaussianDpEvent(3.0), REPLACE, events.Gaussian(1.5)),
        (tree.GaussianDpEvent(3), ADD, events.Gaussian(3.0)),
        (tree.GaussianDpEvent(0.0), ADD, events.NonPrivate()),
        (tree.LaplaceDpEvent(3.0), ADD, events.Laplace(3.0)),
        (tree.LaplaceDpEvent(3.0), REPLACE, events.Laplace(1.5)),
        (tree.LaplaceDpEvent(0.0), ADD, events.NonPrivate()),
        (tree.DiscreteLaplaceDpEvent(0.5, 3), ADD, events.DiscreteLaplace(Fraction(3), Fraction(2))),
        (tree.DiscreteLaplaceDpEvent(0.5, 3), REPLACE, events.DiscreteLaplace(Fraction(6), Fraction(2))),
        (tree.DiscreteLaplaceDpEvent(0.0, 3), ADD, events.NonPrivate()),
        (tree.ZCDpEvent(0.25), ADD, events.ZCDP(0.25)),
        (tree.RandomizedResponseDpEvent(0.0, 4), REPLACE, events.NonPrivate()),
        (tree.RandomizedResponseDpEvent(1.0, 4), REPLACE, events.RandomizedResponse(0.0, 4)),
        (tree.RandomizedResponseDpEvent(0.0, 1), REPLACE, NOTHING),
        (tree.PoissonSampledDpEvent(0.1, tree.GaussianDpEvent(2.0)), ADD, sampled(0.1, ADD, 2.0)),
        (tree.PoissonSampledDpEvent(0.1, tree.GaussianDpEvent(2.0)), ZERO, sampled(0.1, ZERO, 2.0)),
        (tree.PoissonSampledDpEvent(0.1, tree.GaussianDpEvent(2.0)), REPLACE, sampled(0.1, REPLACE, 1.0)),
        (tree.PoissonSampledDpEvent(0.0, tree.GaussianDpEvent(2.0)), ADD, NOTHING),
        (
            tree.SelfComposedDpEvent(tree.GaussianDpEvent(2.0), 7),
            ADD,
            events.Repeated(7, events.Gaussian(2.0)),
        ),
        (tree.SelfComposedDpEvent(tree.GaussianDpEvent(2.0), 0), ADD, NOTHING),
        (
            tree.ComposedDpEvent([tree.GaussianDpEvent(2.0), tree.LaplaceDpEvent(1.0)]),
            ADD,
            events.Composed((events.Gaussian(2.0), events.Laplace(1.0))),
        ),
        (
            tree.TruncatedSubsampledGaussianDpEvent(100, 0.1, 20, 2.0),
            ZERO,
            events.TruncatedPoissonSampled(0.1, 100, 20, ZERO, events.Gaussian(2.0)),
        ),
        (
            tree.TruncatedSubsampledGaussianDpEvent(100, 0.1, 20, 2.0),
            REPLACE,
            events.TruncatedPoissonSampled(0.1, 100, 20, REPLACE, events.Gaussian(1.0)),
        ),
        (tree.TruncatedSubsampledGaussianDpEvent(100, 0.1, 0, 2.0), ZERO, NOTHING),
        (
            tree.SampledWithoutReplacementDpEvent(100, 10, tree.GaussianDpEvent(2.0)),
            REPLACE,
            events.FixedSizeSampled(100, 10, REPLACE, events.Gaussian(1.0)),
        ),
        (
            tree.SingleEpochTreeAggregationDpEvent(2.0, 8),
            ZERO,
            events.Repeated(4, events.Gaussian(2.0)),
        ),
        (
            tree.SingleEpochTreeAggregationDpEvent(2.0, [3, 7, 5]),
            ZERO,
            events.Repeated(3, events.Gaussian(2.0)),
        ),
        (
            tree.RepeatAndSelectDpEvent(tree.GaussianDpEvent(2.0), 4.0, 0.5),
            ADD,
            events.PrivateSelection(4.0, 0.5, events.Gaussian(2.0)),
        ),
        (
            tree.RepeatAndSelectDpEvent(tree.GaussianDpEvent(2.0), 4.0, math.inf),
            ADD,
            events.PoissonSelection(4.0, events.Gaussian(2.0)),
        ),
        (tree.RepeatAndSelectDpEvent(tree.GaussianDpEvent(2.0), 1.0, 1.0), ADD, events.Gaussian(2.0)),
    ],
    ids=repr,
)
def test_each_class_is_read(theirs, relation, ours):
    assert interchange.from_dp_accounting(theirs, relation=relation) == ours


def test_every_class_of_theirs_is_read_or_refused_by_name():
    names = {name for name, value in vars(tree).items() if isinstance(value, type) and issubclass(value, tree.DpEvent)}
    read = interchange.reading._KNOWN
    assert names - {"DpEvent"} == {*read, *interchange.reading._REFUSED}
    for name, (_, fields) in read.items():
        assert tuple(field.name for field in attr.fields(getattr(tree, name))) == fields


@pytest.mark.parametrize("buckets", [2, 3, 50])
@pytest.mark.parametrize("noise", [1e-9, 0.01, 0.3, 0.9, 1 - 1e-9])
def test_randomised_response_is_read_by_its_odds(buckets, noise):
    ours = interchange.from_dp_accounting(tree.RandomizedResponseDpEvent(noise, buckets), relation=REPLACE)
    other = Fraction(noise) / buckets
    odds = float((1 - Fraction(noise) + other) / other)
    assert ours.categories == buckets
    assert math.exp(ours.epsilon) == pytest.approx(odds, rel=1e-12)
    back = interchange.to_dp_accounting(ours, relation=REPLACE)
    assert back.noise_parameter <= noise
    assert back.noise_parameter == pytest.approx(noise, rel=1e-11)


def test_noise_per_sensitivity_is_taken_as_it_is():
    theirs = tree.SampledWithoutReplacementDpEvent(100, 10, tree.GaussianDpEvent(2.0))
    ours = interchange.from_dp_accounting(theirs, relation=REPLACE, noise_per="sensitivity")
    assert ours == events.FixedSizeSampled(100, 10, REPLACE, events.Gaussian(2.0))
    assert interchange.to_dp_accounting(ours, relation=REPLACE, noise_per="sensitivity") == theirs


# ------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "theirs",
    [
        tree.UnsupportedDpEvent(),
        tree.SampledWithReplacementDpEvent(10, 2, tree.GaussianDpEvent(1.0)),
        tree.MixtureOfGaussiansDpEvent(1.0, [0.0, 1.0], [0.5, 0.5]),
    ],
    ids=repr,
)
def test_a_class_without_a_counterpart_is_refused_by_its_name(theirs):
    name = type(theirs).__name__
    for node in (
        theirs,
        tree.SelfComposedDpEvent(theirs, 2),
        tree.ComposedDpEvent([tree.GaussianDpEvent(1.0), theirs]),
        tree.PoissonSampledDpEvent(0.0, theirs),
        tree.SelfComposedDpEvent(theirs, 0),
    ):
        with pytest.raises(UnsupportedEvent, match=name):
            interchange.from_dp_accounting(node, relation=ADD)


def test_a_class_of_a_later_version_is_refused():
    later = {"module_name": "dp_accounting.dp_event", "class_name": "RandomAllocationDpEvent", "event": 1}
    with pytest.raises(UnsupportedEvent, match="RandomAllocationDpEvent"):
        interchange.from_dp_accounting(later, relation=ADD)
    more = {"module_name": "dp_accounting.dp_event", "class_name": "GaussianDpEvent", "noise_multiplier": 1.0, "x": 1}
    with pytest.raises(InvalidInput, match="fields of GaussianDpEvent"):
        interchange.from_dp_accounting(more, relation=ADD)


@pytest.mark.parametrize("relation", list(Relation))
def test_a_class_that_is_not_theirs_is_refused(relation):
    @attr.s(frozen=True, auto_attribs=True)
    class GaussianDpEvent:
        noise_multiplier: float

    for node in (GaussianDpEvent(1.0), None, 1.0, "GaussianDpEvent", [], {}, ["dp_accountingx", "NoOpDpEvent"]):
        with pytest.raises(InvalidInput, match="not an event of dp-accounting"):
            interchange.from_dp_accounting(node, relation=relation)


@pytest.mark.parametrize(
    ("theirs", "relation"),
    [
        (tree.RandomizedResponseDpEvent(0.5, 2), ADD),
        (tree.RandomizedResponseDpEvent(0.5, 2), ZERO),
        (tree.SingleEpochTreeAggregationDpEvent(2.0, 8), ADD),
        (tree.SingleEpochTreeAggregationDpEvent(2.0, 8), REPLACE),
        (tree.ZCDpEvent(0.25, 0.1), ADD),
    ],
    ids=repr,
)
def test_what_is_not_known_under_the_relation_is_refused(theirs, relation):
    with pytest.raises(UnsupportedEvent):
        interchange.from_dp_accounting(theirs, relation=relation)


@pytest.mark.parametrize(
    "theirs",
    [
        *(tree.GaussianDpEvent(bad) for bad in (-1.0, math.nan, math.inf, "1", None, True, 10**400)),
        *(tree.LaplaceDpEvent(bad) for bad in (-1.0, math.nan, math.inf)),
        *(tree.DiscreteLaplaceDpEvent(bad, 1) for bad in (-1.0, math.nan, math.inf)),
        *(tree.DiscreteLaplaceDpEvent(1.0, bad) for bad in (-1, 1.5, None)),
        *(tree.RandomizedResponseDpEvent(bad, 2) for bad in (-0.1, 1.1, math.nan, 5e-324)),
        *(tree.RandomizedResponseDpEvent(0.5, bad) for bad in (0, -1, 2.5)),
        *(tree.PoissonSampledDpEvent(bad, tree.GaussianDpEvent(1.0)) for bad in (-0.1, 1.1, math.nan)),
        *(tree.SelfComposedDpEvent(tree.GaussianDpEvent(1.0), bad) for bad in (-1, 2.5, math.inf, None)),
        *(tree.ComposedDpEvent(bad) for bad in (None, "ab", tree.GaussianDpEvent(1.0))),
        tree.SampledWithoutReplacementDpEvent(10, 11, tree.GaussianDpEvent(1.0)),
        tree.ZCDpEvent(-1.0),
        tree.RepeatAndSelectDpEvent(tree.GaussianDpEvent(1.0), 0.5, 1.0),
        tree.RepeatAndSelectDpEvent(tree.GaussianDpEvent(1.0), 2.0, -0.5),
        tree.RepeatAndSelectDpEvent(tree.GaussianDpEvent(1.0), math.nan, 1.0),
    ],
    ids=repr,
)
def test_impossible_values_are_refused(theirs):
    with pytest.raises(InvalidInput):
        interchange.from_dp_accounting(theirs, relation=REPLACE)


def test_truncated_and_fixed_samples_need_a_public_number_of_people():
    for theirs in (
        tree.TruncatedSubsampledGaussianDpEvent(100, 0.1, 20, 2.0),
        tree.SampledWithoutReplacementDpEvent(100, 10, tree.GaussianDpEvent(2.0)),
    ):
        with pytest.raises(InvalidInput, match="public population size"):
            interchange.from_dp_accounting(theirs, relation=ADD)


def test_a_bottomless_tree_is_refused():
    node = tree.GaussianDpEvent(1.0)
    for _ in range(5000):
        node = tree.SelfComposedDpEvent(node, 2)
    with pytest.raises(InvalidInput, match="deep"):
        interchange.from_dp_accounting(node, relation=ADD)


@pytest.mark.parametrize("relation", ["add_remove", None, 1])
def test_the_relation_is_one(relation):
    with pytest.raises(InvalidInput, match="relation"):
        interchange.from_dp_accounting(tree.GaussianDpEvent(1.0), relation=relation)
    with pytest.raises(InvalidInput, match="relation"):
        interchange.to_dp_accounting(events.Gaussian(1.0), relation=relation)


def test_noise_per_is_one_of_two():
    with pytest.raises(InvalidInput, match="noise_per"):
        interchange.from_dp_accounting(tree.GaussianDpEvent(1.0), relation=ADD, noise_per="clip")


# ------------------------------------------------------------------------------------------------- writing

positive = st.floats(1e-3, 1e3)
rates = st.floats(1e-6, 1.0)


def written(relation):
    """Events that are the same after both ways, to the last bit."""
    gaussian = st.builds(events.Gaussian, positive)
    people = st.integers(50, 100)
    single = st.one_of(
        gaussian,
        st.builds(events.Laplace, positive),
        st.builds(events.ZCDP, positive),
        st.builds(events.NonPrivate),
        st.builds(
            events.PoissonSampled, rates, st.just(relation), st.one_of(gaussian, st.builds(events.Laplace, positive))
        ),
        st.builds(events.PrivateSelection, st.floats(1.1, 9.0), st.floats(0.0, 3.0), gaussian),
        st.builds(events.PoissonSelection, st.floats(1.1, 9.0), gaussian),
        *(
            [st.builds(events.TruncatedPoissonSampled, rates, people, st.integers(1, 50), st.just(relation), gaussian)]
            if relation is not ADD
            else []
        ),
    )
    return st.recursive(
        single,
        lambda inner: st.one_of(
            st.builds(events.Repeated, st.integers(1, 10**6), inner),
            st.lists(inner, min_size=1, max_size=4).map(lambda parts: events.Composed(tuple(parts))),
        ),
        max_leaves=6,
    )


@settings(deadline=None, max_examples=60)
@given(data=st.data(), relation=st.sampled_from(list(Relation)), noise_per=st.sampled_from(["norm", "sensitivity"]))
def test_both_ways_round_is_the_same_event(data, relation, noise_per):
    event = data.draw(written(relation))
    theirs = interchange.to_dp_accounting(event, relation=relation, noise_per=noise_per)
    assert isinstance(theirs, tree.DpEvent)
    assert interchange.from_dp_accounting(theirs, relation=relation, noise_per=noise_per) == event
    named = theirs.to_named_tuple()
    assert interchange.from_dp_accounting(named, relation=relation, noise_per=noise_per) == event
    assert interchange.read(json.dumps(named), relation=relation, noise_per=noise_per) == event
    assert tree.DpEvent.from_named_tuple(named) == theirs


@pytest.mark.parametrize("scale", [Fraction(10), Fraction(3), Fraction(1, 7), Fraction(12345, 678)])
def test_discrete_laplace_is_written_with_no_less_loss(scale):
    event = events.DiscreteLaplace(Fraction(4), scale)
    for relation in Relation:
        back = interchange.from_dp_accounting(interchange.to_dp_accounting(event, relation=relation), relation=relation)
        assert back.sensitivity == 4
        assert back.scale <= scale
        assert float(back.scale) == pytest.approx(float(scale), rel=1e-15)


def test_cyclic_sampling_is_written_as_the_steps_that_one_unit_can_be_in():
    event = events.CyclicPoissonSampled(0.1, 3, 10, ADD, events.Gaussian(2.0))
    theirs = interchange.to_dp_accounting(event, relation=ADD)
    assert theirs == tree.SelfComposedDpEvent(tree.PoissonSampledDpEvent(0.1, tree.GaussianDpEvent(2.0)), 4)


@pytest.mark.parametrize(
    "event",
    [
        events.Pure(1.0),
        events.Approximate(1.0, 1e-6),
        events.ExponentialMechanism(1.0),
        events.PermuteAndFlip(1.0),
        events.NoisyMax(1.0),
        events.KeySelection(1.0, 1e-6, 2),
        events.RDP((2.0,), (1.0,)),
        events.DiscreteGaussian(Fraction(1), Fraction(4)),
        events.DiscreteLaplace(Fraction(1), Fraction(4)),  # half of it is no integer
        events.DiscreteLaplace(Fraction(1, 2), Fraction(4)),
        events.RandomizedResponse(800.0, 2),
        events.Tabulated((0.5, 0.5), (0.4, 0.6)),
        events.Shuffled((1.0,), (100,), 2),
        events.Mixture((0.5, 0.5), (events.Gaussian(1.0), events.Gaussian(2.0))),
        events.PrivateSelection(2.0, -0.5, events.Gaussian(1.0)),
        events.PoissonSelection(0.5, events.Gaussian(1.0)),
        events.TruncatedPoissonSampled(0.1, 100, 20, REPLACE, events.Laplace(1.0)),
        events.FixedSizeSampled(100, 10, REPLACE, events.Gaussian(1.0)),  # per norm; see the error
        sampled(0.1, ADD, 1.0),  # of another relation
    ],
    ids=repr,
)
def test_what_has_no_counterpart_is_not_written(event):
    with pytest.raises(UnsupportedEvent):
        interchange.to_dp_accounting(event, relation=REPLACE)
    with pytest.raises(UnsupportedEvent):
        interchange.to_dp_accounting(events.Composed((events.Gaussian(1.0), event)), relation=REPLACE)


def test_random_allocation_is_not_written():
    with pytest.raises(UnsupportedEvent, match="random_allocation"):
        interchange.to_dp_accounting(events.RandomAllocation(10, ADD, events.Gaussian(1.0)), relation=ADD)


def test_writing_needs_the_library_and_says_so(monkeypatch):
    def absent(name, *_):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match="pip install dp-accounting"):
        interchange.to_dp_accounting(events.Gaussian(1.0), relation=ADD)


def test_reading_needs_no_library():
    program = (
        "import sys\n"
        "from discreet.accounting import interchange, peers\n"
        "from discreet.events import Relation\n"
        'text = \'["dp_accounting.dp_event", "GaussianDpEvent", 2.0]\'\n'
        "interchange.read(text, relation=Relation.ADD_REMOVE)\n"
        "print(sorted({'numpy', 'scipy', 'dp_accounting', 'opacus', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# --------------------------------------------------------------------------------------- opacus, and JSON

HISTORY = [(1.1, 0.01, 900), (0.9, 0.02, 100)]
RUNS = events.Composed((events.Repeated(900, sampled(0.01, ADD, 1.1)), events.Repeated(100, sampled(0.02, ADD, 0.9))))


@pytest.mark.parametrize("mechanism", ["rdp", "prv", "gdp"])
def test_an_opacus_history_is_read(mechanism):
    state = {"history": HISTORY, "mechanism": mechanism}
    assert interchange.from_opacus(HISTORY) == RUNS
    assert interchange.from_opacus(state) == RUNS
    assert interchange.read(json.dumps(HISTORY)) == RUNS
    assert interchange.read(json.dumps(state)) == RUNS


def test_an_opacus_history_under_another_relation():
    ours = interchange.from_opacus([(1.0, 0.01, 10)], relation=REPLACE)
    assert ours == events.Repeated(10, sampled(0.01, REPLACE, 0.5))
    assert interchange.read("[[1.0, 0.01, 10]]", relation=ZERO) == events.Repeated(10, sampled(0.01, ZERO, 1.0))


def test_an_opacus_history_at_its_edges():
    assert interchange.from_opacus([]) == NOTHING
    assert interchange.from_opacus([(1.0, 0.01, 0)]) == NOTHING
    assert interchange.from_opacus([(1.0, 0.0, 5)]) == events.Repeated(5, NOTHING)
    assert interchange.from_opacus([(1.0, 1.0, 5)]) == events.Repeated(5, sampled(1.0, ADD, 1.0))
    silent = interchange.from_opacus([(0.0, 0.01, 5)])
    assert silent == events.Repeated(5, events.PoissonSampled(0.01, ADD, events.NonPrivate()))


@pytest.mark.parametrize(
    "history",
    [
        None,
        "rdp",
        3,
        [1.0, 0.01, 10],
        [(1.0, 0.01)],
        [(1.0, 0.01, 10, 1)],
        [(-1.0, 0.01, 10)],
        [(math.nan, 0.01, 10)],
        [(1.0, 1.5, 10)],  # a rate times accumulated iterations
        [(1.0, -0.1, 10)],
        [(1.0, 0.01, -1)],
        [(1.0, 0.01, 2.5)],
        [(True, 0.01, 10)],
        {"history": HISTORY},
        {"history": HISTORY, "mechanism": "other"},
        {"history": HISTORY, "mechanism": ["rdp"]},
        {"mechanism": "rdp"},
    ],
    ids=repr,
)
def test_what_is_no_history_is_refused(history):
    with pytest.raises(InvalidInput):
        interchange.from_opacus(history)


def test_our_own_json_is_read():
    text = events.to_json(RUNS)
    assert interchange.read(text) == RUNS
    assert interchange.read(text, relation=ADD) == RUNS
    with pytest.raises(UnsupportedEvent, match="replace_one"):
        interchange.read(text, relation=REPLACE)


def test_named_tuples_are_read_as_objects_and_as_lists():
    theirs = tree.SelfComposedDpEvent(tree.PoissonSampledDpEvent(0.01, tree.GaussianDpEvent(1.0)), 10)
    named = theirs.to_named_tuple()
    ours = events.Repeated(10, sampled(0.01, ADD, 1.0))
    flat = json.dumps(named)
    mixed = json.dumps(named._asdict())
    full = json.dumps(named._asdict() | {"event": named.event._asdict() | {"event": named.event.event._asdict()}})
    for text in (flat, mixed, full):
        assert interchange.read(text, relation=ADD) == ours
        with pytest.raises(InvalidInput, match="relation"):
            interchange.read(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "3",
        '"gaussian"',
        "{}",
        "[]",
        "[[]]",
        '{"kind": "gaussian", "noise_multiplier": 1.0}',
        '{"v": 2, "kind": "gaussian", "noise_multiplier": 1.0}',
        '{"v": 1, "kind": "gaussian", "noise_multiplier": NaN}',
        '{"v": 1, "kind": "gaussian", "noise_multiplier": 1.0, "noise_multiplier": 2.0}',
        '{"history": [[1.0, 0.01, 10]], "history": [], "mechanism": "rdp"}',
        '["os", "system", "true"]',
        '{"module_name": "os", "class_name": "system", "command": "true"}',
        '{"module_name": ["dp_accounting"], "class_name": {}}',
        '["dp_accounting.dp_event", "GaussianDpEvent"]',
        '["dp_accounting.dp_event", "GaussianDpEvent", 1.0, 2.0]',
        "[" * 100_000,
        "9" * 5000,
        None,
        b"\xff",
    ],
    ids=lambda text: repr(text)[:40],
)
def test_other_texts_are_refused(text):
    with pytest.raises(InvalidInput):
        interchange.read(text, relation=ADD)


def test_nothing_is_imported_by_a_name_in_a_text(monkeypatch):
    def forbidden(name, *_, **__):
        raise AssertionError(name)

    monkeypatch.setattr(importlib, "import_module", forbidden)
    monkeypatch.setattr(builtins, "__import__", forbidden)
    try:
        read = interchange.read('["dp_accounting.dp_event", "GaussianDpEvent", 2.0]', relation=ADD)
    finally:
        monkeypatch.undo()
    assert read == events.Gaussian(2.0)
