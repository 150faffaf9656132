"""A private selection: one charge for all runs, of which the best leaves and nothing else; the same when taken up again."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from discreet import Domain, PrivacyUnit, Relation, events, train
from discreet.errors import BudgetExceeded, DataFailure, InvalidInput, UnsupportedEvent
from discreet.mechanisms.coins import uniform_integers
from discreet.testing import with_fixed_randomness
from discreet.testing.rng import FixedRng
from discreet.train import choosing
from discreet.train.selection import Best, Bits, best_of
from discreet.train.state import State
from tests.choosing import CANDIDATES, build, choose, score, selection
from tests.training import ROWS, bits, dataset, ledger, loss, plan, rows

SEED = 4  # four runs


@pytest.fixture
def data(tmp_path):
    return with_fixed_randomness(dataset(tmp_path), seed=SEED)


def kinds(data):
    return [entry.kind for entry in data.ledger.entries("people")]


def key():
    return train.Keystream(FixedRng(SEED).bytes(32))


# ------------------------------------------------------------------------------------------- plans


def test_a_selection_costs_more_than_a_run_and_is_calibrated():
    alone = plan(noise_multiplier=None, steps=20)
    for shape in (None, 1.0):
        found = train.Selection(alone, mean_runs=5, shape=shape).calibrate(2.0, 1e-5)
        assert 1.98 < found.epsilon(1e-5).upper <= 2.0
        assert found.plan.noise_multiplier > 1.2 * alone.calibrate(2.0, 1e-5).noise_multiplier
        assert "for all runs together" in str(found)
        assert "One run by itself" in str(found)


def test_its_event_is_that_of_the_runs_within_that_of_the_law():
    one = selection(mean_runs=4, shape=0)
    assert one.event == events.PrivateSelection(4.0, 0.0, one.plan.event)
    assert selection(mean_runs=4).event == events.PoissonSelection(4.0, one.plan.event)
    assert "logarithmic of mean 4" in str(one)
    assert "shape 0.5" in str(selection(shape=0.5))
    assert "not calibrated" in str(selection(plan=plan(noise_multiplier=None)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mean_runs": 0.5}, "mean_runs"),
        ({"mean_runs": 1, "shape": 1.0}, "above 1"),
        ({"mean_runs": float("nan")}, "mean_runs"),
        ({"shape": -1.0}, "shape"),
        ({"shape": 2.0}, "shape"),
        ({"plan": "a plan"}, "DPSGD"),
    ],
)
def test_what_is_no_selection_is_refused(changes, told):
    with pytest.raises(InvalidInput, match=told):
        selection(**changes)


def test_a_target_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="target_epsilon"):
        selection(plan=plan(noise_multiplier=None)).calibrate(0, 1e-5)


def test_runs_by_other_samplers_have_a_bound():
    for sampler, settled in (
        (train.Cyclic(0.3, 4), {}),
        (train.FixedSize(7), {"records": ROWS, "relation": Relation.REPLACE_ONE}),
    ):
        one = plan(sample_rate=None, sampler=sampler, noise_multiplier=4.0, **settled)
        for shape in (None, 1.0):
            found = selection(plan=one, shape=shape)
            assert one.epsilon(1e-5).upper < found.epsilon(1e-5).upper < 4 * one.epsilon(1e-5).upper


def test_runs_without_a_renyi_bound_are_refused():
    with pytest.raises(UnsupportedEvent, match="Allocation"):
        selection(plan=plan(sample_rate=None, sampler=train.Allocation(1)))


# ------------------------------------------------------------------------------------- what it does


def by_hand(one):
    """Take all runs in memory, and return (score, candidate, parameters) of each: a loop of our own."""
    stream, found = key(), []
    for number in range(one.runs(stream)):
        own = train.Keystream(stream.words("run", number, 4).tobytes())
        which = int(uniform_integers(1, len(CANDIDATES), Bits(own, "candidate"))[0])
        torch.manual_seed(int(own.words("build", 0, 1)[0]))
        setup = build(CANDIDATES[which])
        settings = plan(noise_multiplier=3.0, max_grad_norm=setup.max_grad_norm)
        inputs, labels = rows()
        noise = train.KeyedNoise(own)
        for step in range(settings.steps):
            who = settings.drawn_by.batch(own, step, units=ROWS, steps=settings.steps)
            batch = (inputs[who], labels[who])
            sums = train.clipped_sum(setup.model, loss, batch, train.Flat(setup.max_grad_norm), microbatch=16).sums
            for name, parameter in setup.model.named_parameters():
                noise.add(sums[name], std=settings.noise_std, step=step, tensor=name)
                parameter.grad = sums[name] / settings.expected_batch_size
            setup.optimizer.step()
        with torch.no_grad():
            found.append((score(setup.model), which, setup.model))
    return found


def test_it_releases_the_best_of_the_runs_that_its_key_names(tmp_path, data):
    release = choose(data, tmp_path)
    runs = by_hand(selection())
    assert len(runs) > 2
    _, which, net = max(runs, key=lambda run: run[0])
    assert release.facts["selection"]["chosen"] == CANDIDATES[which]
    mine = train.load(release, build(CANDIDATES[which]).model)
    for ours, theirs in zip(mine.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert kinds(data) == ["open", "charge", "release"]
    assert release.guarantee.epsilon == selection().epsilon(1e-5).upper
    assert "secret number" in release.facts["sentence"]


def test_a_finished_one_is_answered_from_its_release(tmp_path, data, monkeypatch):
    first = choose(data, tmp_path)
    monkeypatch.setattr(choosing._Runs, "take", None)
    assert choose(data, tmp_path).files == first.files
    assert kinds(data) == ["open", "charge", "release"]
    assert not list((tmp_path / "private").iterdir())


def test_rows_are_read_after_the_charge(tmp_path, data, monkeypatch):
    seen = []
    monkeypatch.setattr(choosing.Work, "resume", lambda *_: seen.append(kinds(data)) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        choose(data, tmp_path)
    assert seen == [["open", "charge"]]


def test_nothing_of_the_other_runs_is_released(tmp_path, data):
    release = choose(data, tmp_path)
    (text,) = (json.loads(path.read_text()) for path in (tmp_path / "releases").rglob("release.json"))
    assert set(release.facts["selection"]) == {
        "candidates", "chosen", "law", "mean_runs", "shape", "score", "score_noise", "provenance"
    }  # fmt: skip
    names = set(text["facts"]) - {"selection"}
    assert names >= {"kind", "sentence", "steps_taken"}
    assert not any("score" in name or "run" in name for name in names)
    assert release.facts["selection"]["score"] == "on public data"


def test_when_there_is_no_run_nothing_is_released(tmp_path, data, monkeypatch):
    monkeypatch.setattr(train.Selection, "runs", lambda *_: 0)
    release = choose(data, tmp_path)
    assert release.facts["selection"]["chosen"] is None
    assert release.value.num_rows == 0
    with pytest.raises(InvalidInput, match="holds no model"):
        train.load(release, build(CANDIDATES[0]).model)


# ------------------------------------------------------------------------ a score on private records


def correct(net, batch):
    return net(batch[0]).argmax(1) == batch[1]


def test_a_score_on_private_records_is_their_count_with_noise(tmp_path, data, monkeypatch):
    seen, real = [], Best.offer

    def offer(self, which, score, tensors):
        seen.append((which, score, tensors))
        real(self, which, score, tensors)

    monkeypatch.setattr(Best, "offer", offer)
    one = selection(score_noise=2.0)
    release = choose(data, tmp_path, selection=one, score=correct)
    for number, (which, told, tensors) in enumerate(seen):
        net = build(CANDIDATES[which]).model
        net.load_state_dict(tensors)
        own = train.Keystream(key().words("run", number, 4).tobytes())
        noise = train.KeyedNoise(own).fresh(one.plan.steps, "score", 1)
        assert told == pytest.approx(int(correct(net, rows()).sum()) + 2.0 * float(noise[0]))
    assert len(seen) > 2
    best = max(seen, key=lambda run: run[1])
    assert release.facts["selection"]["chosen"] == CANDIDATES[best[0]]
    assert not any("public data alone" in text for text in release.guarantee.assumptions)


def test_a_score_on_private_records_is_charged(tmp_path, data):
    one = selection(score_noise=2.0)
    assert one.event == events.PoissonSelection(3.0, events.Composed((one.plan.event, events.Gaussian(2.0))))
    assert "noise of 2" in str(one)
    choose(data, tmp_path, selection=one, score=correct)
    (charge,) = (entry for entry in data.ledger.entries("people") if entry.kind == "charge")
    assert charge.body["event"] == events.to_dict(one.event)
    assert one.epsilon(1e-5).upper > 1.01 * selection().epsilon(1e-5).upper


def test_a_score_that_does_not_say_it_of_each_record_is_refused(tmp_path, data):
    one = selection(score_noise=2.0)

    def among_others(net, batch):
        out = net(batch[0])
        return out[:, 0] >= out[:, 0].mean()

    refused(tmp_path, data, "True and False", selection=one, score=lambda net, batch: correct(net, batch).float())
    refused(tmp_path, data, "True and False", selection=one, score=lambda net, batch: correct(net, batch).all())
    refused(tmp_path, data, "among others", selection=one, score=among_others)
    with pytest.raises(InvalidInput, match="score_noise"):
        selection(score_noise=0)


def test_people_with_several_rows_are_not_counted(tmp_path):
    unit = PrivacyUnit(column="who", max_rows=2)
    inputs, labels = rows()
    source = {"x": inputs, "y": labels, "who": torch.arange(ROWS) // 2}
    data = dataset(tmp_path, source, unit=unit, domain=Domain(who="integer"))
    example = {name: part[:3] for name, part in source.items()}
    refused(tmp_path, data, "2 rows each", selection=selection(score_noise=2.0), score=correct, example=example)


# ---------------------------------------------------------------------------------- taken up again


def interrupted(tmp_path, data, monkeypatch, after, **changes):
    """Select, and stop with an interruption once `after` steps were taken."""
    taken, real = [0], choosing.Work.take

    def take(self, batch):
        if taken[0] == after:
            raise KeyboardInterrupt
        taken[0] += 1
        real(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(choosing.Work, "take", take)
        with pytest.raises(KeyboardInterrupt):
            choose(data, tmp_path, **changes)


@pytest.mark.parametrize("after", [0, 5, 12, 17])
def test_taken_up_again_it_comes_out_the_same(tmp_path, data, monkeypatch, after):
    whole = choose(with_fixed_randomness(dataset(tmp_path / "whole"), seed=SEED), tmp_path / "whole")
    interrupted(tmp_path, data, monkeypatch, after, checkpoint_every=4)
    again = choose(data, tmp_path, checkpoint_every=4)
    assert again.files == whole.files
    assert kinds(data) == ["open", "charge", "release"]


def test_a_step_that_comes_out_otherwise_stops_it(tmp_path, data, monkeypatch):
    interrupted(tmp_path, data, monkeypatch, 5)
    inputs, labels = rows()
    object.__setattr__(data, "source", (inputs + 1.0, labels))  # the rows changed, and their version did not
    with pytest.raises(DataFailure, match="came out otherwise"):
        choose(data, tmp_path)


def test_a_score_that_fails_says_nothing_and_can_be_asked_again(tmp_path, data):
    broken = [True]

    def told(net):
        if broken[0] and net.training and torch.isfinite(next(net.parameters())).all() and kinds(data)[-1] == "charge":
            raise ValueError("0.123 of a private model")
        return score(net)

    with pytest.raises(DataFailure) as failure:
        choose(data, tmp_path, score=told)
    assert "0.123" not in str(failure.value)
    assert failure.value.__cause__ is None
    broken[0] = False
    choose(data, tmp_path, score=told)
    assert kinds(data) == ["open", "charge", "release"]


def test_first_weights_batches_and_noise_are_new_in_each_run(tmp_path, data, monkeypatch):
    seen, real = [], choosing.Work.take

    def take(self, batch):
        if batch.step == 0:
            seen.append((bits(self.step.model), batch.indices, self.step.noise.standard(0, "w", 4)))
        real(self, batch)

    monkeypatch.setattr(choosing.Work, "take", take)
    choose(data, tmp_path, candidates=CANDIDATES[:1])
    assert len(seen) > 2
    for i, (weights, batch, noise) in enumerate(seen):
        for other, second, third in seen[:i]:
            assert weights != other
            assert not np.array_equal(batch, second)
            assert not torch.equal(noise, third)


def test_settings_whose_clip_moves_and_whose_optimizer_knows_the_noise(tmp_path, data, monkeypatch):
    """Taken up again, they come out the same too."""

    def moving(candidate):
        setup, settings = build(candidate), plan(noise_multiplier=3.0, max_grad_norm=candidate["norm"])
        optimizer = train.PrivateAdam(setup.model.parameters(), settings, lr=candidate["lr"])
        return dataclasses.replace(setup, clip=train.Quantile(candidate["norm"]), optimizer=optimizer)

    whole = choose(with_fixed_randomness(dataset(tmp_path / "whole"), seed=SEED), tmp_path / "whole", build=moving)
    interrupted(tmp_path, data, monkeypatch, 17, build=moving, checkpoint_every=4)
    assert choose(data, tmp_path, build=moving, checkpoint_every=4).files == whole.files


def turned(batch):
    inputs, labels = batch
    return inputs + 0.1 * torch.randn_like(inputs), labels


def test_what_one_candidate_alone_assumes_is_said_of_all(tmp_path, data):
    def varied(candidate):
        return dataclasses.replace(
            build(candidate), augment=train.Augment(turned, 2) if candidate["lr"] > 0.3 else None
        )

    assert sum("variant" in text for text in choose(data, tmp_path, build=varied).guarantee.assumptions) == 1


def test_a_folder_of_another_process_is_refused(tmp_path, data):
    request = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(State, "held", lambda self: request.append(self.folder) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            choose(data, tmp_path)
    with State(request[0]).held(), pytest.raises(InvalidInput, match="another process"):
        choose(data, tmp_path)


# ------------------------------------------------------------------------------------------ refusals


def refused(tmp_path, data, told, **changes):
    with pytest.raises(InvalidInput, match=told):
        choose(data, tmp_path, **changes)
    assert kinds(data) == ["open"]
    assert not list(tmp_path.glob("private/*"))


def test_bad_arguments_are_refused_and_nothing_is_spent(tmp_path, data):
    refused(tmp_path, data, "at least one setting", candidates=[])
    refused(tmp_path, data, "plain|finite numbers", candidates=[{"lr": float("inf")}])
    refused(tmp_path, data, "finite numbers", candidates=[nn.Linear(1, 1)])
    refused(tmp_path, data, "Selection", selection=plan())
    refused(tmp_path, data, "Setup", build=lambda _: nn.Linear(4, 2))
    refused(tmp_path, data, "must return a number", score=lambda _: "good")
    refused(tmp_path, data, "microbatch", microbatch=0)
    refused(tmp_path, data, "noise_multiplier", selection=selection(plan=plan(noise_multiplier=None)))
    refused(tmp_path, data, "relation", selection=selection(plan=plan(relation=Relation.REPLACE_ONE)))


def test_autocast_around_a_selection_is_refused(tmp_path, data):
    with torch.autocast("cpu", torch.bfloat16):
        refused(tmp_path, data, "autocast")


def test_a_model_that_goes_on_from_another_run_is_refused(tmp_path, data):
    net = nn.Linear(4, 2)

    def same(candidate):
        return train.Setup(model=net, optimizer=torch.optim.SGD(net.parameters(), lr=1.0), loss=loss)

    refused(tmp_path, data, "returned before", build=same)


def test_first_weights_that_torch_does_not_draw_are_refused(tmp_path, data):
    dice = torch.Generator()

    def drawn(candidate):
        setup = build(candidate)
        with torch.no_grad():
            setup.model[0].weight.normal_(generator=dice)
        return setup

    refused(tmp_path, data, "different first weights", build=drawn)


def test_settings_that_torch_draws_are_refused(tmp_path, data):
    def drawn(candidate):
        norm = 0.4 * float(torch.rand(1)) + 0.05
        return dataclasses.replace(build(candidate), clip=train.Flat(norm), max_grad_norm=0.5)

    refused(tmp_path, data, "other first weights", build=drawn)


@pytest.mark.parametrize("wrong", ["clip", "lr", "type", "mixing"])
def test_a_run_that_is_not_what_was_charged_is_refused(tmp_path, data, wrong, monkeypatch):
    """All is well whenever it is tried, and otherwise once it is charged."""
    monkeypatch.setattr(choosing.Work, "resume", lambda *_: pytest.fail("rows were opened"))

    def changed(candidate):
        setup = build(candidate)
        if kinds(data) == ["open"]:
            return setup
        if wrong == "clip":  # the noise is for max_grad_norm
            return dataclasses.replace(setup, clip=train.Flat(7 * candidate["norm"]))
        if wrong == "lr":
            setup.optimizer.param_groups[0]["lr"] *= 2
        if wrong == "mixing":
            setup.model.forward = lambda batch: nn.Sequential.forward(setup.model, batch) * batch.mean()
        return None if wrong == "type" else setup

    with pytest.raises(InvalidInput, match="what was charged") as caught:
        choose(data, tmp_path, build=changed)
    assert "charge stands" in str(caught.value)
    assert not any(repr(value) in str(caught.value) for value in (*CANDIDATES, 3.5, 7.0))
    assert caught.value.__cause__ is None
    assert kinds(data) == ["open", "charge"]


def test_each_run_is_tried_on_public_rows_before_its_first_private_batch(tmp_path, data, monkeypatch):
    """How a model computes is found out once, and must not be found out on private rows."""
    tried, real, taken = set(), train.Setup.check, choosing.Work.take

    def check(self, example):
        tried.add(self.model)
        real(self, example)

    def take(self, batch):
        assert self.step.model in tried
        taken(self, batch)

    monkeypatch.setattr(train.Setup, "check", check)
    monkeypatch.setattr(choosing.Work, "take", take)
    interrupted(tmp_path, data, monkeypatch, 5)
    choose(data, tmp_path)


def test_a_candidate_that_cannot_be_private_is_refused(tmp_path, data):
    def normed(candidate):
        setup = build(candidate)
        net = nn.Sequential(setup.model, nn.BatchNorm1d(2)) if candidate["lr"] > 0.3 else setup.model
        return dataclasses.replace(setup, model=net, optimizer=torch.optim.SGD(net.parameters(), lr=1.0))

    refused(tmp_path, data, "BatchNorm", build=normed)


@pytest.mark.parametrize("measure", ["zcdp", "pure"])
def test_an_account_that_has_no_bound_is_refused_before_anything_is_spent(tmp_path, measure):
    changes = {"measure": measure} | ({"delta": 0.0} if measure == "pure" else {})
    data = dataset(tmp_path, ledger=ledger(unit=PrivacyUnit(), **changes))
    refused(tmp_path, data, f"measured in {measure}.*\n.*\n.*renyi")


def test_what_the_account_does_not_hold_is_refused_and_leaves_nothing(tmp_path):
    data = dataset(tmp_path, ledger=ledger(epsilon=0.5))
    with pytest.raises(BudgetExceeded):
        choose(data, tmp_path)
    assert kinds(data) == ["open"]
    assert not list((tmp_path / "private").glob("*"))


# ---------------------------------------------------------------------------------------- the best


def test_ties_and_scores_that_are_no_numbers():
    best = Best()
    for which, value in enumerate([float("nan"), -1.0, 2.0, 2.0, float("nan")]):
        best.offer(which, value, {"w": torch.tensor(float(which))})
    assert (best.which, best.score) == (2, 2.0)
    assert repr(best) == "Best(hidden)"


def test_the_number_of_runs_and_their_candidates_follow_from_the_key():
    def taken(stream):
        found = []
        best_of(selection(), stream, 5, lambda *told: found.append(told[:2]) or (0.0, {}), Best())
        return found

    assert taken(key()) == taken(key())
    assert taken(key()) != taken(train.Keystream(bytes(32)))
