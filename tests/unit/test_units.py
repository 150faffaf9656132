"""PrivacyUnit: who is protected."""

import pytest

from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.units import PrivacyUnit


def test_round_trip():
    unit = PrivacyUnit(column="id", max_groups=2, max_rows=5, relation="replace_one")
    assert unit.relation is Relation.REPLACE_ONE
    assert PrivacyUnit.from_dict(unit.to_dict()) == unit


def test_enforced_bounds_do_not_change_who_is_protected():
    assert PrivacyUnit(column="id", max_rows=5).protects == PrivacyUnit(column="id", max_rows=9).protects


def test_promised_bounds_do():
    assert PrivacyUnit(max_rows=5).protects != PrivacyUnit(max_rows=9).protects


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_rows": 0},
        {"max_rows": True},
        {"max_rows": 1.5},
        {"max_rows": None},
        {"max_rows": 2**40},
        {"column": "id", "max_groups": -1},
        {"max_groups": 2},
        {"column": ""},
        {"column": 3},
        {"per": ""},
        {"relation": "swap"},
    ],
)
def test_wrong_units_are_refused(wrong):
    with pytest.raises(InvalidInput):
        PrivacyUnit(**wrong)


def test_unknown_fields_are_refused():
    with pytest.raises(InvalidInput, match="fields"):
        PrivacyUnit.from_dict({"columns": "id"})


@pytest.mark.parametrize(
    ("unit", "label"),
    [
        (PrivacyUnit(column="id"), "per id (add_remove)"),
        (PrivacyUnit(), "per row (add_remove)"),
        (PrivacyUnit(max_rows=3), "per 3 rows (add_remove)"),
        (PrivacyUnit(column="id", per="month"), "per id and month (add_remove)"),
    ],
)
def test_labels(unit, label):
    assert unit.label == label
