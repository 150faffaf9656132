"""Planted bugs in SQL. Each check is run on the bug (must fail) and on the good code (must pass)."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import discreet.sql as sql
from discreet import Domain, PrivacyUnit, errors
from discreet.errors import DataFailure
from discreet.ledger import Ledger
from discreet.mechanisms import Rng
from discreet.sql import bind, bound, questions
from discreet.sql import splitting as budgets
from discreet.sql.allocate import Noise
from discreet.sql.engines import duckdb as engine
from discreet.sql.engines import frames
from discreet.sql.statements import dialect, rowsql, stages
from tests.property.test_sql_neighbours import EXTREME, exact
from tests.sql_cases import ROWS, computed, open_dataset, plan
from tests.statistical import test_sql_noise as noise_tests
from tests.unit.test_errors import chain_text

# --- the checks -----------------------------------------------------------------------------

UNIT = PrivacyUnit(column="id", max_groups=2, max_rows=2)
DOMAIN = Domain(id="integer", ward=["A", "B", None], floor=[1, 2, 5], age=(10, 100), debt=(-7, 3), weight=(0.0, 0.9))
OUTLIER = {"id": 9, "ward": "A", "floor": 1, "age": 1e6, "debt": "-999", "weight": 50.0, "ok": True}
BY_WARD = (
    "SELECT ward, COUNT(*) AS n, SUM(age) AS s, AVG(debt) AS m, AVG(weight) AS w, "
    "COUNT(DISTINCT id) FILTER (WHERE floor < 5) AS p FROM t GROUP BY ward"
)


def bounded(tmp_path: Path) -> None:
    """One person, with rows at and beyond every bound, moves no answer beyond its sensitivity."""
    question = plan(BY_WARD, unit=UNIT, domain=DOMAIN)
    with duckdb.connect(config=engine.SETTINGS) as connection:
        nobody = exact(connection, question, [])
        for rows in (EXTREME, [OUTLIER], [OUTLIER] * 5):
            here = exact(connection, question, rows)
            for part, a, b in zip(question.question.primitives, here, nobody, strict=True):
                moved = sum(abs(x - y) for x, y in zip(a, b, strict=True))
                most = question.question.bounds.sensitivity(part)[0]
                assert moved <= most, f"{part.label} moved by {moved}, charged for {most}"


def null_stays_null(tmp_path: Path) -> None:
    rows = pa.table({"id": [1, 2, 3], "age": [None, 50, None]})
    asked = plan("SELECT AVG(age) AS m FROM t", unit=UNIT, domain=DOMAIN, source=rows)
    found = computed(asked, rows).sums
    counts = [int(values[0]) for part, values in found.items() if part.kind == "values"]
    assert counts == [1], "NULL was counted as a value"


def right_noise(tmp_path: Path) -> None:
    """Every released column has the noise that its share of the charge pays for."""
    value = noise_tests.answer("SELECT cell, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY cell", "zcdp")
    expected, kurtosis = noise_tests.variances("zcdp")
    for name, variance in zip("ns", expected, strict=True):
        assert noise_tests.right_scale(value[name].to_numpy(), variance, kurtosis), f"the noise of {name} is off"


def independent_noise(tmp_path: Path) -> None:
    value = noise_tests.answer("SELECT cell, COUNT(*) AS n, SUM(age) AS s FROM t GROUP BY cell", "zcdp")
    n, s = (value[name].to_numpy().astype(float) for name in "ns")
    limit = noise_tests.SIGMAS / np.sqrt(noise_tests.CELLS)
    assert len(np.unique(s)) > 100, "one draw serves several groups"
    assert abs(np.corrcoef(n, s)[0, 1]) < limit, "one draw serves two columns"
    assert abs(np.corrcoef(s[1:], s[:-1])[0, 1]) < limit, "one draw serves several groups"


def silent_failure(tmp_path: Path) -> None:
    """A failure inside the engine shows nothing that the table holds."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE VIEW t AS SELECT 1 AS id, CAST(w AS INTEGER) AS age FROM (VALUES ('private 4711')) AS x(w)"
    )
    dataset = open_dataset(tmp_path, connection)
    failed: Exception | None = None
    try:
        sql.query(dataset, "SELECT SUM(age) AS s FROM t", epsilon=1.0, delta=1e-6)
    except Exception as error:
        failed = error
    assert isinstance(failed, DataFailure), "the failure went unnoticed, or is of the wrong kind"
    shown = chain_text(failed)
    assert "4711" not in shown, "a private value is shown"
    assert "Conversion" not in shown, "the engine's message is shown"
    assert failed.__context__ is None, "the engine's error hangs on in __context__"


