"""Estimators for tables: features follow from the Domain alone, any cell is read as something, a release is enough."""

from __future__ import annotations

import datetime
import json
import math
import traceback
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from sklearn.base import clone

from discreet import PrivacyUnit, Relation, train
from discreet.domains import Column, Domain
from discreet.errors import BudgetExceeded, DataFailure, InvalidInput
from discreet.release import Release
from discreet.testing import with_fixed_randomness
from discreet.train.tables import PrivateClassifier, PrivateRegressor
from discreet.train.tables.cells import Cells
from discreet.train.tables.features import Choice, Features, Number, feature_of, target_of
from discreet.train.tables.net import Loss, Net
from discreet.train.work import Work
from tests.training import bits, dataset, ledger

DOMAIN = Domain(
    age=(0, 100),
    note="text",  # says too little: no feature
    ward=["A", "B", "C"],
    ill=[False, True],
    cost=(0.0, 500.0),
)
SETTINGS = {
    "target": "ill",
    "epsilon": 8.0,
    "delta": 1e-5,
    "sample_rate": 0.2,
    "expected_batch_size": 100,
    "steps": 25,
}
ROWS = 500


def table(rows=ROWS):
    """Return rows, the same every time: the old of ward A are ill, and each ill one costs more."""
    age = [(17 * i) % 101 for i in range(rows)]
    ward = ["ABC"[i % 3] for i in range(rows)]
    ill = [a > 50 if w == "A" else a > 90 for a, w in zip(age, ward, strict=True)]
    cost = [300.0 + a if sick else 1.5 * a for a, sick in zip(age, ill, strict=True)]
    return pyarrow.table({"age": age, "ward": ward, "ill": ill, "cost": cost, "note": ["x"] * rows})


def data(folder, source=None, **changes):
    return dataset(folder, table() if source is None else source, **({"domain": DOMAIN} | changes))


def classifier(**changes):
    return PrivateClassifier(**(SETTINGS | {"learning_rate": 0.1} | changes))


def charges(rows):
    return [entry for entry in rows.ledger.entries("people") if entry.kind == "charge"]


def fitted(folder, estimator, source=None, name="m", **changes):
    rows = data(folder, source, **changes)
    return estimator.fit(with_fixed_randomness(rows, seed=3), name=name, private=folder / "private"), rows


# ------------------------------------------------------------------------------------------ features


def encoded(column, declared):
    features = Features(Domain(x=declared), frozenset())
    return Cells(pyarrow.table({"x": column}), features, None, None).take(slice(None))[0].tolist()


INF = math.inf


@pytest.mark.parametrize(
    ("declared", "cells", "wanted"),
    [
        ((0, 100), [0, 100, 50, 25, -7, 1000, None], [-1, 1, 0, -0.5, -1, 1, None]),
        ((0.0, 1.0), [0.25, math.nan, INF, -INF, None], [-0.5, None, None, None, None]),
        ((0, 10), ["5", " 10 ", "ten", "", "nan", "1e400", None], [0, 1, None, None, None, None, None]),
        ((0, 10), [True, False], [-0.8, -1]),
        ((0, 10), [Decimal("2.5"), None], [-0.5, None]),
        ((0, 10), [[1], [2]], [None, None]),
        ((datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)), [datetime.date(2024, 1, 2), None], [0, None]),
        ((datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)), ["2024-01-03", "soon"], [1, None]),
        (
            (datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)),
            [datetime.datetime(2024, 1, 1, 9, tzinfo=datetime.UTC)],
            [-1],
        ),
    ],
)
def test_numbers_are_scaled_by_their_declared_bounds_and_null_has_an_input(declared, cells, wanted):
    expected = [[0, 1] if value is None else [value, 0] for value in wanted]
    assert encoded(cells, declared) == [pytest.approx(row) for row in expected]


