"""Domain: public facts, checked against each other."""

import datetime
from fractions import Fraction

import pytest

from discreet.domains import MAX_STEPS, Column, Domain
from discreet.errors import InvalidInput


def test_short_forms():
    domain = Domain(cost=(0, 500), weight=(20.0, 300.0), ward=["A", "B", None], male=[0, 1], note="text")
    assert domain["cost"] == Column("integer", low=0, high=500)
    assert domain["weight"].type == "float"
    assert domain["ward"].keys == ("A", "B", None)
    assert domain["male"].type == "integer"
    assert not domain["note"].bounded
    born = Domain(born=(datetime.date(1920, 1, 1), datetime.date(2024, 12, 31)))["born"]
    assert (born.type, born.low, born.bounded) == ("date", datetime.date(1920, 1, 1), False)


def test_round_trip():
    domain = Domain(
        cost=(0, 500),
        weight=Column("float", low=0.5, high=9.0, resolution=Fraction(1, 8)),
        day=[datetime.date(2024, 1, 1)],
        born=(datetime.date(1920, 1, 1), datetime.date(1920, 1, 1)),
        ok=[True, False],
    )
    assert Domain.from_dict(domain.to_dict()) == domain


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 80.0), (-3.5, 1e6), (1e-9, 2e-9)])
def test_the_default_grid_cuts_the_range_into_2_to_the_16_or_17_steps(low, high):
    column = Column("float", low=low, high=high)
    steps = (Fraction(high) - Fraction(low)) / column.resolution
    assert 2**16 <= steps <= 2**17


@pytest.mark.parametrize(("value", "steps"), [(0.49, 0), (0.5, 1), (-0.5, -1), (1.49, 1), (-1.5, -2), (7, 7)])
def test_rounding_is_half_away_from_zero(value, steps):
    assert Column("integer", low=-9, high=9).steps(value) == steps


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"type": "number"}, "type must be"),
        ({"type": "integer", "low": 0}, "both low and high"),
        ({"type": "integer", "low": 5, "high": 5}, "below high"),
        ({"type": "integer", "low": 0.5, "high": 5}, "whole"),
        ({"type": "float", "low": float("nan"), "high": 5}, "finite"),
        ({"type": "float", "low": float("-inf"), "high": 5}, "finite"),
        ({"type": "text", "low": 0, "high": 5}, "no low and high"),
        ({"type": "float", "keys": [1.5]}, "cannot be grouped"),
        ({"type": "text", "keys": []}, "at least one"),
        ({"type": "text", "keys": ["a", "a"]}, "distinct"),
        ({"type": "text", "keys": ["a", 1]}, "must be str"),
        ({"type": "integer", "keys": [True]}, "must be int"),
        ({"type": "date", "keys": ["2024-13-01"]}, "date key"),
        ({"type": "date", "low": "2024-13-01", "high": "2024-12-31"}, "date key"),
        ({"type": "date", "low": "2024-12-31", "high": "2024-01-01"}, "must not be after high"),
        (
            {"type": "date", "low": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), "high": "2024-01-01"},
            "must be a date from 1 to 9000",
        ),
        ({"type": "date", "low": "2024-01-01", "high": "9001-01-01"}, "must be a date from 1 to 9000"),
        ({"type": "date", "low": 2024, "high": 2025}, "must be a date"),
        ({"type": "date", "low": "2024-01-01"}, "both low and high"),
        ({"type": "integer", "low": datetime.date(2024, 1, 1), "high": 5}, "finite"),
        ({"type": "text", "low": datetime.date(2024, 1, 1), "high": datetime.date(2025, 1, 1)}, "no low and high"),
        ({"type": "text", "keys": "abc"}, "must be a list"),
        ({"type": "integer", "low": 0, "high": 2 * MAX_STEPS}, "beyond 2"),
        ({"type": "float", "low": 0, "high": 1, "resolution": 0}, "above 0"),
        ({"type": "float", "low": 0, "high": 1, "resolution": "fine"}, "must be a number"),
        ({"type": "float", "low": 0, "high": 1, "resolution": float("nan")}, "must be a number"),
        ({"type": "integer", "low": 0, "high": 10**5000}, "finite"),
        ({"type": "integer", "keys": [2**63]}, "beyond the 64-bit"),
        ({"type": "integer", "keys": [10**5000]}, "beyond the 64-bit"),
        ({"type": "float", "bounds": [0, 1]}, "may have low"),
        ({"low": 0, "high": 1}, "has a type"),
    ],
)
def test_contradictions_are_refused_and_name_the_column(facts, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        Domain.from_dict({"weight": facts})
    assert "'weight'" in str(caught.value)


@pytest.mark.parametrize("short", [(1, 2, 3), [], {}, 7, [1, "a"], [1.5], [None]])
def test_odd_short_forms_are_refused(short):
    with pytest.raises(InvalidInput):
        Domain(weight=short)


@pytest.mark.parametrize("resolution", ["x", float("nan"), "1/0"])
def test_a_resolution_that_is_no_number_is_refused_everywhere(resolution):
    with pytest.raises(InvalidInput, match="must be a number"):
        Column("float", low=0, high=1, resolution=resolution)


def test_true_and_one_are_different_keys():
    with pytest.raises(InvalidInput):
        Domain(flag=[True, 1])


def test_names_that_differ_in_case_alone_are_refused():
    with pytest.raises(InvalidInput, match="'id' and 'ID' differ in case alone"):
        Domain(id="integer", ID="integer")
