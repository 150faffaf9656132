"""Data sets with named columns: the ways of `datasets.Dataset`, by one that has them, and by itself where it is installed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow
import pytest
import torch

from discreet import PrivacyUnit
from discreet.domains import Domain
from discreet.errors import InvalidInput
from discreet.testing import with_fixed_randomness
from discreet.train.rows import Rows
from tests.training import EXAMPLE, ROWS, bits, dataset, loss, rows, start

TOLD = {
    "loss": lambda net, batch: loss(net, (batch["x"], batch["y"])),
    "example": dict(zip("xy", EXAMPLE, strict=True)),
}


class Named:
    """What `datasets.Dataset` (5.2) does, as far as it is used: a memory-mapped table that is read by lists of numbers."""

    def __init__(self, table, kind=None):
        self.table, self.kind, self.asked = table, kind, []

    column_names = property(lambda self: self.table.column_names)
    features = property(lambda self: SimpleNamespace(arrow_schema=self.table.schema))
    format = property(lambda self: {"type": self.kind})

    def __len__(self):
        return self.table.num_rows

    def with_format(self, kind):
        found = Named(self.table, kind)
        found.asked = self.asked
        return found

    def select_columns(self, names):
        return Named(self.table.select(names), self.kind)

    def __getitem__(self, which):
        assert which == slice(None) or isinstance(which, list), "one row at a time"
        self.asked.append(which)
        some = self.table if which == slice(None) else self.table.take(which)
        if self.kind == "arrow":
            return some
        found = some.to_pydict()
        return {name: _tensor(column) for name, column in found.items()} if self.kind == "torch" else found


def _tensor(column):
    if isinstance(column[0], str) or len({len(one) for one in column if isinstance(one, list)}) > 1:
        return column
    found = torch.tensor(column)
    return found.float() if found.is_floating_point() else found


def table(who=None):
    inputs, labels = rows()
    found = {"x": inputs.tolist(), "y": labels.tolist(), "note": ["private"] * ROWS}
    return pyarrow.table(found | ({} if who is None else {"who": who}))


def kinds():
    try:
        import datasets
    except ImportError:
        return [Named]
    return [Named, lambda held: datasets.Dataset.from_dict(held.to_pydict())]


def trained(folder, source, unit=None, **changes):
    data = dataset(folder, source, unit=unit or PrivacyUnit(), domain=Domain(who="text") if unit else Domain())
    run = start(with_fixed_randomness(data, seed=4), folder, **(TOLD | changes))
    run.fit()
    return bits(run.model)


@pytest.mark.parametrize("make", kinds())
def test_it_gives_what_tensors_give(tmp_path, make):
    inputs, labels = rows()
    whole = trained(tmp_path / "0", {"x": inputs, "y": labels})
    assert trained(tmp_path / "1", make(table())) == whole
    assert trained(tmp_path / "2", make(table()).with_format("torch")) == whole

    def collate(batch):
        return {"x": torch.tensor(batch["x"]), "y": torch.tensor(batch["y"])}

    assert trained(tmp_path / "3", make(table()), collate=collate) == whole


@pytest.mark.parametrize("make", kinds())
def test_people_are_told_by_a_column(tmp_path, make):
    who = [None if i % 11 == 3 else f"p{i * i % 17}" for i in range(ROWS)]
    unit = PrivacyUnit(column="who", max_groups=1, max_rows=2)
    found = Rows(make(table(who)), None, "who", 2)
    places = [[i for i, one in enumerate(who) if one == person][:2] for person in dict.fromkeys(who) if person]
    assert len(found) == len(places)
    batch = found.batch(np.arange(len(found)))
    assert batch.keys() == {"x", "y"}
    torch.testing.assert_close(batch["x"], rows()[0][[place for mine in places for place in mine]])
    assert trained(tmp_path / "0", make(table(who)), unit)


def test_rows_are_asked_for_together(tmp_path):
    source = Named(table())
    trained(tmp_path, source)
    assert all(isinstance(which, list) and len(which) <= 4 for which in source.asked)


@pytest.mark.parametrize(
    ("source", "changes", "says"),
    [
        (Named(table()), {"unit": PrivacyUnit(column="who", max_groups=1)}, "no column of that name"),
        (Named(table([0.5] * ROWS)), {"unit": PrivacyUnit(column="who", max_groups=1)}, "of type double"),
        (Named(table()), {"example": EXAMPLE}, "is a dict, and `example` is none"),
        (Named(table()), {"example": {**TOLD["example"], "z": EXAMPLE[1]}}, "`example` has 'z'"),
        (type("Stream", (Named,), {"__len__": property()})(table()), {}, "is a stream"),
        (type("Splits", (Named,), {"column_names": {"train": ["x"]}})(table()), {}, "several data sets"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, source, changes, says):
    unit = changes.pop("unit", PrivacyUnit())
    data = dataset(tmp_path, source, unit=unit, domain=Domain(who="text") if unit.column else Domain())
    with pytest.raises(InvalidInput, match=says):
        start(data, tmp_path, **(TOLD | changes))
    assert not [entry for entry in data.ledger.entries("people") if entry.kind == "charge"]