def charged_before_any_byte(tmp_path: Path) -> None:
    """Until the charge is durable there are no rows: whatever reads them earlier fails or is caught lying.

    A Parquet file is garbage; of a CSV file there is the first line, whose names may be looked at.
    """
    header = ",".join(ROWS.column_names).encode() + b"\n"
    for suffix, write in ((".parquet", pa.parquet.write_table), (".csv", pa.csv.write_csv)):
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        path = folder / f"t{suffix}"
        path.write_bytes((header if suffix == ".csv" else b"") + b"\x00 not a table")
        dataset = open_dataset(folder, path)
        charge = Ledger.charge

        def then_write(self, *given, _charge=charge, _write=write, _path=path, **named):
            entry = _charge(self, *given, **named)
            _write(ROWS, str(_path))
            return entry

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Ledger, "charge", then_write)
            release = sql.query(dataset, "SELECT COUNT(*) AS n FROM t", epsilon=40.0, delta=1e-6)
        assert abs(release.value["n"][0].as_py() - 6) <= 3, "rows were read before the charge"


def no_sniffed_types(tmp_path: Path) -> None:
    """One person's value does not change how the others' values are read."""
    domain = Domain(id="integer", code=["1.5", "1.50", "x"])
    answers = []
    for i, last in enumerate(("1.5", "x")):
        path = tmp_path / f"{i}.csv"
        path.write_text("id,code\n" + "".join(f"{person},1.50\n" for person in range(30)) + f"99,{last}\n")
        asked = plan("SELECT code, COUNT(*) FROM t GROUP BY code", unit=UNIT, domain=domain, source=path)
        found = computed(asked, path).sums
        answers.append([int(value) for value in found[asked.question.primitives[0]]])
    moved = sum(abs(a - b) for a, b in zip(*answers, strict=True))
    assert moved <= 2, "one person changed the type of a column"


def one_missing_value_moves_no_other(tmp_path: Path) -> None:
    """pandas stores whole numbers as floats, and truth values as objects, once one of them is missing."""
    domain = Domain(id="text", code=["1", "2", "true", "false"])
    asked = plan("SELECT code, COUNT(*) FROM t GROUP BY code", unit=UNIT, domain=domain)
    for value in (1, True):
        answers = []
        for last in (value, None):
            rows = pd.DataFrame({"id": [*range(30), None], "code": [value] * 30 + [last]})
            found = computed(asked, rows).sums
            answers.append([int(count) for count in found[asked.question.primitives[0]]])
        assert answers[0] == answers[1], "one person changed how the others are read"
        assert sum(answers[0]) == 30, "whole numbers or truth values of pandas are not read as such"


def one_cell_moves_no_other(tmp_path: Path) -> None:
    """A valid quoted cell of many lines, at the edge of a reader's chunk, is one value."""
    path = tmp_path / "t.csv"
    rows = [b"%07d,A,50,%s\n" % (i, b"x" * 986) for i in range(8600)]
    inside = b"".join(b"%d,B,50,y\n" % (10**7 + i) for i in range(14))
    cell = b"8888888,A,50," + b"x" * 900 + b'\n9999999,A,50,"' + inside + b'"\n'
    path.write_bytes(b"id,ward,age,note\n" + b"".join(rows[:7999]) + cell + b"".join(rows[7999:]))
    asked = plan("SELECT ward, COUNT(*) FROM t GROUP BY ward", unit=UNIT, domain=DOMAIN, source=path)
    found = computed(asked, path).sums
    assert [int(value) for value in found[asked.question.primitives[0]]] == [8602, 0, 0], "a cell was taken for rows"


def collation_merges_nobody(tmp_path: Path) -> None:
    """Bob and bob are two people, A and a two groups, whatever collation the caller's connection has."""
    connection = duckdb.connect()
    connection.execute("SET default_collation = 'NOCASE'")
    connection.execute("CREATE TABLE t (id VARCHAR COLLATE NOCASE, ward VARCHAR COLLATE NOCASE)")
    connection.execute("INSERT INTO t VALUES ('bob', 'A'), ('Bob', 'B'), ('x', 'a'), ('y', 'A')")
    domain = Domain(id="text", ward=["A", "B"])
    unit = PrivacyUnit(column="id")
    for text, expected in (("SELECT COUNT(*) FROM t", [4]), ("SELECT ward, COUNT(*) FROM t GROUP BY ward", [2, 1])):
        asked = plan(text, unit=unit, domain=domain, source=connection)
        found = computed(asked, connection).sums
        assert [int(value) for value in found[asked.question.primitives[0]]] == expected, (
            "two people, or groups, are one"
        )


