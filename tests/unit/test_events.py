"""Events: a closed set, checked fields, and files that stay readable."""

from fractions import Fraction
from pathlib import Path

import pytest

from discreet import events as e
from discreet.errors import InvalidInput

GOLDEN = (Path(__file__).parent / "golden" / "events_v1.jsonl").read_text(encoding="utf-8").splitlines()
ADD, ONE = e.Relation.ADD_REMOVE, e.Relation.REPLACE_ONE
HALF = (0.5, 0.5)


def test_every_kind_has_a_golden_line():
    assert {e.from_json(line).kind for line in GOLDEN} == set(e.KINDS)


@pytest.mark.parametrize("line", GOLDEN)
def test_old_files_are_read_and_written_unchanged(line):
    assert e.to_json(e.from_json(line)) == line


def test_one_event_has_one_spelling():
    assert e.to_json(e.Pure(1)) == e.to_json(e.Pure(1.0))
    assert e.to_json(e.Pure(-0.0)) == e.to_json(e.Pure(0))
    curve = e.RDP((2, 3), (1, -0.0 + 2))
    assert e.to_json(curve) == e.to_json(e.RDP((2.0, 3.0), (1.0, 2.0)))
    assert e.to_json(e.from_json(e.to_json(curve))) == e.to_json(curve)


def nested(depth):
    event = e.Pure(1.0)
    for _ in range(depth):
        event = e.Composed((event,))
    return event


def test_events_are_nested_only_so_deep():
    deep = nested(32)
    assert e.from_json(e.to_json(deep)) == deep
    with pytest.raises(InvalidInput, match="32 deep"):
        e.Repeated(2, deep)
    inner = '{"kind":"pure","epsilon":1}'
    for _ in range(60):
        inner = '{"kind":"composed","events":[' + inner + "]}"
    with pytest.raises(InvalidInput, match="32 deep"):
        e.from_json(inner.replace("{", '{"v":1,', 1))


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: e.Mixture((0.5, 0.5), (e.Pure(1.0), inner)),
        lambda inner: e.RandomAllocation(10, ADD, inner),
        lambda inner: e.CyclicPoissonSampled(0.1, 2, 10, ADD, inner),
        lambda inner: e.PrivateSelection(2.0, 0.0, inner),
        lambda inner: e.PoissonSelection(2.0, inner),
    ],
)
def test_every_event_that_holds_others_counts_its_depth(around):
    deep = around(nested(31))
    assert e.from_json(e.to_json(deep)) == deep
    assert nested(31) in e.parts(deep)
    with pytest.raises(InvalidInput, match="32 deep"):
        around(nested(32))


def test_probabilities_sum_to_one_as_well_as_floats_can():
    tenths = (0.1,) * 10
    assert e.Tabulated(tenths, tenths) == e.from_json(e.to_json(e.Tabulated(tenths, tenths)))
    assert e.Mixture((1,), (e.Pure(1.0),)) == e.Mixture((1.0,), (e.Pure(1.0),))


