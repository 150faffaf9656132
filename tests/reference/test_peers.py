"""Other accountants on the same mechanism: their upper end is never below our lower one, and close where it is tight."""

import math
import sys
import types
import warnings

import dp_accounting as dp
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from discreet import events
from discreet.accounting import interchange, peers, profile
from discreet.accounting.peers import PeerAnswer, ask, sentence
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.profiles import Bracket

ADD, REPLACE, ZERO = Relation.ADD_REMOVE, Relation.REPLACE_ONE, Relation.ZERO_OUT
THEIRS = {
    ADD: dp.NeighboringRelation.ADD_OR_REMOVE_ONE,
    REPLACE: dp.NeighboringRelation.REPLACE_ONE,
    ZERO: dp.NeighboringRelation.REPLACE_SPECIAL,
}
DELTA = 1e-5
tree = dp.dp_event
gaussian, laplace = tree.GaussianDpEvent, tree.LaplaceDpEvent


def times(count, event):
    return tree.SelfComposedDpEvent(event, count)


def sampled(rate, event):
    return tree.PoissonSampledDpEvent(rate, event)


# ------------------------------------------------------------------------- the conversion, by the numbers


@pytest.mark.parametrize(
    ("theirs", "relation"),
    [
        (gaussian(1.0), ADD),
        (gaussian(1.0), ZERO),
        (gaussian(1.0), REPLACE),  # twice the sensitivity: a convention gone wrong is a factor, not a digit
        (times(50, gaussian(20.0)), REPLACE),
        (times(10, laplace(10.0)), ADD),
        (tree.DiscreteLaplaceDpEvent(0.3, 2), ADD),
        (times(3, tree.DiscreteLaplaceDpEvent(0.3, 2)), ZERO),
        (tree.RandomizedResponseDpEvent(0.4, 2), REPLACE),
        (tree.RandomizedResponseDpEvent(0.4, 5), REPLACE),
        (times(200, sampled(0.01, gaussian(0.8))), ADD),
        (times(200, sampled(0.01, gaussian(0.8))), ZERO),
        (times(200, sampled(0.01, gaussian(0.8))), REPLACE),
        (times(20, sampled(0.1, laplace(1.0))), ADD),
        (times(20, tree.TruncatedSubsampledGaussianDpEvent(1000, 0.05, 60, 2.0)), ZERO),
        (times(20, tree.TruncatedSubsampledGaussianDpEvent(1000, 0.05, 60, 2.0)), REPLACE),
        (tree.ComposedDpEvent([gaussian(3.0), times(5, laplace(8.0)), sampled(0.2, gaussian(2.0))]), ADD),
        (times(3, tree.ComposedDpEvent([gaussian(5.0), tree.NoOpDpEvent(), sampled(0.0, gaussian(1.0))])), ADD),
    ],
    ids=str,
)
def test_what_was_read_costs_what_their_grid_says(theirs, relation):
    accountant = PLDAccountant(THEIRS[relation])
    accountant.compose(theirs)
    ours = profile(interchange.from_dp_accounting(theirs, relation=relation)).epsilon(DELTA)
    said = accountant.get_epsilon(DELTA)
    assert said >= ours.lower * (1 - 1e-9)
    assert said <= ours.upper * (1 + 2e-3) + 1e-3  # their grid errs by its step, 1e-4, for each kind and count


@pytest.mark.parametrize(
    ("theirs", "relation"),
    [
        (tree.SingleEpochTreeAggregationDpEvent(3.0, 100), ZERO),
        (times(2, tree.SingleEpochTreeAggregationDpEvent(5.0, [31, 32])), ZERO),
        (tree.ZCDpEvent(0.1), ADD),
        (tree.RepeatAndSelectDpEvent(gaussian(3.0), 4.0, 1.0), ADD),
        (tree.RepeatAndSelectDpEvent(gaussian(3.0), 4.0, 0.0), ADD),
        (tree.RepeatAndSelectDpEvent(gaussian(3.0), 4.0, math.inf), ADD),
    ],
    ids=str,
)
def test_what_only_renyi_orders_know_is_read_too(theirs, relation):
    accountant = RdpAccountant(neighboring_relation=THEIRS[relation])
    accountant.compose(theirs)
    ours = profile(interchange.from_dp_accounting(theirs, relation=relation)).epsilon(DELTA)
    said = accountant.get_epsilon(DELTA)
    assert ours.lower <= said
    assert ours.upper <= said * 1.001  # we look at more orders
    assert ours.upper >= said * 0.5  # and a lost factor would show