def one_draw_for_one_question(tmp_path: Path) -> None:
    dataset = open_dataset(tmp_path)
    text = "SELECT SUM(age) AS s FROM t"
    values = {sql.query(dataset, text, epsilon=0.1, delta=1e-6).value["s"][0].as_py() for _ in range(6)}
    assert len(values) == 1, "a repeated request drew fresh noise"


def charge_is_the_noise(tmp_path: Path) -> None:
    """The event says what is drawn: its scales are those of the noise objects."""
    found = plan(BY_WARD, unit=UNIT, domain=DOMAIN)
    assert len(found.noises) == len(found.event.events) == 7, "a primitive is not charged"
    for noise, event in zip(found.noises.values(), found.event.events, strict=True):
        assert noise.event == event, "the event describes other noise"


def averages_are_bounded_before(tmp_path: Path) -> None:
    """A released average never rests on an unclamped value."""
    rows = pa.table({"id": list(range(100)), "debt": [0.0] * 99 + [1e9]})
    found = plan("SELECT AVG(debt) AS m FROM t", unit=UNIT, domain=DOMAIN, source=rows, epsilon=100.0)
    assert abs(found.run(rows, Rng()).value["m"][0].as_py()) < 0.5, "one value decided the average"


# --- the bugs -------------------------------------------------------------------------------


