"""Bugs planted one by one: each claim must notice its own."""

from __future__ import annotations

import pytest
import torch

from discreet.train.clipping import Method, SlowModule, engine, norms, probe, units
from discreet.train.clipping.layout import Layout
from discreet.train.clipping.norms import Length, Squares
from tests.unit.train.clipping import claims

METHODS = [Method.AUTO, Method.GHOST, Method.DIRECT, Method.LOOP]


@pytest.mark.parametrize("method", METHODS)
def test_tied_weights_have_their_cross_terms(method):
    claims.tied_equals_oracle(method)


def test_a_dropped_cross_term_is_noticed(monkeypatch):
    monkeypatch.setattr(units, "_with_cross_term", lambda product, lookup, each: each)
    with pytest.raises(AssertionError):
        claims.tied_equals_oracle(Method.GHOST)


def test_an_overwritten_use_is_noticed(monkeypatch):
    monkeypatch.setattr(units.Lookup, "add_rows", lambda self, rows, low, high: None)
    with pytest.raises(AssertionError):
        claims.tied_equals_oracle(Method.DIRECT)


def test_long_rows_are_measured():
    claims.long_rows_are_measured()


def test_a_norm_in_one_pass_is_noticed(monkeypatch):
    def one_pass(rows):
        flat = rows.flatten(1)
        return Length(torch.linalg.vector_norm(flat, dim=1), 0, flat.shape[1])

    monkeypatch.setattr(norms, "length", one_pass)
    with pytest.raises(AssertionError):
        claims.long_rows_are_measured()


@pytest.mark.parametrize("method", METHODS)
def test_bad_examples_add_nothing(method):
    claims.bad_examples_add_nothing(method)


@pytest.mark.parametrize("method", METHODS)
def test_using_a_norm_that_is_no_number_is_noticed(monkeypatch, method):
    monkeypatch.setattr(norms, "finite", lambda norm: torch.ones_like(norm.bound, dtype=torch.bool))
    with pytest.raises(AssertionError):
        claims.bad_examples_add_nothing(method)


def test_look_ups_that_cancel_spoil_no_other():
    claims.look_ups_that_cancel_spoil_no_other()


def test_adding_look_ups_term_by_term_is_noticed(monkeypatch):
    def total(self, factors, into):
        scaled = self.outgoing * factors[:, None, None]
        into.index_add_(0, self.places.flatten(), scaled.flatten(0, 1))

    monkeypatch.setattr(units.Lookup, "total", total)
    with pytest.raises(AssertionError):
        claims.look_ups_that_cancel_spoil_no_other()


@pytest.mark.parametrize("method", METHODS)
def test_padding_adds_nothing(method):
    claims.padding_adds_nothing(method)


def test_counted_padding_is_noticed(monkeypatch):
    monkeypatch.setattr(engine, "kept", lambda batch, real, examples: (batch, None))
    with pytest.raises(AssertionError):
        claims.padding_adds_nothing(Method.AUTO)


def test_rows_picked_by_data_keep_their_owner():
    with pytest.warns(SlowModule, match="picked"):
        claims.rows_picked_by_data_keep_their_owner()


@pytest.mark.filterwarnings("ignore:numbers of the batch")
def test_not_looking_at_every_batch_is_noticed(monkeypatch):
    monkeypatch.setattr(engine, "confirm", lambda once, weighted, notes, weights: None)
    with pytest.raises(AssertionError):
        claims.rows_picked_by_data_keep_their_owner()


def test_examples_are_found_by_more_than_shape():
    claims.examples_are_found_by_more_than_shape()


def test_guessing_the_first_axis_is_noticed(monkeypatch):
    def guess(record, batch, notes, places):
        notes.layouts["guessed"] = {}

    def layout(notes, key, leaf, trace, examples):
        return Layout(0, "first" if key[1].endswith("/2") else "alone")

    monkeypatch.setattr(engine.Notes, "layout", layout)
    monkeypatch.setattr(engine, "find_layouts", guess)
    with pytest.raises(AssertionError):
        claims.examples_are_found_by_more_than_shape()


def test_an_error_not_bounded_is_noticed(monkeypatch):
    """A bound that is the computed value itself falls below the truth somewhere among random rows."""
    rows = torch.randn(4000, 997, generator=torch.Generator().manual_seed(1))
    true = rows.double().square().sum(1)

    def holds():
        assert (norms.squares(rows).bound.double() >= true).all()

    holds()
    monkeypatch.setattr(norms, "raised", lambda value, operations, numbers: value)
    with pytest.raises(AssertionError):
        holds()


def test_bounds_hold_for_products_that_cancel():
    """Ghost norms of positions that cancel: the bound stays above, whatever is computed."""
    generator = torch.Generator().manual_seed(2)
    left = torch.randn(200, 6, 40, generator=generator)
    right = torch.randn(200, 6, 30, generator=generator)
    left[:, 3:], right[:, 3:] = -left[:, :3], right[:, :3] * (1 + 1e-6)
    found: Squares = units.Product(left, right).squares()
    true = torch.einsum("btp,btd->bpd", left.double(), right.double()).square().sum((1, 2))
    assert (found.bound.double() >= true).all()
    assert probe.ROWS == 3
