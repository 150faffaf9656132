"""A lent DuckDB connection is one query's at a time, whoever asks: rows that are kept meanwhile are never another's."""

from __future__ import annotations

import contextlib
import threading

import duckdb
import pyarrow as pa
import pytest

from discreet import Domain, PrivacyUnit, sql
from discreet.dataset import Dataset
from discreet.errors import InvalidInput
from discreet.sql.answers.names import Names
from discreet.sql.engines import duckdb as room
from discreet.sql.engines import lent
from tests.sql_cases import open_dataset

SECRET = "70017001"

NARROW = "SELECT SUM(LEAST(GREATEST(x, 0), 10)) AS s, MEDIAN(LEAST(GREATEST(x, 0), 10)) AS m FROM t"  # of 2000 people: 20,000
WIDE = "SELECT SUM(x) AS s, MEDIAN(x) AS m FROM t"  # 2,000,000
ONE = PrivacyUnit(column="id", max_groups=1, max_rows=1)


def lent_twice(tmp_path, *, cursor: bool = False) -> dict[str, Dataset]:
    """Return two datasets that know nothing of each other, on one connection, or on one and its cursor."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT i AS id, 1000 AS x FROM range(2000) r(i)")
    found = {}
    for name, source in (("narrow", connection), ("wide", connection.cursor() if cursor else connection)):
        (tmp_path / name).mkdir()
        domain = Domain(id="integer", x=(0, 1000))
        found[name] = open_dataset(tmp_path / name, source, unit=ONE, domain=domain, epsilon=1000)
    return found


def crossed(datasets: dict[str, Dataset], monkeypatch, wait: float) -> tuple[dict[str, object], bool]:
    """Stop one query where its rows are kept, and let another in, if it gets in; return both sums and whether it did."""
    stopped, inside, left = threading.Event(), threading.Event(), threading.Event()
    keep, table = room.Opened.keep, room.Opened.table
    got_in = []

    def kept(self, name, statement):
        keep(self, name, statement)
        if threading.current_thread().name == "narrow":
            stopped.set()
            got_in.append(inside.wait(wait))

    def summed(self, statement):
        found = table(self, statement)
        if threading.current_thread().name == "wide" and not inside.is_set():
            inside.set()  # its own rows are kept now, and will be for a while
            left.wait(wait)
        return found

    monkeypatch.setattr(room.Opened, "keep", kept)
    monkeypatch.setattr(room.Opened, "table", summed)
    sums: dict[str, object] = {}

    def ask(name: str, text: str) -> None:
        try:
            sums[name] = sql.query(datasets[name], text, epsilon=8.0, delta=1e-6).value["s"][0].as_py()
        except Exception as error:
            sums[name] = type(error).__name__
        left.set()

    first, second = (
        threading.Thread(name=name, target=ask, args=(name, text))
        for name, text in (("narrow", NARROW), ("wide", WIDE))
    )
    first.start()
    assert stopped.wait(60)
    second.start()
    first.join()
    second.join()
    return sums, got_in[0]


def near(sums: dict[str, object]) -> bool:
    return sums["narrow"] == pytest.approx(20_000, rel=0.05) and sums["wide"] == pytest.approx(2_000_000, rel=0.05)


def test_a_query_has_a_lent_connection_alone(tmp_path, monkeypatch):
    sums, got_in = crossed(lent_twice(tmp_path), monkeypatch, 1.0)
    assert near(sums), sums
    assert not got_in


def test_a_cursor_is_a_connection_of_its_own(tmp_path, monkeypatch):
    """Nobody waits for the other, and each has its own tables."""
    sums, got_in = crossed(lent_twice(tmp_path, cursor=True), monkeypatch, 30.0)
    assert near(sums), sums
    assert got_in


def test_tables_of_two_plans_never_have_one_name(tmp_path, monkeypatch):
    """Were the lock to fail, the rows would still be apart."""
    monkeypatch.setattr(lent, "alone", lambda connection: contextlib.nullcontext())
    sums, got_in = crossed(lent_twice(tmp_path), monkeypatch, 30.0)
    assert got_in
    assert near(sums), sums


def test_what_lock_and_names_prevent(tmp_path, monkeypatch):
    """Without both, the noise of a sum of [0, 10] is added to one of [0, 1000]: a hundred times too little."""
    monkeypatch.setattr(lent, "alone", lambda connection: contextlib.nullcontext())
    monkeypatch.setattr(Names, "fresh", classmethod(lambda cls: cls("")))
    sums, _ = crossed(lent_twice(tmp_path), monkeypatch, 30.0)
    assert sums["narrow"] == pytest.approx(2_000_000, rel=0.05)


def test_many_threads_on_one_connection(tmp_path):
    datasets = lent_twice(tmp_path)
    found: list[object] = []

    def ask(number: int) -> None:
        name, text = (("narrow", NARROW), ("wide", WIDE))[number % 2]
        try:
            value = sql.query(datasets[name], text, epsilon=8.0, delta=1e-6, name=f"n{number}").value["s"][0].as_py()
            found.append(value == pytest.approx((20_000, 2_000_000)[number % 2], rel=0.05))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    left = datasets["narrow"].source.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    assert left == [("t",)]


def test_the_names_of_tables_name_no_question(tmp_path):
    domain = Domain(id="integer", x=(0, 1000), ward=["A", "B"])
    rows = pa.table({"id": [1, 2], "x": [1, 2], "ward": ["A", "B"]})
    dataset = open_dataset(tmp_path, rows, unit=ONE, domain=domain)
    text = "SELECT ward, MEDIAN(x) AS m, COUNT(*) AS n FROM t GROUP BY ward"
    first, second = (sql.plan(dataset, text, epsilon=1.0, delta=1e-6) for _ in range(2))
    assert first.statements != second.statements
    assert dataset.request(first, name="a") == dataset.request(second, name="a")
    release = dataset.reveal(first, name="a", purpose="a test")
    mark = first.statements.names.mark
    assert len(mark) == 32
    assert mark in str(first.statements.all)
    assert mark not in f"{first.identity} {first.facts} {release!r} {release.provenance} {release.facts}"
    assert dataset.reveal(second, name="a", purpose="a test").entry == release.entry


class Torn:
    """A connection whose results another thread takes away."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def execute(self, statement):
        if self.error is not None:
            raise self.error
        return self

    def fetchall(self):
        return []


@pytest.mark.parametrize("error", [None, duckdb.Error(SECRET), ValueError(SECRET)])
def test_a_connection_that_is_in_use_is_refused_in_constant_words(error):
    for look in (lent.check, lent.columns):
        with pytest.raises(InvalidInput, match="the connection cannot be used") as caught:
            look(Torn(error), "t")
        assert caught.value.__context__ is None
        assert SECRET not in str(caught.value)


def test_rows_of_ours_are_taken_away_where_they_cannot_be_kept():
    connection = duckdb.connect()
    opened = room.Opened(connection)
    connection.execute("CREATE TEMP VIEW taken AS SELECT 1 AS one")
    with pytest.raises(duckdb.Error):
        opened.put("taken", pa.table({"id": [1]}))
    assert connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == [("taken",)]
