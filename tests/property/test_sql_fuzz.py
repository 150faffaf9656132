"""A sample of benchmarks/fuzz_sql.py: statements are answered within their plan or refused, and nothing private is seen.

Fresh statements each time; a failure prints the seed. What the fuzzer would say of planted bugs stands below.
"""

from __future__ import annotations

import random
import secrets

import pyarrow as pa
import pytest

from discreet import sql
from discreet.errors import InvalidInput, UnsupportedQuery
from discreet.mechanisms import Rng
from discreet.sql import ask
from discreet.sql.answers import answering, post
from discreet.sql.engines import duckdb as engine
from discreet.sql.nodes import Select
from tests.benchmark_scripts import load
from tests.sql_cases import ROWS, plan

fuzzer = load("fuzz_sql")
MUTATIONS, VARIANTS = 160, 8


def test_statements_are_answered_within_their_plan_or_refused():
    seed = secrets.randbits(32)
    fuzz = fuzzer.Fuzz(seed, MUTATIONS, VARIANTS, 0.15, lambda _: None)
    with fuzzer.Quiet() as quiet:
        fuzz.run(quiet)
    assert not fuzz.tally.failures, f"seed {seed}\n" + "\n".join(fuzzer.written(fuzz.tally))
    asked = sum(fuzz.tally.became.values())
    answered = sum(number for (_, found), number in fuzz.tally.became.items() if found == "answered")
    assert answered > 60
    assert asked - answered > 300


# -------------------------------------------------------------------------- what it found once

FOUND = [
    "SELECT COUNT(*) AS n FROM ROWS FROM (age)",
    "SELECT COUNT(*) AS n FROM t GROUP BY FLOOR()",
    "SELECT SUM(LEAST(GREATEST(EXTRACT(year FROM born), -2), 20)) AS s FROM t",
    "SELECT note, MEDIAN(age) AS m FROM t GROUP BY note",
    "SELECT DATETIME(ASCII(t)) AT TIME ZONE x AT TIME ZONE INTEGER AS x FROM t",
]


@pytest.mark.parametrize("statement", FOUND)
def test_statements_that_failed_once(statement):
    try:
        found = plan(statement)
    except (UnsupportedQuery, InvalidInput):
        return
    assert found.run(ROWS, Rng()).value.num_columns >= 4
    assert found.run(ROWS.slice(0, 0), Rng()).value.num_columns >= 4


# ------------------------------------------------------------------------------- planted bugs


@pytest.fixture(scope="module")
def site():
    dice = random.Random(secrets.randbits(32))
    found = fuzzer.Site(dice, fuzzer.worlds()[0], 8)
    yield found
    found.close()


COUNT = "SELECT ward, COUNT(*) AS n, AVG(age) AS a FROM t GROUP BY ward"


def said(site, statement=COUNT, times=12, **given):
    """Return what the fuzzer says of a statement: over sources of every kind, with and without the ledger."""
    tally, site.runs = fuzzer.Tally(lambda _: None), {}
    with fuzzer.Quiet() as quiet:
        for i in range(times):
            site.runs.clear()
            tally.note(
                site, quiet, "planted", statement, lambda paid=i % 3 == 0: site.ask(statement, paid=paid, **given)
            )
    return " ".join(why for _, why, _ in tally.failures)


def test_without_a_bug_it_says_nothing(site):
    assert said(site) == ""
    assert said(site, "SELECT age FROM t") == ""


def test_a_look_at_rows_before_the_charge_is_seen(site, monkeypatch):
    right = engine.ready

    def early(source, names, table):
        right(source, names, table)
        if engine.kind(source) == "connection":
            source.execute(f'SELECT COUNT(*) FROM "{table}"')
        elif engine.kind(source) != "file":
            len(source)

    monkeypatch.setattr(engine, "ready", early)
    assert "looked at rows before the charge" in said(site)


def test_an_error_that_is_no_refusal_is_seen(site, monkeypatch):
    monkeypatch.setattr(ask, "bind", lambda *_, **__: {}["x"])
    assert "binding raised KeyError" in said(site)


def test_a_refusal_that_shows_a_value_is_seen(site, monkeypatch):
    def refuse(*_):
        raise InvalidInput(f"the row {fuzzer.SECRETS[0]} is wrong.", remedy="x")

    monkeypatch.setattr(engine, "ready", refuse)
    assert "a secret is shown" in said(site)


def test_a_refusal_after_the_charge_is_seen(site, monkeypatch):
    def refuse(self, source, rng):
        raise UnsupportedQuery("too late.", remedy="x")

    monkeypatch.setattr(sql.QueryPlan, "run", refuse)
    assert "raised DataFailure" in said(site)


def test_an_error_that_a_row_makes_is_seen(site, monkeypatch):
    right = answering.exact

    def fragile(*given):
        found = right(*given)
        assert not any(values.any() for values in found.sums.values())
        return found

    monkeypatch.setattr(answering, "exact", fragile)
    assert "running raised AssertionError" in said(site, times=30)


def test_columns_that_were_not_announced_are_seen(site, monkeypatch):
    right = post.table
    monkeypatch.setattr(post, "table", lambda *given: right(*given).append_column("more", pa.array([1, 2, 3])))
    assert "announced" in said(site)


def test_a_row_too_few_is_seen(site, monkeypatch):
    right = post.table
    monkeypatch.setattr(post, "table", lambda *given: right(*given).slice(1))
    assert "announced 3 rows, came 2" in said(site)


def test_what_is_printed_is_seen(site, monkeypatch):
    right = post.table

    def loud(*given):
        print("3 rows")  # noqa: T201
        return right(*given)

    monkeypatch.setattr(post, "table", loud)
    assert "something was printed: 3 rows" in said(site)


def test_two_questions_that_are_written_alike_are_seen(site, monkeypatch):
    monkeypatch.setattr(Select, "__str__", lambda _: "SELECT")
    with fuzzer.Quiet() as quiet:
        tally = fuzzer.Tally(lambda _: None)
        for statement in ("SELECT COUNT(*) AS n FROM t", "SELECT COUNT(*) AS m FROM t"):
            tally.note(site, quiet, "planted", statement, lambda text=statement: site.ask(text, paid=False))
    site.known.clear()
    assert "written alike" in " ".join(why for _, why, _ in tally.failures)


def test_a_charge_for_nothing_is_seen(site, monkeypatch):
    site.gate.charges += 1
    with pytest.raises(fuzzer.Failure, match="other charges"):
        site.scan()
    site.gate.charges -= 1
    site.scan()


@pytest.mark.parametrize("peek", [lambda path: path.read_bytes(), lambda path: engine.connect(None, [str(path)])])
def test_a_look_into_a_file_before_the_charge_is_seen(site, monkeypatch, peek):
    right = engine.ready

    def early(source, names, table):
        right(source, names, table)
        if engine.kind(source) == "file":
            peek(source)

    monkeypatch.setattr(engine, "ready", early)
    assert "looked at rows before the charge" in said(site, times=40)