def test_fixed_size_noise_is_per_sensitivity_for_their_accountant_and_per_norm_in_their_words():
    theirs = times(100, tree.SampledWithoutReplacementDpEvent(1000, 50, gaussian(4.0)))
    accountant = RdpAccountant(neighboring_relation=THEIRS[REPLACE])
    accountant.compose(theirs)
    said = accountant.get_epsilon(DELTA)
    computed = interchange.from_dp_accounting(theirs, relation=REPLACE, noise_per="sensitivity")
    documented = interchange.from_dp_accounting(theirs, relation=REPLACE)
    assert profile(computed).epsilon(DELTA).upper <= said
    assert profile(documented).epsilon(DELTA).lower > profile(computed).epsilon(DELTA).upper * 1.5
    # A plain Gaussian shows that the two accountants of one library differ in this.
    by_grid, by_orders = (kind(neighboring_relation=THEIRS[REPLACE]) for kind in (PLDAccountant, RdpAccountant))
    for one in (by_grid, by_orders):
        one.compose(gaussian(4.0))
    assert by_grid.get_epsilon(DELTA) > by_orders.get_epsilon(DELTA) * 1.5


# --------------------------------------------------------------------------------------------- asking them

SGD = events.Repeated(200, events.PoissonSampled(0.01, ADD, events.Gaussian(0.8)))


def answers(event, delta=DELTA):
    return {answer.name: answer for answer in ask(event, delta)}


def test_the_library_that_is_here_answers():
    said, ours = answers(SGD), profile(SGD).epsilon(DELTA)
    assert {"dp-accounting PLD", "dp-accounting RDP"} <= set(said)
    for answer in said.values():
        assert answer.epsilon >= ours.lower
        assert answer.epsilon <= ours.upper * 1.5
        assert answer.version


@pytest.mark.parametrize(
    ("event", "able"),
    [
        (events.Repeated(100, events.PoissonSampled(0.01, REPLACE, events.Gaussian(0.5))), ("PLD",)),
        (events.Repeated(100, events.FixedSizeSampled(1000, 10, REPLACE, events.Gaussian(1.0))), ("RDP",)),
        (events.RandomizedResponse(0.5, 4), ("PLD", "RDP")),
        (events.Composed((events.Gaussian(2.0), events.Laplace(3.0))), ("PLD", "RDP")),
        (events.ZCDP(0.1), ("RDP",)),
        (events.Pure(1.0), ()),
        (events.RandomAllocation(10, ADD, events.Gaussian(1.0)), ()),
        (events.Composed((SGD, events.RandomizedResponse(0.5, 4))), ()),  # of two relations
    ],
    ids=repr,
)
def test_who_can_answers_and_who_cannot_says_so_in_one_line(event, able):
    said = answers(event)
    for name in ("PLD", "RDP"):
        answer = said[f"dp-accounting {name}"]
        assert (answer.epsilon is not None) == (name in able), answer
        assert "\n" not in answer.note
        assert len(answer.note) <= peers.LONGEST
        if answer.epsilon is None:
            assert answer.note.startswith("refused: ")
        else:
            assert answer.epsilon >= profile(event).epsilon(DELTA).lower * (1 - 1e-9)


def test_many_randomised_responses_for_one_is_noted():
    event = events.Repeated(20, events.RandomizedResponse(0.2, 3))
    said, ours = answers(event), profile(event).epsilon(DELTA)
    answer = said["dp-accounting PLD"]
    if answer.version == "0.6.0":
        assert answer.epsilon < ours.lower
        assert "below what the mechanism really spends" in sentence(answer.epsilon, ours, DELTA)
    assert "any number of randomised responses" in answer.note
    assert said["dp-accounting RDP"].epsilon >= ours.lower


@pytest.fixture
def planted(monkeypatch):
    """A peer for every package name, of which the test says what it does."""

    def plant(**modules):
        monkeypatch.setattr(peers, "version", lambda package: "9.9")
        for name, content in modules.items():
            module = types.ModuleType(name)
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)

    return plant


class Opacus:
    def get_epsilon(self, delta):
        assert delta == DELTA
        return 1000.0 + len(self.history) + sum(steps for _, _, steps in self.history)


