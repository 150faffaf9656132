"""Hugging Face's models, padded sequences and adapters against one example at a time."""

from __future__ import annotations

import warnings

import pytest
import torch

from discreet.errors import InvalidInput
from discreet.train.clipping import Flat, Method, SlowModule, check, clipped_sum, engine

pytest.importorskip("transformers")
pytest.importorskip("peft")
from tests.unit.train.clipping.hugging import MODELS, PAD, build, pictures, words
from tests.unit.train.clipping.oracle import distance, each_gradient, flat_sum, norm

# Masks of two axes: these models ask them whether anybody is padded.
pytestmark = pytest.mark.filterwarnings("ignore:numbers of the batch:discreet.train.clipping.SlowModule")
ALL = 1e6  # longer than any gradient here: nothing is shortened, and no guard of a norm shows


@pytest.mark.parametrize("name", MODELS)
def test_equals_one_example_at_a_time(name):
    case = build(name)
    gradients = each_gradient(case.model, case.loss, case.batch)
    norms = torch.tensor([norm(gradient) for gradient in gradients])
    middle = float(norms.median()) * 0.99  # some are shortened, some are not
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*one example at a time", SlowModule)  # these go the fast way
        for method in (Method.AUTO, Method.DIRECT, Method.GHOST):
            whole = clipped_sum(case.model, case.loss, case.batch, Flat(ALL), method=method, microbatch=3)
            assert distance(whole.sums, flat_sum(gradients, ALL)) < 1e-5, method
            assert torch.allclose(whole.private_norms, norms, rtol=1e-5), method
            got = clipped_sum(case.model, case.loss, case.batch, Flat(middle), method=method, microbatch=3)
            assert distance(got.sums, flat_sum(gradients, middle)) < 1e-4, method  # a norm's guard shortens by as much


@pytest.mark.parametrize("name", MODELS)
def test_fits_for_training(name):
    """Dropout is on, as it will be; what is frozen has no sum."""
    case = build(name)
    check(case.model.train(), case.loss, case.batch)
    sums = clipped_sum(case.model, case.loss, case.batch, Flat(1.0)).sums
    assert sums.keys() == {name for name, p in case.model.named_parameters() if p.requires_grad}
    adapted = [name for name in sums if "lora_" in name]
    assert bool(adapted) == ("lora" in name)
    assert all(float(sums[name].norm()) > 0 for name in adapted)


@pytest.mark.parametrize("name", [n for n in MODELS if "lora" not in n and MODELS[n][1] is not pictures])
def test_what_stands_in_padding_counts_for_nothing(name):
    case = build(name)
    there = case.batch["attention_mask"].bool()
    noise = torch.randint(1, 50, there.shape)
    other = case.batch | {"input_ids": torch.where(there, case.batch["input_ids"], noise)}
    assert case.batch["input_ids"][~there].eq(PAD).all()
    one, two = (clipped_sum(case.model, case.loss, batch, Flat(0.5)) for batch in (case.batch, other))
    assert distance(two.sums, {name: value.double() for name, value in one.sums.items()}) < 1e-5
    assert torch.allclose(one.private_norms, two.private_norms, rtol=1e-5)


def test_a_loss_that_divides_by_all_words_of_the_batch_is_refused():
    """The mean that a Hugging Face model returns by itself is one: a long text makes the others' gradients shorter."""
    case = build("gpt-2, tied")

    def own(model, batch):
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        return model(**batch, labels=labels, use_cache=False).loss.expand(len(labels))

    with pytest.raises(InvalidInput, match="with the other examples in its batch"):
        check(case.model, own, case.batch)
    assert words(case.model, case.batch).shape == (5,)


def wide(loss):
    """Return the loss with a mask of four axes; padding comes last."""

    def masked(model, batch):
        there = batch["attention_mask"]
        mask = torch.zeros(there.shape).masked_fill(there == 0, -torch.inf)[:, None, None, :]
        if loss is words:
            mask = torch.full((there.shape[1],) * 2, -torch.inf).triu(1)[None, None]
        return loss(lambda **given: model(**(given | {"attention_mask": mask})), batch)

    return masked


@pytest.mark.parametrize("name", ["llama, tied", "gemma 2, tied", "bert"])
def test_a_mask_of_four_axes_says_the_same_and_needs_no_second_look(name, monkeypatch):
    case = build(name)
    with pytest.warns(SlowModule, match="mask of four axes"):
        expected = clipped_sum(case.model, case.loss, case.batch, Flat(ALL)).sums
    monkeypatch.setattr(engine, "confirm", None)  # what looks at a batch again
    got = clipped_sum(case.model, wide(case.loss), case.batch, Flat(ALL)).sums
    assert distance(got, {name: value.double() for name, value in expected.items()}) < 1e-5


@pytest.mark.parametrize("name", ["llama, tied", "llama with lora", "bert"])
def test_in_bfloat16_one_example_moves_the_sum_by_its_own_share(name):
    case = build(name)
    masked = wide(case.loss)

    def loss(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return masked(model, batch).float()

    with warnings.catch_warnings():
        warnings.simplefilter("error", SlowModule)
        check(case.model, loss, case.batch)
        most = Flat(float(clipped_sum(case.model, loss, case.batch, Flat(ALL)).private_norms.median()))
        whole = clipped_sum(case.model, loss, case.batch, most, microbatch=2).sums
        less = {key: value[1:] for key, value in case.batch.items()}
        less = clipped_sum(case.model, loss, less, most, microbatch=2).sums
        own = {key: value[:1] for key, value in case.batch.items()}
        own = clipped_sum(case.model, loss, own, most).sums
    share = {key: whole[key].double() - less[key].double() for key in whole}
    assert norm(share) <= most.max_norm * (1 + 1e-6)
    assert norm({key: share[key] - own[key].double() for key in share}) < 1e-5 * most.max_norm