@pytest.mark.parametrize(
    ("declared", "cells", "wanted"),
    [
        (["A", "B"], ["B", "A", "C", "a", "", None], [1, 0, None, None, None, None]),
        (["A", None], ["A", None, "C"], [0, 1, None]),
        (["1", "2"], [2, 1, 3], [1, 0, None]),
        ([3, 7], [7, 3, 5, None], [1, 0, None, None]),
        ([3, 7], [7.0, 7.5, math.nan], [1, None, None]),
        ([3, 7], ["7", "seven"], [1, None]),
        ([3, None], [4, None], [None, 1]),
        ("boolean", [True, False, None], [1, 0, None]),
        ("boolean", ["true", "f", "maybe"], [1, 0, None]),
        ("boolean", [1, 0, 2], [1, 0, None]),
        ([False], [True, False], [None, 0]),
        ([datetime.date(2024, 1, 1)], [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], [0, None]),
        (["A", "B"], [["A"], ["B"]], [None, None]),
        (Column("integer", low=0, high=9, keys=(1, 2)), [2, 5], [1, None]),
    ],
)
def test_each_declared_key_has_an_input_and_the_unknown_has_none(declared, cells, wanted):
    width = Features(Domain(x=declared), frozenset()).width
    expected = [[float(place == value) for place in range(width)] for value in wanted]
    assert encoded(cells, declared) == expected


BAD_TEXT = pyarrow.array([b"\xff", b"5"]).view(pyarrow.string())
NEVER = pyarrow.array([2**31 - 1, 0], pyarrow.int32()).view(pyarrow.date32())
NANO = pyarrow.array([86_400 * 10**9 + 1, None], pyarrow.timestamp("ns"))


@pytest.mark.parametrize(
    ("declared", "column", "wanted"),
    [
        ((0, 10), pyarrow.nulls(2), [[0, 1], [0, 1]]),
        ((0, 10), BAD_TEXT, [[0, 1], [0, 0]]),
        ((0, 10), pyarrow.array(np.array([5, np.nan], np.float16)), [[0, 0], [0, 1]]),
        ((0, 10), pyarrow.array([Decimal(10) ** 40, None], pyarrow.decimal256(50)), [[1, 0], [0, 1]]),
        ((0, 10), pyarrow.array([5, 2**64 - 1], pyarrow.uint64()), [[0, 0], [1, 0]]),
        ((0, 10), pyarrow.array(["5", None], pyarrow.string_view()), [[0, 0], [0, 1]]),
        ((datetime.date(1970, 1, 1), datetime.date(1970, 1, 3)), NEVER, [[0, 1], [-1, 0]]),
        ((datetime.date(1970, 1, 1), datetime.date(1970, 1, 3)), NANO, [[0, 0], [0, 1]]),
        (["5"], pyarrow.nulls(2), [[0], [0]]),
        (["5"], BAD_TEXT, [[0], [1]]),
        (["5", None], BAD_TEXT, [[0, 1], [1, 0]]),
        (["5"], pyarrow.array(["5", "6"], pyarrow.string_view()), [[1], [0]]),
        ([datetime.date(1970, 1, 1)], NEVER, [[0], [1]]),
        ([datetime.date(1970, 1, 2)], NANO, [[1], [0]]),
    ],
)
def test_no_type_of_column_fails_the_reading(declared, column, wanted):
    assert encoded(column, declared) == wanted


@pytest.mark.parametrize("zone", ["Europe/Berlin", "+05:00", "No/Where", "UTC"])
def test_the_day_of_an_instant_is_that_of_utc_whatever_zone_it_is_stored_with(zone):
    instant = datetime.datetime(2023, 12, 31, 23, 30, tzinfo=datetime.UTC)
    column = pyarrow.array([instant], pyarrow.timestamp("us", zone))
    eve, after = datetime.date(2023, 12, 31), datetime.date(2024, 1, 1)
    assert encoded(column, (eve, after)) == [[-1, 0]]
    assert encoded(column, [eve, after]) == [[1, 0]]
    assert encoded(column.dictionary_encode(), [eve, after]) == [[1, 0]]
    assert encoded(column, ["2023-12-31 23:30:00+00:00"]) == [[1]]


def test_nothing_is_read_off_the_rows():
    """How a row is encoded does not change with the others, nor what there is to encode."""
    features = Features(DOMAIN, frozenset(["ill"]))
    rows = table(60)
    whole = Cells(rows, features, None, None).take(slice(None))[0]
    for place in range(60):
        alone = Cells(rows.slice(place, 1), features, None, None).take(slice(None))[0]
        assert torch.equal(alone[0], whole[place])
    assert features.names == ["age", "age is NULL", "cost", "cost is NULL", "ward = 'A'", "ward = 'B'", "ward = 'C'"]
    assert len(features.names) == features.width == whole.shape[1]
    assert features.made_up().shape == (4, 7)


