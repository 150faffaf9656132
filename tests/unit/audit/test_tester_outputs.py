"""What an output is made of: the same whatever the container, and to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from discreet.audit.tester.features import labels, numbers, off_lattice
from discreet.audit.tester.outputs import MOST_PARTS, Raised, one_by_one, read, shape_of
from discreet.errors import InvalidInput


def of(table, name):
    """Return the values of a feature, numbered in the order in which they first come up if it is a label."""
    for number in numbers(table):
        if number.name == name:
            return number.of(table).tolist()
    for label in labels(table):
        if label.name == name:
            words = label.of(table).tolist()
            return [words.index(word) for word in words]
    raise AssertionError(f"no feature {name!r}")


def test_one_by_one_turns_an_error_into_an_output():
    def fails_on_nothing(data):
        return 1 / len(data)

    run = one_by_one(fails_on_nothing)
    assert run([1], 2) == [1.0, 1.0]
    assert run([], 2) == [Raised("ZeroDivisionError", "division by zero")] * 2
    assert shape_of(run([], 1)[0]) == "error ZeroDivisionError"
    assert str(Raised("KeyError", "'x'")) == "KeyError: 'x'"


def test_containers_of_floats_read_alike():
    values = [0.5, -0.0, float("inf"), 2.0]
    tables = [read(values), read(np.array(values)), read(tuple(values)), read([*values[:3], np.float64(2.0)])]
    for table in tables:
        assert table.numbers.ravel().tolist() == values
        assert table.whole.tolist() == tables[0].whole.tolist()
        assert table.shape.tolist() == tables[0].shape.tolist()


def test_long_outputs_read_alike_beside_whatever_others():
    """An event that depended on the other outputs of its table would make trials that are not independent."""
    rows = np.arange(2.0 * (MOST_PARTS + 50)).reshape(2, -1)
    alone, beside = read(rows), read([*rows, None])
    assert alone.whole.tolist() == beside.whole.tolist()[:2]


def test_zeros_of_both_signs_are_two_outputs():
    assert np.unique(read([0.0, -0.0]).whole).size == 2
    assert np.unique(read([0.0, -0.0, None]).whole).size == 3


def test_types_are_told_apart():
    outputs = [1, 1.0, True, "1", b"1", None, (1,), [1], {"a": 1}, {1}, np.array([1]), ValueError("1")]
    assert np.unique(read(outputs).shape).size == len(outputs)
    assert np.unique(read(outputs).whole).size == len(outputs)


def test_parts_of_nested_outputs():
    table = read([("a", [1, 2.5]), ("b", [3]), None])
    assert table.lengths.tolist() == [3, 2, 1]
    assert table.number(1).tolist() == [1.0, 3.0, pytest.approx(np.nan, nan_ok=True)]
    assert table.number(7).size == 3
    assert np.isnan(table.number(7)).all()
    assert table.part(7).tolist() == [0, 0, 0]


def test_an_output_reads_the_same_whatever_stands_beside_it():
    """Else an event would not be a set of outputs."""
    alone = read([(1, 0)])
    beside = read([(1, 0), (1, 2, 3, 4)])
    assert beside.whole[0] == alone.whole[0]
    names = [number.name for number in numbers(beside)]
    for name in set(names) & {number.name for number in numbers(alone)}:
        assert of(beside, name)[0] == of(alone, name)[0]
    for label in labels(beside):
        assert label.of(beside)[0] == label.of(alone)[0], label.name


def test_integers_beyond_a_float():
    table = read([10**400, -(10**400), 2**70, 2**70 + 1, 2**60, 2**60 + 1])
    assert table.numbers[:2, 0].tolist() == [np.inf, -np.inf]
    assert np.unique(table.whole).size == 6
    assert np.unique(read(np.array([2**60, 2**60 + 1])).whole).size == 2


def test_outputs_longer_than_is_looked_at():
    rows = np.zeros((3, MOST_PARTS + 2))
    rows[1, -1] = 1.0
    for table in (read(rows), read([row.tolist() for row in rows])):
        assert table.parts == MOST_PARTS
        assert table.lengths.tolist() == [MOST_PARTS + 2] * 3
        assert table.whole[0] == table.whole[2] != table.whole[1]


def test_an_object_that_cannot_be_compared_is_refused():
    with pytest.raises(InvalidInput, match="outputs of the type object cannot be compared"):
        read([object()])


def test_rows_of_a_table():
    table = read([(1, "a"), (2, "b"), (3, "c")], np.array([0.1, 0.2, 0.3]))
    part = table.rows(1, 3)
    assert part.size == 2
    assert part.outputs == [(2, "b"), (3, "c")]
    assert part.number(0).tolist() == [2.0, 3.0]
    assert part.seconds.tolist() == [0.2, 0.3]


# -------------------------------------------------------------------------------------- features


def test_the_lowest_bit():
    table = read([1.0, 3.0, 0.5, 1.0 + 2**-52, 6.0, 0.0, 5e-324])
    (label,) = [one for one in labels(table) if one.name == "the lowest bit set in the output"]
    assert [label.shown(table, i) for i in range(7)] == ["2^0", "2^0", "2^-1", "2^-52", "2^1", "none", "2^-1074"]


def test_the_last_four_bits():
    table = read([1.0, 1.0 + 3 * 2**-52])
    (label,) = [one for one in labels(table) if one.name.startswith("the last four bits")]
    assert [label.shown(table, i) for i in range(2)] == ["0000", "0011"]


def test_what_is_known_of_parts_together():
    table = read([(3, 0, 1), (0, 0, 0), ("a", "b", "c")])
    assert of(table, "the sum of the parts")[:2] == [4, 0]
    assert of(table, "the largest part")[:2] == [3, 0]
    assert of(table, "the smallest part")[:2] == [0, 0]
    assert of(table, "the number of parts that are not 0")[:2] == [2, 0]
    assert of(table, "the place of the first part that is not 0") == [0, 3, pytest.approx(np.nan, nan_ok=True)]
    assert of(table, "part 3 less part 1")[:2] == [-2, 0]


def test_patterns_and_orders():
    rows = [(0.0, 1.0), (0.0, 7.0), (1.0, 0.0), (np.nan, 1.0), (np.inf, 1.0), (-np.inf, 1.0)]
    assert of(read(rows), "the pattern of zeros, NaN, infinities and missing parts") == [0, 0, 2, 3, 4, 5]
    assert of(read([(1, 2), (3, 4), (2, 1)]), "the order of the parts by size") == [0, 0, 2]


def test_values_off_the_lattice_of_others():
    table = read([0.25, 3.25, 1.25, -4.75])
    distance = off_lattice(table, 0)
    assert distance.of(read([7.25, 7.5, 7.0])).tolist() == [0.0, 0.25, -0.25]
    assert off_lattice(read([0.1, 0.7234, 0.11238, 3.33317, 1.98123]), 0) is None
    assert off_lattice(read([1.0, 2.0]), 0) is None