def half_sensitivity(patch):
    good = bound.Bounds.sensitivity
    patch.setattr(bound.Bounds, "sensitivity", lambda self, part: tuple(value // 2 for value in good(self, part)))


def no_group_sampling(patch):
    good = questions.Bounds.of
    patch.setattr(questions.Bounds, "of", lambda *given: dataclasses.replace(good(*given), sampled=False))


def loosened(writer, **bounds):
    """Return a writer that bounds people otherwise than the plan says."""
    question = writer.question
    loose = dataclasses.replace(question, bounds=dataclasses.replace(question.bounds, **bounds))
    return dataclasses.replace(writer, question=loose)


def one_group_too_many(patch):
    good = stages.Writer._few
    patch.setattr(stages.Writer, "_few", lambda self: good(loosened(self, groups=3)))


def no_row_bound(patch):
    good = stages.Writer._bounded
    patch.setattr(stages.Writer, "_bounded", lambda self, **given: good(loosened(self, rows=1000), **given))


def rows_of_people_with_a_condition(patch):
    good = stages.Writer._totals

    def totals(self, table, **given):
        parts = (
            dataclasses.replace(item, kind="values") if item.kind == "some" else item
            for item in self.question.primitives
        )
        question = dataclasses.replace(self.question, primitives=tuple(parts))
        return good(dataclasses.replace(self, question=question), table, **given)

    patch.setattr(stages.Writer, "_totals", totals)


def no_clamp(patch):
    def within(self, value, rounded, least, most, magnitude):
        return self.dialect.cast(rounded, "BIGINT")

    patch.setattr(rowsql.Rows, "_within", within)
    patch.setattr(dialect.Dialect, "fitting", lambda self, most: "WIDE")


def least_and_greatest(patch):
    from sqlglot import exp

    def within(self, value, rounded, least, most, magnitude):
        inner = exp.Anonymous(this="GREATEST", expressions=[rounded, least])
        return exp.Anonymous(this="LEAST", expressions=[inner, most])

    patch.setattr(rowsql.Rows, "_within", within)


def counts_without_noise(patch):
    good = Noise.add
    patch.setattr(Noise, "add", lambda self, values, rng: values if self.sensitivity < 100 else good(self, values, rng))


def tenth_less_noise(patch):
    good = Noise.add

    def quiet(self, values, rng):
        return good(dataclasses.replace(self, scale=self.scale * Fraction(81, 100)), values, rng)

    patch.setattr(Noise, "add", quiet)


def noise_shared_by_columns(patch):
    drawn: list[np.ndarray] = []

    def shared(self, values, rng):
        if not drawn:
            drawn.append(np.random.default_rng().standard_normal(len(values)))
        return values + np.round(drawn[0] * float(self.scale) ** 0.5).astype(np.int64)

    patch.setattr(Noise, "add", shared)


def noise_shared_by_groups(patch):
    good = Noise.add

    def shared(self, values, rng):
        return values + good(self, np.zeros(1, dtype=np.int64), rng)[0]

    patch.setattr(Noise, "add", shared)


def average_clamped_at_the_end(patch):
    """Sum what is there, divide, and clamp the average: the last step of post does that anyway."""
    no_clamp(patch)


def engine_error_shown(patch):
    def open_door(work, *given):
        try:
            return work(*given)
        except Exception as error:
            raise DataFailure(f"it failed: {error}") from error

    patch.setattr(errors, "sealed", open_door)


def engine_error_in_context(patch):
    def open_door(work, *given):
        try:
            return work(*given)
        except Exception:
            raise DataFailure("it failed") from None

    patch.setattr(errors, "sealed", open_door)


def footer_read_before_the_charge(patch):
    good = questions.catalog

    def peek(dataset):
        if dataset.source.suffix == ".parquet":
            pyarrow.parquet.read_metadata(dataset.source)
        return good(dataset)

    patch.setattr(questions, "catalog", peek)


def types_sniffed(patch):
    patch.setattr(engine, "_scan", lambda source, path, wanted: f"SELECT * FROM read_csv({engine._string(path)})")


def parallel_csv(patch):
    good = engine._scan
    patch.setattr(engine, "_scan", lambda *given: good(*given).replace("parallel = false", "parallel = true"))


def collation_kept(patch):
    patch.setattr(dialect.Dialect, "binary", lambda self, text: text)
    patch.setattr(dialect.Dialect, "_text", lambda self, stored, text: text)  # its CASE loses the collation, too


def floats_printed_as_they_are(patch):
    patch.setattr(dialect, "FLOATS", ("NO SUCH TYPE",))


def cells_printed_as_python_does(patch):
    patch.setattr(frames, "_text", lambda cell, *, number: None if cell is None else str(cell))


def fresh_identity(patch):
    good = bind._identity
    patch.setattr(bind, "_identity", lambda *given: good(*given) | {"nonce": uuid.uuid4().hex})


def count_of_average_not_charged(patch):
    good = budgets.allocate

    def forgetful(measure, budget, askers, shares):
        draws, event = good(measure, budget, askers, shares)
        return draws, type(event)(event.events[:-1])

    patch.setattr(budgets, "allocate", forgetful)


BUGS: list[tuple[Callable[[Path], None], Callable[[pytest.MonkeyPatch], None]]] = [
    (bounded, half_sensitivity),
    (bounded, no_group_sampling),
    (bounded, one_group_too_many),
    (bounded, no_row_bound),
    (bounded, rows_of_people_with_a_condition),
    (bounded, no_clamp),
    (averages_are_bounded_before, average_clamped_at_the_end),
    (null_stays_null, least_and_greatest),
    (right_noise, counts_without_noise),
    (right_noise, tenth_less_noise),
    (independent_noise, noise_shared_by_columns),
    (independent_noise, noise_shared_by_groups),
    (silent_failure, engine_error_shown),
    (silent_failure, engine_error_in_context),
    (charged_before_any_byte, footer_read_before_the_charge),
    (no_sniffed_types, types_sniffed),
    (one_missing_value_moves_no_other, floats_printed_as_they_are),
    (one_missing_value_moves_no_other, cells_printed_as_python_does),
    (one_cell_moves_no_other, parallel_csv),
    (collation_merges_nobody, collation_kept),
    (one_draw_for_one_question, fresh_identity),
    (charge_is_the_noise, count_of_average_not_charged),
]


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in BUGS), ids=lambda check: check.__name__)
def test_the_good_code_is_cleared(check, tmp_path):
    check(tmp_path)


@pytest.mark.parametrize(("check", "bug"), BUGS, ids=lambda item: item.__name__)
def test_the_bug_is_caught(check, bug, tmp_path, monkeypatch):
    bug(monkeypatch)
    caught = False
    try:
        check(tmp_path)
    except (AssertionError, errors.DiscreetError, pa.ArrowException, duckdb.Error):
        caught = True
    assert caught, f"{bug.__name__} went unnoticed"