def test_every_kind_of_table_is_read_alike(tmp_path):
    rows = table(50).set_column(0, "age", pyarrow.array([None, *range(49)]))
    path = tmp_path / "rows.parquet"
    parquet.write_table(rows, path)
    frame = rows.to_pandas()
    words = rows.set_column(1, "ward", rows["ward"].dictionary_encode())
    parts = pyarrow.concat_tables([rows.slice(0, 20), rows.slice(20)])
    shouted = rows.rename_columns([name.upper() for name in rows.column_names])
    features, target = Features(DOMAIN, frozenset(["ill"])), feature_of("ill", DOMAIN["ill"])
    wanted = Cells(rows, features, target, None).take(slice(None))
    for source in (path, frame, frame.astype(object), polars.from_arrow(rows), words, parts, shouted):
        found = Cells(source, features, target, None).take(slice(None))
        assert all(map(torch.equal, found, wanted))


def test_one_odd_cell_does_not_fail_a_fit(tmp_path):
    class Odd:
        __hash__ = None

        def __str__(self):
            raise RuntimeError

        def __eq__(self, other):
            raise RuntimeError

    frame = table().to_pandas().astype(object)
    for column, odd in (("age", 2**70), ("ward", "\ud800"), ("ill", Odd()), ("cost", Odd())):
        frame.loc[3, column] = odd
    unit, frame["who"] = (
        PrivacyUnit(column="who", max_groups=1),
        pandas.Series([*range(ROWS - 1), "\ud800"], dtype=object),
    )
    found, _ = fitted(tmp_path, classifier(steps=1), frame, unit=unit, domain=Domain(who="text", **DOMAIN))
    assert len(found.predict(frame)) == ROWS


def test_a_target_that_is_not_known_teaches_nothing():
    for column, cells in (("ill", [True, None]), ("cost", [250.0, None]), ("cost", [0.0, math.nan])):
        target = target_of(DOMAIN, column, Choice if column == "ill" else Number)
        rows = pyarrow.table({"age": [3, 4], column: cells})
        cellular = Cells(rows, Features(Domain(age=(0, 9)), frozenset()), target, None)
        net = Net(2, (3,), 2 if column == "ill" else 1, encoding=b"{}", seed=1)
        torch.nn.init.ones_(net.layers[-1].weight)
        one, other = Loss(target)(net, cellular.take(slice(None)))
        assert one > 0
        assert other == 0
        other.backward()
        assert all(not parameter.grad.any() for parameter in net.parameters())


# -------------------------------------------------------------------------------------------- train


def test_it_learns_and_its_release_is_enough(tmp_path):
    found, rows = fitted(tmp_path, classifier())
    assert found.score(table()) > 0.85
    assert found.plan_.epsilon(1e-5).upper == found.release_.guarantee.epsilon <= 8
    again = PrivateClassifier.load(Release.read(next((tmp_path / "releases" / "m").iterdir())))
    assert bits(again.model_) == bits(found.model_)
    assert np.array_equal(again.predict_proba(table()), found.predict_proba(table()))
    assert again.features_ == found.features_
    assert again.classes_.tolist() == [False, True]
    assert again.get_params() == found.get_params()
    assert len(charges(rows)) == 1


def test_layers_in_between_and_classes_of_text(tmp_path):
    found, _ = fitted(tmp_path, classifier(target="ward", hidden=(8, 4)))
    again = PrivateClassifier.load(found.release_)
    assert [layer.out_features for layer in again.model_.layers] == [8, 4, 3]
    assert set(again.predict(table())) <= {"A", "B", "C"}
    assert again.predict_proba(table()).sum(1) == pytest.approx(1)
    assert 0 <= again.score(table()) <= 1
    told = again.predict(table().drop_columns(["ward"]))  # what is to be told need not be there
    assert np.array_equal(told, again.predict(table()))


def test_a_number_is_predicted_within_its_bounds(tmp_path):
    settings = SETTINGS | {"target": "cost", "learning_rate": 0.1, "max_grad_norm": 2.0}
    found, _ = fitted(tmp_path, PrivateRegressor(**settings))
    told = found.predict(table())
    assert told.min() >= 0
    assert told.max() <= 500
    assert found.score(table()) > 0.5
    assert np.array_equal(PrivateRegressor.load(found.release_).predict(table()), told)