@pytest.mark.parametrize(
    "build",
    [
        lambda: e.Pure(-1.0),
        lambda: e.Pure(float("nan")),
        lambda: e.Pure(float("inf")),
        lambda: e.Pure(True),
        lambda: e.Pure("1"),
        lambda: e.Gaussian(0.0),
        lambda: e.DiscreteLaplace(1, Fraction(1)),
        lambda: e.DiscreteLaplace(Fraction(1), Fraction(0)),
        lambda: e.DiscreteGaussian(Fraction(-1), Fraction(1)),
        lambda: e.RandomizedResponse(1.0, 1),
        lambda: e.KeySelection(1.0, 1.0, 1),
        lambda: e.Approximate(1.0, -1e-9),
        lambda: e.RDP((), ()),
        lambda: e.RDP((2.0,), (1.0, 2.0)),
        lambda: e.RDP((1.0,), (1.0,)),
        lambda: e.RDP((3.0, 2.0), (1.0, 1.0)),
        lambda: e.PoissonSampled(0.0, ADD, e.Pure(1.0)),
        lambda: e.PoissonSampled(1.1, ADD, e.Pure(1.0)),
        lambda: e.PoissonSampled(0.1, "add_remove", e.Pure(1.0)),
        lambda: e.PoissonSampled(0.1, ADD, "pure"),
        lambda: e.TruncatedPoissonSampled(0.1, 100, 20, ADD, e.Pure(1.0)),
        lambda: e.FixedSizeSampled(100, 20, ADD, e.Pure(1.0)),
        lambda: e.FixedSizeSampled(10, 20, ONE, e.Pure(1.0)),
        lambda: e.Tabulated((), ()),
        lambda: e.Tabulated((1.0,), HALF),
        lambda: e.Tabulated((0.5, 0.6), HALF),
        lambda: e.Tabulated((1.5, -0.5), HALF),
        lambda: e.Tabulated((float("nan"), 1.0), HALF),
        lambda: e.Tabulated([0.5, 0.5], HALF),
        lambda: e.Mixture((), ()),
        lambda: e.Mixture((1.0,), (e.Pure(1.0), e.Pure(2.0))),
        lambda: e.Mixture((1.0, 0.0), (e.Pure(1.0), e.Pure(2.0))),
        lambda: e.Mixture((0.5, 0.5 + 1e-11), (e.Pure(1.0), e.Pure(2.0))),
        lambda: e.Mixture((1.0,), ("pure",)),
        lambda: e.RandomAllocation(10, ONE, e.Gaussian(1.0)),
        lambda: e.RandomAllocation(0, ADD, e.Gaussian(1.0)),
        lambda: e.CyclicPoissonSampled(0.1, 0, 10, ADD, e.Gaussian(1.0)),
        lambda: e.CyclicPoissonSampled(0.0, 2, 10, ADD, e.Gaussian(1.0)),
        lambda: e.Shuffled((), (), 2),
        lambda: e.Shuffled((0.0,), (10,), 2),
        lambda: e.Shuffled((2.0, 1.0), (10, 10), 2),
        lambda: e.Shuffled((1.0, 1.0), (10, 10), 2),
        lambda: e.Shuffled((1.0,), (10, 10), 2),
        lambda: e.Shuffled((1.0,), (0,), 2),
        lambda: e.Shuffled((1.0,), (1.0,), 2),
        lambda: e.Shuffled((1.0,), (True,), 2),
        lambda: e.Shuffled((1.0,), (10,), 1),
        lambda: e.PrivateSelection(1.0, 1.0, e.Pure(1.0)),
        lambda: e.PrivateSelection(2.0, -1.0, e.Pure(1.0)),
        lambda: e.PrivateSelection(float("inf"), 1.0, e.Pure(1.0)),
        lambda: e.PoissonSelection(0.0, e.Pure(1.0)),
        lambda: e.Repeated(0, e.Pure(1.0)),
        lambda: e.Repeated(1.0, e.Pure(1.0)),
        lambda: e.Composed([e.Pure(1.0)]),
        lambda: e.Composed((e.Pure(1.0), None)),
        lambda: e.Pure(10**400),
        lambda: e.Pure(2**53 + 1),
        lambda: e.DiscreteLaplace(Fraction(2**7000), Fraction(1)),
    ],
)
def test_wrong_events_are_refused(build):
    with pytest.raises(InvalidInput):
        build()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"kind":"pure","epsilon":1}',
        '{"v":2,"kind":"pure","epsilon":1}',
        '{"v":1,"kind":"os.system","command":"ls"}',
        '{"v":1,"kind":"pure"}',
        '{"v":1,"kind":"pure","epsilon":1,"delta":0}',
        '{"v":1,"kind":"pure","epsilon":"1"}',
        '{"v":1,"kind":"pure","epsilon":NaN}',
        '{"v":1,"kind":"pure","epsilon":1' + "0" * 400 + "}",
        '{"v":1,"kind":"discrete_laplace","sensitivity":"1/0","scale":"1/1"}',
        '{"v":1,"kind":"discrete_laplace","sensitivity":"1e999999999","scale":"1/1"}',
        '{"v":1,"kind":"repeated","count":2,"event":{"kind":"nothing"}}',
        '{"v":1,"kind":"composed","events":"pure"}',
        '{"v":1,"kind":"composed","events":""}',
        '{"v":1,"kind":"composed","events":{}}',
        '{"v":1,"kind":"discrete_laplace","sensitivity":"' + "9" * 5000 + '/1","scale":"1/1"}',
        '{"v":1,"kind":[]}',
        '{"v":1,"kind":{}}',
        '{"v":true,"kind":"non_private"}',
        '{"v":1.0,"kind":"non_private"}',
        '{"v":1,"kind":"pure","epsilon":0.1,"epsilon":9}',
        '{"v":1,"kind":"rdp","orders":"23","epsilons":[1,1]}',
        '{"v":1,"kind":"rdp","orders":[2],"epsilons":[true]}',
        '{"v":1,"kind":"rdp","orders":[2],"epsilons":["1e1"]}',
        '{"v":1,"kind":"tabulated","first":"11","second":[1]}',
        '{"v":1,"kind":"tabulated","first":["1"],"second":[1]}',
        '{"v":1,"kind":"mixture","weights":[1],"events":{"kind":"pure","epsilon":1}}',
        '{"v":1,"kind":"shuffled","epsilons":[1],"counts":[2.0],"categories":2}',
        '{"v":1,"kind":"random_allocation","steps":9,"relation":"replace_one","event":{"kind":"pure","epsilon":1}}',
        '{"v":1,"kind":"private_selection","mean":2,"event":{"kind":"pure","epsilon":1}}',
        '{"v":1,"kind":"discrete_laplace","sensitivity":"2/4","scale":"1/1"}',
        '{"v":1,"kind":"discrete_laplace","sensitivity":" 1_0/3","scale":"1/1"}',
        '{"v":1,"kind":"discrete_laplace","sensitivity":"01/3","scale":"1/1"}',
        '{"v":1,"kind":"discrete_laplace","sensitivity":"\u0663/1","scale":"1/1"}',
        '{"v":1,"kind":"discrete_laplace","sensitivity":"-1/3","scale":"1/1"}',
    ],
)
def test_damaged_files_are_refused(text):
    with pytest.raises(InvalidInput):
        e.from_json(text)