class Wordy(Opacus):
    def get_epsilon(self, delta):
        warnings.warn("the best order is the last\nand more", UserWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return 7.0


class Failing(Opacus):
    def get_epsilon(self, delta):
        raise MemoryError


class Blank(Opacus):
    def get_epsilon(self, delta):
        return math.nan


def test_histories_are_what_opacus_keeps(planted):
    planted(
        opacus__accountants={"RDPAccountant": Opacus, "PRVAccountant": Wordy},
        riskcal__accountants={"CTDAccountant": Failing},
        prv_accountant={},
    )
    said = answers(events.Composed((SGD, events.Repeated(3, events.Gaussian(5.0)))))
    assert said["opacus RDP"] == PeerAnswer("opacus RDP", "9.9", 1205.0)
    assert said["opacus PRV"] == PeerAnswer("opacus PRV", "9.9", 7.0, "warned: the best order is the last")
    assert said["riskcal"] == PeerAnswer("riskcal", "9.9", None, "refused: MemoryError")
    assert said["prv-accountant"].note.startswith("refused: ")


def test_nan_is_no_answer_and_other_mechanisms_are_not_asked(planted, monkeypatch):
    monkeypatch.setattr(peers, "_PEERS", [peer for peer in peers._PEERS if peer[1] == "opacus"])
    planted(opacus__accountants={"RDPAccountant": Blank, "PRVAccountant": Blank})
    assert answers(SGD)["opacus RDP"].note == "refused: it answered nan"
    for event in (
        events.Laplace(1.0),
        events.PoissonSampled(0.1, REPLACE, events.Gaussian(1.0)),
        events.PoissonSampled(0.1, ADD, events.Laplace(1.0)),
        events.Composed(()),
    ):
        assert answers(event)["opacus RDP"].epsilon is None
        assert "nan" not in answers(event)["opacus RDP"].note


def test_where_nothing_is_installed_nothing_is_said(monkeypatch):
    def absent(package):
        raise peers.PackageNotFoundError(package)

    monkeypatch.setattr(peers, "version", absent)
    assert ask(SGD, DELTA) == []


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan, None, True, "1e-5"])
def test_delta_is_checked(delta):
    with pytest.raises(InvalidInput, match="delta"):
        ask(SGD, delta)


# ------------------------------------------------------------------------------------------ the sentence


@pytest.mark.parametrize(
    ("yours", "bracket", "said"),
    [
        (8.0, (7.41237, 7.41237), "Your 8.00 is [7.412, 7.413] at δ = 1e-05: 0.59 (7.9 %) more than is spent."),
        (
            7.0,
            (7.41237, 7.41237),
            "Your 7.00 is [7.412, 7.413] at δ = 1e-05: 0.41 (5.6 %) below what the mechanism really spends.",
        ),
        (7.5, (7.5, 7.5), "Your 7.50 is [7.5, 7.5] at δ = 1e-05: the same as our upper end."),
        (math.inf, (1.0, 1.0), "Your ∞ is [1, 1] at δ = 1e-05: it bounds nothing."),
        (3.0, (0.0, 4.0), "Your 3.00 is [0, 4] at δ = 1e-05: within the bracket, so neither proved nor refuted; the upper end is proved."),
        (
            3.0,
            (math.inf, math.inf),
            "Your 3.00 is [∞, ∞] at δ = 1e-05: below what the mechanism really spends; no ε holds at this δ.",
        ),
        (-0.5, (0.0, 0.0), "Your -0.50 is [0, 0] at δ = 1e-05: 0.5 below what the mechanism really spends."),
    ],
)  # fmt: skip
def test_the_sentence(yours, bracket, said):
    assert sentence(yours, Bracket(*bracket), DELTA) == said


@pytest.mark.parametrize("value", [7.412377, 123.4567, 8.6e-4, 1e-12, 0.5])
@pytest.mark.parametrize("relative", [1e-3, 1e-6, 1e-9, 1e-12])
def test_as_many_digits_as_tell_the_numbers_apart(value, relative):
    for yours in (value * (1 + relative), value * (1 - relative)):
        text = sentence(yours, Bracket(value, value), DELTA)
        mine, ends = text.removeprefix("Your ").split(" at ")[0].split(" is ")
        lower, upper = map(float, ends.strip("[]").split(", "))
        assert lower <= value <= upper
        assert (float(mine) > upper) == (yours > value)
        assert (float(mine) < lower) == (yours < value)


@pytest.mark.parametrize("yours", [math.nan, None, "8", True])
def test_a_sentence_needs_a_number(yours):
    with pytest.raises(InvalidInput, match="number"):
        sentence(yours, Bracket(1.0, 1.0), DELTA)