def test_what_is_planned_is_what_is_charged_and_planning_spends_nothing(tmp_path):
    rows, estimator = data(tmp_path), classifier(steps=None, epochs=2)
    plan = estimator.plan(rows)
    assert not charges(rows)
    assert (plan.steps, plan.expected_batch_size, plan.sample_rate) == (10, 100, 0.2)
    assert "ε = 8" in str(plan)
    estimator.fit(rows, name="m", private=tmp_path / "private")
    assert estimator.release_.event == plan.event
    assert classifier(steps=None).plan(rows).steps == 100  # twenty epochs


def test_what_was_fitted_before_is_answered_from_its_release(tmp_path):
    first, rows = fitted(tmp_path, classifier())
    again = classifier().fit(with_fixed_randomness(rows, seed=9), name="m", private=tmp_path / "private")
    assert bits(again.model_) == bits(first.model_)
    assert len(charges(rows)) == 1


def test_a_fit_that_was_interrupted_goes_on_without_a_new_charge(tmp_path, monkeypatch):
    whole, _ = fitted(tmp_path / "whole", classifier(hidden=(3,)))
    rows, take = with_fixed_randomness(data(tmp_path), seed=3), Work.take

    def interrupted(work, batch):
        if work.taken == 7:
            raise KeyboardInterrupt
        take(work, batch)

    monkeypatch.setattr(Work, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        classifier(hidden=(3,)).fit(rows, name="m", private=tmp_path / "private")
    monkeypatch.undo()
    again = classifier(hidden=(3,)).fit(rows, name="m", private=tmp_path / "private")
    assert bits(again.model_) == bits(whole.model_)
    assert len(charges(rows)) == 1


def test_another_target_or_column_of_the_same_shape_is_another_run(tmp_path):
    domain = Domain(**{name: DOMAIN[name] for name in ("age", "ward", "ill")}, old=[False, True])
    rows = table().append_column("old", pyarrow.array([age > 50 for age in table()["age"].to_pylist()]))
    first, private = fitted(tmp_path, classifier(), rows, domain=domain)
    other = classifier(target="old").fit(private, name="m", private=tmp_path / "private")
    assert len(charges(private)) == 2
    assert [*first.model_.state_dict()] == [*other.model_.state_dict()]  # of one shape, and not the same


def test_of_a_person_the_first_row_counts(tmp_path):
    unit = PrivacyUnit(column="who", max_groups=1)
    domain = Domain(who="text", age=(0, 100), ward=["A", "B", "C"], ill=[False, True])
    who = pyarrow.array([None if i // 2 == 7 else f"p{i // 2}" for i in range(ROWS)])
    every = table().append_column("who", who)
    first = every.take(list(range(0, ROWS, 2)))
    found = [
        fitted(tmp_path / str(place), classifier(steps=5), source, unit=unit, domain=domain)[0]
        for place, source in enumerate((every, first))
    ]
    assert bits(found[0].model_) == bits(found[1].model_)
    assert not any(name.startswith("who") for name in found[0].features_)


def test_of_people_the_first_rows_count_together(tmp_path):
    unit = PrivacyUnit(column="who", max_groups=1, max_rows=2)
    domain = Domain(who="text", age=(0, 100), ward=["A", "B", "C"], ill=[False, True])
    every = table().append_column("who", pyarrow.array([f"p{i // 3}" for i in range(ROWS)]))
    both = every.take([i for i in range(ROWS) if i % 3 < 2])
    found = [
        fitted(tmp_path / str(place), classifier(steps=5), source, unit=told, domain=domain)[0]
        for place, (source, told) in enumerate(
            ((every, unit), (both, unit), (every, PrivacyUnit(column="who", max_groups=1)))
        )
    ]
    assert bits(found[0].model_) == bits(found[1].model_) != bits(found[2].model_)


class Spy:
    """A table that notes how many charges there were when a column was read."""

    def __init__(self, rows, seen):
        self.rows, self.seen, self.column_names = rows, seen, rows.column_names
        self.private = None

    def __len__(self):
        self.seen.append(len(charges(self.private)))
        return len(self.rows)

    def column(self, place):
        self.seen.append(len(charges(self.private)))
        return self.rows.column(place)


def test_no_row_is_read_before_the_charge(tmp_path):
    spy = Spy(table(), [])
    rows = spy.private = data(tmp_path, spy)
    estimator = classifier(steps=2)
    estimator.plan(rows)
    assert not spy.seen
    estimator.fit(rows, name="m", private=tmp_path / "private")
    assert set(spy.seen) == {1}
    assert rows.source is spy  # the dataset is as it was


# ----------------------------------------------------------------------------------------- its shape


def test_it_has_the_shape_of_scikit_learn():
    estimator = classifier(hidden=[4])
    again = clone(estimator)
    assert again is not estimator
    assert again.get_params() == estimator.get_params()
    assert estimator.set_params(epsilon=2.0, hidden=()) is estimator
    assert (estimator.epsilon, estimator.hidden) == (2.0, ())
    assert repr(again).startswith("PrivateClassifier(target='ill', epsilon=8.0, ")
    with pytest.raises(InvalidInput, match="has no parameter 'seed'"):
        estimator.set_params(seed=1)


# ------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("estimator", "changes", "says"),
    [
        (classifier(target="nobody"), {}, "'nobody' is not a declared column"),
        (classifier(target="cost"), {}, "declared keys of the target"),
        (classifier(target="ward"), {"domain": Domain(ward=["A"], age=(0, 9))}, "fewer than two"),
        (PrivateRegressor(**SETTINGS), {}, "declared bounds, and 'ill' has none"),
        (classifier(), {"domain": Domain(ill=[False, True], note="text")}, "nothing to predict from"),
        (classifier(), {"domain": Domain(**DOMAIN, dose=(0, 9))}, "no column 'dose'"),
        (classifier(hidden=(0,)), {}, "hidden must list"),
        (classifier(hidden=8), {}, "hidden must list"),
        (classifier(learning_rate=0), {}, "learning_rate must be"),
        (classifier(epochs=3), {}, "epochs is 3 and steps is 25"),
        (classifier(steps=None, epochs=0), {}, "epochs must be a number above 0"),
        (classifier(steps=None, sample_rate=1.5), {}, "sample_rate must be a number above 0 and at most 1"),
        (classifier(steps=0), {}, "steps must be"),
        (classifier(epsilon=-1), {}, "epsilon"),
        (classifier(delta=0), {}, "delta"),
        (classifier(expected_batch_size=-1), {}, "expected_batch_size must be"),
        (classifier(max_grad_norm=0), {}, "max_grad_norm must be"),
        (classifier(), {"unit": PrivacyUnit(max_rows=2)}, "2 rows each"),
        (classifier(), {"source": [1, 2]}, "needs a table: got list"),
        (classifier(), {"source": Path("rows.csv")}, "cannot be read as Parquet"),
        (classifier(), {"source": Path("nowhere.parquet")}, "cannot be read as Parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_refused_before_anything_is_spent(tmp_path, estimator, changes, says):
    rows = data(tmp_path, **changes)
    with pytest.raises(InvalidInput, match=says) as caught:
        estimator.fit(rows, name="m", private=tmp_path / "private")
    assert "Nothing was" in str(caught.value)
    assert not charges(rows)


def test_what_is_no_dataset_is_refused():
    with pytest.raises(InvalidInput, match="private rows come as a Dataset, got Table"):
        classifier().fit(table(), name="m")


def test_a_fit_beyond_the_budget_is_refused(tmp_path):
    rows = data(tmp_path, ledger=ledger(epsilon=0.5))
    with pytest.raises(BudgetExceeded):
        classifier().fit(rows, name="m", private=tmp_path / "private")


def test_other_relations_are_planned_as_they_are(tmp_path):
    rows = data(tmp_path, unit=PrivacyUnit(relation=Relation.ZERO_OUT))
    assert classifier().plan(rows).relation is Relation.ZERO_OUT


def test_nothing_is_predicted_before_it_is_fitted_or_without_a_column(tmp_path):
    for ask in (classifier().predict, classifier().predict_proba, classifier().score):
        with pytest.raises(InvalidInput, match="is not fitted"):
            ask(table())
    found, _ = fitted(tmp_path, classifier(steps=1))
    with pytest.raises(InvalidInput, match="no column 'age'"):
        found.predict(table().drop_columns(["age"]))


def test_a_release_of_something_else_is_no_estimator(tmp_path):
    found, _ = fitted(tmp_path, classifier(steps=1))
    with pytest.raises(InvalidInput, match="holds no PrivateRegressor"):
        PrivateRegressor.load(found.release_)
    bare = Release(**{name: getattr(found.release_, name) for name in found.release_.__slots__ if name != "files"})
    with pytest.raises(InvalidInput, match="holds no PrivateClassifier"):
        PrivateClassifier.load(bare)


def tampered(release, change):
    """Return a release whose encoding is another."""
    tensors = read_tensors(release.files["model.safetensors"])
    facts = json.loads(bytes(tensors["encoding"].tolist()))
    facts = change(facts) or facts
    tensors["encoding"] = torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)
    return with_model(release, tensor_bytes(tensors))


def with_model(release, model):
    fields = {name: getattr(release, name) for name in release.__slots__}
    return Release(**fields | {"files": {"model.safetensors": model}})


def test_a_release_whose_encoding_was_changed_is_refused(tmp_path):
    release = fitted(tmp_path, classifier(steps=1, hidden=(3,)))[0].release_
    assert PrivateClassifier.load(tampered(release, lambda facts: None))
    for change in (
        lambda facts: facts["parameters"].update(q=1),
        lambda facts: facts["parameters"].pop("target"),
        lambda facts: facts["parameters"].update(target="zz"),
        lambda facts: facts["parameters"].update(target=["ill"]),
        lambda facts: facts["parameters"].update(target="age"),
        lambda facts: facts["parameters"].update(hidden="ab"),
        lambda facts: facts["parameters"].update(hidden=3),
        lambda facts: facts["parameters"].update(hidden=[4]),
        lambda facts: facts["parameters"].update(hidden=[-3]),
        lambda facts: facts["parameters"].update(hidden=[10**12]),
        lambda facts: facts["parameters"].update(hidden=[3, 3]),
        lambda facts: facts["parameters"].update(hidden=[]),
        lambda facts: facts.pop("parameters"),
        lambda facts: facts.pop("domain"),
        lambda facts: facts["domain"].pop("age"),
        lambda facts: facts["domain"].update(more={"type": "boolean"}),
        lambda facts: facts["domain"].update(age=3),
        lambda facts: facts.update(domain=[]),
        lambda facts: facts.update(v=2),
        lambda facts: [facts],
        lambda facts: "text",
    ):
        with pytest.raises(InvalidInput, match="holds no PrivateClassifier that this version") as caught:
            PrivateClassifier.load(tampered(release, change))
        assert str(caught.value).count("\n  ") == 2


def test_bytes_that_are_no_model_are_refused(tmp_path):
    release = fitted(tmp_path, classifier(steps=1))[0].release_
    whole = release.files["model.safetensors"]
    for model in (b"", b"xx", whole[:-1], whole + b"x", b"\0" + whole[1:], whole.replace(b"F32", b"F99")):
        broken = with_model(release, model)
        for load in (PrivateClassifier.load, lambda release: train.load(release, torch.nn.Linear(1, 1))):
            with pytest.raises(InvalidInput, match="cannot be read as tensors") as caught:
                load(broken)
            assert str(caught.value).count("\n  ") == 2


def test_no_row_shows_in_what_is_printed_or_in_a_traceback(tmp_path):
    frame = table().append_column("secret", pyarrow.array(["sentinel"] * ROWS)).to_pandas()
    cells = Cells(frame, Features(DOMAIN, frozenset()), None, None)
    cells.take(slice(None))
    assert repr(cells) == "Cells(hidden)"
    for source, changes in ((frame, {"domain": Domain(**DOMAIN, dose=(0, 9))}), ({"sentinel": frame}, {})):
        with pytest.raises(InvalidInput) as caught:
            classifier().plan(data(tmp_path, source, **changes))
        frames = caught.value.__traceback__.tb_next  # without this one
        shown = traceback.TracebackException(InvalidInput, caught.value, frames, capture_locals=True)
        assert "sentinel" not in "".join(shown.format())


def test_a_failure_on_the_rows_shows_nothing(tmp_path):
    class Broken(Spy):
        def column(self, place):
            raise ValueError(self.rows)

    spy = Broken(table(), [])
    rows = spy.private = data(tmp_path, spy)
    with pytest.raises(DataFailure, match="cause is withheld"):
        classifier().fit(rows, name="m", private=tmp_path / "private")
    assert len(charges(rows)) == 1
