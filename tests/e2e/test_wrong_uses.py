"""What people do wrong, and what discreet says: three parts, nothing spent, no private value.

Each case changes a clinic, runs one command in this process, and looks at all that was printed.
"""

import dataclasses
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable

import pyarrow
import pyarrow.parquet
import pytest
from tests.clinic import NUMBER, SECRET, Clinic, answer, clinic
from tests.docs.pages import DOCS

from discreet.cli.app import run
from discreet.ledger import OwnerKey

PLAN = ("plan", "{folder}")
RUN = ("run", "{folder}", "--yes")


def ask(sql, *more):
    return ("query", "{folder}", sql, "--epsilon", "0.5", "--delta", "1e-7", "--yes", *more)


def spend(epsilon="0.5", delta="1e-7", *more, sql="SELECT COUNT(*) AS n FROM visits"):
    return ("query", "{folder}", sql, f"--epsilon={epsilon}", f"--delta={delta}", "--yes", *more)


@dataclasses.dataclass(frozen=True)
class Wrong:
    """One wrong use.

    Args:
        name: What is wrong.
        command: What is run; {folder} is the clinic.
        says: How the message begins, after the place in the file.
        change: What is done to the clinic before.
        kind: The error.
        code: The exit code.
        spends: How many charges it makes: failures on the rows come after the charge.
    """

    name: str
    command: tuple[str, ...]
    says: str
    change: Callable[[Clinic], object] = lambda place: None
    kind: str = "InvalidInput"
    code: int = 1
    spends: int = 0


def toml(old, new):
    return lambda place: place.change(old, new)


def wrong_sql(name, sql, says, kind="UnsupportedQuery"):
    return Wrong(f"SQL: {name}", ask(sql), says, kind=kind)


def reopen(change):
    """Change the file, and open its account anew."""

    def made(place):
        change(place)
        place.ledger.unlink()
        (place.folder / "owner.key").unlink()

    return made


def edit_ledger(place):
    """Change the budget in the stored text, as someone with a SQL shell would."""
    with sqlite3.connect(place.ledger) as book:
        for (name,) in book.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            book.execute(f"DROP TRIGGER {name}")
        table = next(name for (name,) in book.execute("SELECT name FROM sqlite_master WHERE name LIKE '%entries'"))
        assert book.execute(f"UPDATE {table} SET body = replace(body, '\"epsilon\":2.0', '\"epsilon\":9.0')").rowcount
    book.close()


def other_key(place):
    (place.folder / "owner.key").unlink()
    OwnerKey.create(place.folder / "owner.key")


def without_column(place):
    table = pyarrow.parquet.read_table(place.data)
    pyarrow.parquet.write_table(table.drop_columns(["age"]), place.data)


def folder_instead(place):
    place.data.unlink()
    place.data.mkdir()


def no_releases(place):
    (place.folder / "releases").write_text("a file where the folder should be")


COLUMNS = "[table.visits.columns]"
COST = 'cost = { type = "float", low = 0.0, high = 500.0 }'
WARD = 'keys = ["A", "B"]'
SUM = "SELECT SUM(cost) AS s FROM visits"
BY_WARD = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"

TOML = [
    Wrong("no such folder", ("plan", "{folder}/nowhere"), "{folder}/nowhere cannot be read: No such file"),
    Wrong("no file in the folder", PLAN, "{toml} cannot be read: No such file", lambda place: place.toml.unlink()),
    Wrong("not TOML", PLAN, "{toml} is not valid TOML: ", toml("version = 1", "version = = 1")),
    Wrong("not text", PLAN, "{toml} is not valid TOML: ", lambda place: place.toml.write_bytes(b"\xff\xfe")),
    Wrong("another version", PLAN, "{toml}: version must be 1, got 2.", toml("version = 1", "version = 2")),
    Wrong(
        "no version",
        PLAN,
        "{toml}: version must be 1, got None.",
        toml("version = 1", ""),
    ),
    Wrong(
        "an unknown section",
        PLAN,
        "{toml}: unknown key 'populations'. Did you mean 'population'?",
        toml("[population.people]", "[populations.people]"),
    ),
    Wrong(
        "a misspelt key",
        PLAN,
        "{toml}: [population.people]: unknown key 'epsilom'. Did you mean 'epsilon'?",
        toml("epsilon = 2.0", "epsilom = 2.0"),
    ),
    Wrong(
        "a missing key",
        PLAN,
        "{toml}: [population.people]: measure is missing.",
        toml('measure = "zcdp"\n', ""),
    ),
    Wrong(
        "a text for a number",
        PLAN,
        "{toml}: [population.people]: epsilon must be a number",
        toml("epsilon = 2.0", 'epsilon = "2"'),
    ),
    Wrong(
        "true for a number",
        PLAN,
        "{toml}: [population.people]: epsilon must be a number",
        toml("epsilon = 2.0", "epsilon = true"),
    ),
    Wrong(
        "a number for a text",
        PLAN,
        "{toml}: [table.visits]: version must be a text",
        toml('version = "1"', "version = 1.5"),
    ),
    Wrong(
        "half an attempt",
        PLAN,
        "{toml}: [[release]] people: attempt must be a whole number",
        toml('name = "people"', 'name = "people"\nattempt = 1.5'),
    ),
    Wrong(
        "attempt 0",
        PLAN,
        "{toml}: [[release]] people: attempt must be a whole number of at least 1, got 0.",
        toml('name = "people"', 'name = "people"\nattempt = 0'),
    ),
    Wrong(
        "a release in single brackets",
        PLAN,
        "{toml}: ",
        lambda place: place.toml.write_text(place.toml.read_text().split("[[release]]")[0] + '[release]\nname = "x"\n'),
    ),
    Wrong(
        "an unknown population",
        PLAN,
        "{toml}: [table.visits]: population names 'peopl', which is not declared. Did you mean 'people'?",
        toml('population = "people"', 'population = "peopl"'),
    ),
    Wrong(
        "an unknown table",
        PLAN,
        "{toml}: [[release]] people: the query reads 'visit', which is not a declared table. Did you mean 'visits'?",
        toml("FROM visits", "FROM visit"),
    ),
    Wrong(
        "a key that does not exist",
        PLAN,
        "{toml}: [[release]] people: unknown key 'table'.",
        toml('name = "people"', 'name = "people"\ntable = "nowhere"'),
    ),
    Wrong(
        "two releases of one name",
        PLAN,
        "{toml}: [[release]] people: the name 'people' stands twice.",
        toml('name = "by_ward"', 'name = "people"'),
    ),
    Wrong(
        "a name with a slash",
        PLAN,
        "{toml}: [[release]] ../x: a release's name is ",
        toml('name = "people"', 'name = "../x"'),
    ),
    Wrong(
        "another kind",
        PLAN,
        '{toml}: [[release]] people: kind must be "sql", got ',
        toml('name = "people"', 'name = "people"\nkind = "train"'),
    ),
    Wrong(
        "url and url_env",
        PLAN,
        "{toml}: [ledger]: give either url",
        toml('url = "ledger.db"', 'url = "ledger.db"\nurl_env = "X"'),
    ),
    Wrong(
        "neither url nor url_env",
        PLAN,
        "{toml}: [ledger]: give either url",
        toml('url = "ledger.db"', ""),
    ),
    Wrong(
        "an unset variable",
        PLAN,
        "{toml}: [ledger]: the environment variable DISCREET_NOWHERE is not set.",
        toml('url = "ledger.db"', 'url_env = "DISCREET_NOWHERE"'),
    ),
    Wrong(
        "another kind of database",
        PLAN,
        "{toml}: [ledger]: this is no place for a ledger: 'mysql'.",
        toml('url = "ledger.db"', 'url = "mysql://x"'),
    ),
    Wrong(
        "an unknown measure",
        PLAN,
        "{toml}: [population.people]: the measure must be ",
        toml('measure = "zcdp"', 'measure = "zdcp"'),
    ),
    Wrong(
        "an unknown relation",
        PLAN,
        "{toml}: [population.people]: relation must be one of ",
        toml("add_remove", "add_or_remove"),
    ),
    Wrong("an init over a project", ("init", "{folder}"), "{toml} exists already."),
    Wrong("an unknown release", ("run", "{folder}", "--yes", "--only", "agse"), "there is no release 'agse'."),
    Wrong(
        "a guess that is no number",
        PLAN,
        "{toml}: [[release]] people: guess must map output columns to numbers",
        toml("guess = { n = 60 }", 'guess = { n = "many" }'),
    ),
    Wrong(
        "a guess of an unknown column",
        PLAN,
        "{toml}: [[release]] people: ",
        toml("guess = { n = 60 }", "guess = { m = 60 }"),
    ),
]

SQL = [
    wrong_sql(
        "a join", "SELECT COUNT(*) AS n FROM visits JOIN visits AS b USING (id)", "a join has no private answer here."
    ),
    wrong_sql(
        "a subquery", "SELECT COUNT(*) AS n FROM (SELECT * FROM visits)", "a subquery has no private answer here."
    ),
    wrong_sql(
        "DISTINCT", "SELECT COUNT(DISTINCT id) AS n FROM visits", "COUNT(DISTINCT …) has no private answer here."
    ),
    wrong_sql(
        "a window", "SELECT SUM(age) OVER () AS s FROM visits", "a window function (OVER) has no private answer here."
    ),
    wrong_sql(
        "a CTE",
        "WITH v AS (SELECT * FROM visits) SELECT COUNT(*) AS n FROM v",
        "a CTE (WITH) has no private answer here.",
    ),
    wrong_sql("a UNION", "SELECT COUNT(*) AS n FROM visits UNION SELECT 1", "UNION has no private answer here."),
    wrong_sql("SELECT *", "SELECT * FROM visits", "SELECT * has no private answer here."),
    wrong_sql(
        "a private column",
        "SELECT name FROM visits",
        "the column name stands in SELECT by itself, which would release its private values.",
    ),
    wrong_sql(
        "an undeclared column",
        "SELECT SUM(salary) AS s FROM visits",
        "the column 'salary' is not declared in the domain of 'visits'.",
    ),
    wrong_sql(
        "a sum without bounds",
        "SELECT SUM(id) AS s FROM visits",
        "SUM(id) needs public bounds on one value, and the domain declares none.",
    ),
    wrong_sql(
        "groups without keys",
        "SELECT age, COUNT(*) AS n FROM visits GROUP BY age",
        "GROUP BY age needs the public list of its groups, and the domain declares none.",
    ),
    wrong_sql(
        "two statements",
        "SELECT COUNT(*) AS n FROM visits; DROP TABLE visits",
        "a text of 2 statements has no private answer here.",
    ),
    wrong_sql(
        "unreadable",
        "SELECT COUNT(* AS n FROM visits",
        "the query is not readable as SQL: Expecting ). Line 1, Col: 17.",
    ),
    wrong_sql("empty", "", "the query is empty."),
    wrong_sql("a write", "DELETE FROM visits", "DELETE has no private answer here."),
    wrong_sql(
        "a file",
        "SELECT COUNT(*) AS n FROM 'visits.parquet'",
        "the query reads 'visits.parquet', which is not a declared table. Did you mean 'visits'?",
        "InvalidInput",
    ),
    wrong_sql(
        "an unknown table",
        "SELECT COUNT(*) AS n FROM visitors",
        "the query reads 'visitors', which is not a declared table. Did you mean 'visits'?",
        "InvalidInput",
    ),
    wrong_sql("a maximum", "SELECT MAX(age) AS a FROM visits", "MAX has no private answer here."),
    wrong_sql(
        "a text for a number",
        "SELECT COUNT(*) AS n FROM visits WHERE age > 'old'",
        "column 'age' is declared as integer and is compared with text.",
        "InvalidInput",
    ),
]

BUDGETS = [
    Wrong("epsilon 0", spend("0"), "epsilon must be a number above 0, got 0.0."),
    Wrong("a negative epsilon", spend("-1"), "epsilon must be a number above 0, got -1.0."),
    Wrong("epsilon nan", spend("nan"), "epsilon must be a number above 0, got nan."),
    Wrong("epsilon inf", spend("inf"), "epsilon must be a number above 0, got inf."),
    Wrong("epsilon beyond reason", spend("1e300"), "epsilon must be a number above 0"),
    Wrong(
        "no delta",
        ("query", "{folder}", "SELECT COUNT(*) AS n FROM visits", "--epsilon=1", "--yes"),
        "this account is measured in zcdp, where epsilon means nothing without delta.",
    ),
    Wrong("delta 0", spend("0.5", "0"), "this account is measured in zcdp, where epsilon means nothing without delta."),
    Wrong("delta 1", spend("0.5", "1"), "delta must lie in [0, 1), got 1.0."),
    Wrong("a negative delta", spend("0.5", "-0.1"), "delta must lie in [0, 1), got -0.1."),
    Wrong("delta nan", spend("0.5", "nan"), "delta must lie in [0, 1), got nan."),
    Wrong(
        "more than there is",
        spend("1.99", "1e-6", "--name", "big"),
        "'people' has ε = 1.61 left at δ = 1e-06; this needs ε = 1.99.",
        kind="BudgetExceeded",
        code=3,
        change=lambda place: run(["query", str(place.folder), BY_WARD, "--epsilon=1", "--delta=1e-6", "--yes"]),
    ),
    Wrong("more than there ever was", spend("50"), "'people' has ε = ", kind="BudgetExceeded", code=3),
    Wrong(
        "the weight of an unknown column",
        spend("0.5", "1e-7", "--weights", "m=2"),
        "weights names 'm', which is no output of this query.",
    ),
    Wrong(
        "a negative weight", spend("0.5", "1e-7", "--weights", "n=-1"), "the weight of 'n' must be above 0, got -1.0."
    ),
    Wrong(
        "a weight of nan",
        spend("0.5", "1e-7", "--weights", "n=nan"),
        "the weights of 'n' must be a finite number, got nan.",
    ),
    Wrong(
        "a guess that is no number",
        spend("0.5", "1e-7", "--guess", "n=many"),
        "--guess takes COLUMN=NUMBER, got 'n=many'.",
    ),
    Wrong("a guess without a column", spend("0.5", "1e-7", "--guess", "60"), "--guess takes COLUMN=NUMBER, got '60'."),
    Wrong("a guess of 0", spend("0.5", "1e-7", "--guess", "n=0"), "the guess of 'n' is 0: no error is relative to it."),
    Wrong(
        "an analyst without a share",
        spend("0.5", "1e-7", "--analyst", "bo"),
        "'bo' has no share of the account 'people'.",
    ),
    Wrong("attempt 0", spend("0.5", "1e-7", "--attempt", "0"), "attempt must be a whole number of at least 1, got 0."),
    Wrong("a bad name", spend("0.5", "1e-7", "--name", "../x"), "a release's name is "),
    Wrong(
        "an empty purpose",
        spend("0.5", "1e-7", "--purpose", ""),
        "purpose must be a printable text of 1 to 2000 characters, got a text of 0.",
    ),
    Wrong(
        "a pure account with too much delta",
        ("ledger", "open", "{folder}"),
        "{toml}: [population.people]: delta must lie in [0, 1), got 1.5.",
        reopen(toml("delta = 1e-6", "delta = 1.5")),
    ),
    Wrong(
        "an account without delta",
        ("ledger", "open", "{folder}"),
        "{toml}: [population.people]: a zcdp account needs delta above 0.",
        reopen(toml("delta = 1e-6", "")),
    ),
    Wrong(
        "an account of epsilon 0",
        ("ledger", "open", "{folder}"),
        "{toml}: [population.people]: epsilon must lie in (0, 1000], got 0.0.",
        reopen(toml("epsilon = 2.0", "epsilon = 0.0")),
    ),
    Wrong(
        "a ceiling below the budget",
        ("ledger", "open", "{folder}"),
        "{toml}: [population.people]: the ceiling must be at least epsilon, got 1.0.",
        reopen(toml("epsilon = 2.0", "epsilon = 2.0\nceiling = 1.0")),
    ),
]

DATA = [
    Wrong("no such file", RUN, "{data} does not exist.", lambda place: place.data.unlink()),
    Wrong(
        "a folder",
        RUN,
        "{toml}: [[release]] people: the source 'visits.parquet' is a folder, or its path holds",
        folder_instead,
    ),
    Wrong(
        "another format",
        RUN,
        "{toml}: [[release]] people: the source 'visits.xlsx' is neither .parquet nor .csv.",
        lambda place: (
            shutil.move(place.data, place.folder / "visits.xlsx"),
            place.change("visits.parquet", "visits.xlsx"),
        ),
    ),
    Wrong(
        "no Parquet file at all",
        RUN,
        "the work on the private rows failed",
        lambda place: place.data.write_bytes(SECRET.encode() * 99),
        "DataFailure",
        spends=1,
    ),
    Wrong(
        "an empty file",
        RUN,
        "the work on the private rows failed",
        lambda place: place.data.write_bytes(b""),
        "DataFailure",
        spends=1,
    ),
    Wrong(
        "a declared column that is not there",
        ask("SELECT AVG(age) AS a FROM visits"),
        "the work on the private rows failed",
        without_column,
        "DataFailure",
        spends=1,
    ),
]

BOUNDS = [
    Wrong(
        "low above high",
        PLAN,
        "{toml}: [table.visits]: column 'cost': low must be below high",
        toml("high = 500.0", "high = -1.0"),
    ),
    Wrong(
        "low equals high",
        PLAN,
        "{toml}: [table.visits]: column 'cost': low must be below high",
        toml("high = 500.0", "high = 0.0"),
    ),
    Wrong(
        "low without high",
        PLAN,
        "{toml}: [table.visits]: column 'cost': a column needs both low and high",
        toml(", high = 500.0", ""),
    ),
    Wrong(
        "nan",
        PLAN,
        "{toml}: [table.visits]: column 'cost': high must be a finite number",
        toml("high = 500.0", "high = nan"),
    ),
    Wrong(
        "inf",
        PLAN,
        "{toml}: [table.visits]: column 'cost': high must be a finite number",
        toml("high = 500.0", "high = inf"),
    ),
    Wrong(
        "a text",
        PLAN,
        "{toml}: [table.visits]: column 'cost': high must be a finite number",
        toml("high = 500.0", 'high = "500"'),
    ),
    Wrong(
        "half an integer",
        PLAN,
        "{toml}: [table.visits]: column 'age': high of an integer column must be whole",
        toml("high = 100", "high = 99.5"),
    ),
    Wrong(
        "resolution 0",
        PLAN,
        "{toml}: [table.visits]: column 'cost': resolution must be above 0",
        toml("high = 500.0", "high = 500.0, resolution = 0.0"),
    ),
    Wrong(
        "resolution too fine",
        PLAN,
        "{toml}: [table.visits]: column 'cost': [0.0, 500.0] in steps of",
        toml("high = 500.0", "high = 500.0, resolution = 1e-15"),
    ),
    Wrong(
        "an unknown type",
        PLAN,
        "{toml}: [table.visits]: column 'ward': type must be one of",
        toml('ward = { type = "text"', 'ward = { type = "string"'),
    ),
    Wrong(
        "an unknown fact",
        PLAN,
        "{toml}: [table.visits]: column 'cost': unknown key 'hihg'. Did you mean 'high'?",
        toml("high = 500.0", "hihg = 500.0"),
    ),
    Wrong(
        "keys of another type",
        PLAN,
        "{toml}: [table.visits]: column 'ward': the keys of a text column must be",
        toml(WARD, "keys = [1, 2]"),
    ),
    Wrong(
        "keys that are no list",
        PLAN,
        "{toml}: [table.visits]: column 'ward': keys must be a list",
        toml(WARD, 'keys = "AB"'),
    ),
    Wrong(
        "no keys",
        PLAN,
        "{toml}: [table.visits]: column 'ward': keys must name at least one group",
        toml(WARD, "keys = []"),
    ),
    Wrong(
        "a key twice",
        PLAN,
        "{toml}: [table.visits]: column 'ward': keys must be distinct",
        toml(WARD, 'keys = ["A", "A"]'),
    ),
    Wrong(
        "keys of a float",
        PLAN,
        "{toml}: [table.visits]: column 'cost': a float column cannot be grouped by",
        toml("high = 500.0", "high = 500.0, keys = [1.5]"),
    ),
    Wrong(
        "too many groups",
        ask("SELECT ward, age, COUNT(*) AS n FROM visits GROUP BY ward, age"),
        "GROUP BY ward, age has 2000000 groups; at most 1000000",
        kind="UnsupportedQuery",
        change=lambda place: (
            place.change(WARD, f"keys = {[str(i) for i in range(2000)]}"),
            place.change("low = 0, high = 100", f"low = 0, high = 100, keys = {list(range(1000))}"),
        ),
    ),
]

UNITS = [
    Wrong(
        "an undeclared person's column",
        PLAN,
        "{toml}: [[release]] people: the unit's column 'id' is not declared in the domain of",
        toml('id = { type = "integer" }\n', ""),
    ),
    Wrong(
        "a float person's column",
        PLAN,
        "{toml}: [[release]] people: the unit's column 'id' is declared as float: 0.0 and -0.0",
        toml('id = { type = "integer" }', 'id = { type = "float" }'),
    ),
    Wrong(
        "max_rows 0",
        PLAN,
        "{toml}: [table.visits]: max_rows must be a whole number from 1",
        toml("max_rows = 2", "max_rows = 0"),
    ),
    Wrong(
        "max_groups true",
        PLAN,
        "{toml}: [table.visits]: max_groups must be a whole number from 1",
        toml("max_groups = 2", "max_groups = true"),
    ),
    Wrong(
        "bounds without a person's column",
        PLAN,
        "{toml}: [table.visits]: max_groups and max_rows of a table shape the truncation",
        toml('column = "id"\n', ""),
    ),
    Wrong(
        "another person than the account's",
        PLAN,
        "the account 'people' protects ",
        toml('column = "id"', 'column = "age"'),
    ),
    Wrong(
        "another relation than the account's", PLAN, "the account 'people' protects ", toml("add_remove", "replace_one")
    ),
]

LEDGER = [
    Wrong(
        "none",
        PLAN,
        "{toml}: [[release]] people: the account 'people' is not open in the ledger of {toml}.",
        lambda place: place.ledger.unlink(),
    ),
    Wrong("none to show", ("ledger", "show", "{folder}/nowhere.db"), "there is no ledger at {folder}/nowhere.db."),
    Wrong(
        "none to verify",
        ("ledger", "verify", "{folder}"),
        "there is no ledger at {folder}/ledger.db.",
        lambda place: place.ledger.unlink(),
    ),
    Wrong("edited", ("ledger", "verify", "{folder}"), "the ledger is damaged: ", edit_ledger, "LedgerDamaged"),
    Wrong("edited, then spent from", spend(), "the ledger is damaged: ", edit_ledger, "LedgerDamaged"),
    Wrong(
        "no database",
        ("ledger", "show", "{folder}"),
        "the ledger is damaged: {folder}/ledger.db is not a sound SQLite database (file is not a",
        lambda place: place.ledger.write_bytes(b"not a database" * 99),
        "LedgerDamaged",
    ),
    Wrong(
        "an unknown account",
        ("ledger", "show", "{folder}", "--population", "peple"),
        "the ledger has no account 'peple'.",
    ),
    Wrong(
        "an account that is not open",
        PLAN,
        "{toml}: [[release]] people: the account 'others' is not open in the ledger of {toml}.",
        lambda place: place.toml.write_text(
            place.toml.read_text().replace("people]", "others]").replace('"people"\nmax', '"others"\nmax')
        ),
    ),
    Wrong(
        "a raise that lowers",
        ("ledger", "raise", "{folder}", "people", "--epsilon=1"),
        "the budget is ε = 2; a raise must be larger",
    ),
    Wrong(
        "a raise above the ceiling",
        ("ledger", "raise", "{folder}", "people", "--epsilon=9"),
        "the ceiling fixed at opening is ε = 3; got 9.0.",
        lambda place: (
            reopen(toml("epsilon = 2.0", "epsilon = 2.0\nceiling = 3.0"))(place),
            run(["ledger", "open", str(place.folder)]),
        ),
    ),
    Wrong(
        "a raise to nan",
        ("ledger", "raise", "{folder}", "people", "--epsilon=nan"),
        "epsilon must lie in (0, 1000], got nan.",
    ),
    Wrong(
        "somebody else's key",
        ("ledger", "raise", "{folder}", "people", "--epsilon=3"),
        "this is not the key that opened 'people'.",
        other_key,
    ),
    Wrong(
        "a key that is none",
        ("ledger", "raise", "{folder}", "people", "--epsilon=3", "--key", "{toml}"),
        "{toml} holds no owner's key.",
    ),
    Wrong(
        "no key",
        ("ledger", "raise", "{folder}", "people", "--epsilon=3"),
        "{folder}/owner.key holds no owner's key.",
        lambda place: (place.folder / "owner.key").unlink(),
    ),
    Wrong(
        "a share of nothing",
        ("ledger", "share", "{folder}", "people", "bo", "--epsilon=0"),
        "epsilon must lie in (0, 1000], got 0.0.",
    ),
]

DISK = [
    Wrong("releases cannot be written", RUN, "releases cannot be written to", no_releases),
    Wrong(
        "a report cannot be written",
        ("explain", "{folder}", "--out", "{toml}/out"),
        "{toml}/out/report.html cannot be written: Not a directory.",
    ),
    Wrong(
        "a project cannot be written",
        ("init", "/proc/new"),
        "/proc/new/discreet.toml cannot be written: No such file or directory.",
    ),
    Wrong(
        "a ledger cannot be written",
        ("ledger", "open", "{folder}"),
        "the folder {toml} does not exist.",
        lambda place: place.change('url = "ledger.db"', 'url = "discreet.toml/ledger.db"'),
    ),
    Wrong(
        "a key cannot be written",
        ("ledger", "open", "{folder}", "--key", "{toml}/key"),
        "no key can be written to {toml}/key: Not a directory.",
        lambda place: place.ledger.unlink(),
    ),
]

USAGE = [
    Wrong(f"usage: {' '.join(command)[:40]}", command, "", kind="Usage", code=2)
    for command in (
        ("run", "{folder}"),
        ("query", "{folder}", SUM, "--epsilon=0.1", "--delta=1e-7"),
        ("query", "{folder}", SUM, "--delta=1e-7", "--yes"),
        ("query", "{folder}", SUM, "--epsilon", "much", "--yes"),
        ("query", "{folder}", "--epsilon=1", "--yes"),
        ("plan", "{folder}", "--loud"),
        ("plan",),
        ("publish", "{folder}"),
        ("ledger", "refund", "{folder}"),
        ("ledger", "raise", "{folder}", "people"),
    )
]

ALL = [*TOML, *SQL, *BUDGETS, *DATA, *BOUNDS, *UNITS, *LEDGER, *DISK, *USAGE]
IDS = [f"{place}-{wrong.name}" for place, wrong in enumerate(ALL)]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return clinic(tmp_path_factory.mktemp("clinic") / "clinic").folder


@pytest.fixture
def place(template, tmp_path):
    return Clinic(shutil.copytree(template, tmp_path / "clinic"))


def charges(place):
    """Return how many charges the ledger holds, read without discreet; None where it cannot be read."""
    if not place.ledger.is_file():
        return None
    book = sqlite3.connect(f"file:{place.ledger}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in book.execute("SELECT name FROM sqlite_master WHERE name LIKE '%entries'")]
        return book.execute(f"SELECT COUNT(*) FROM {tables[0]} WHERE kind = 'charge'").fetchone()[0]  # one table
    except sqlite3.DatabaseError:
        return None
    finally:
        book.close()


def filled(text, place):
    """Return a text of a case with this clinic's paths."""
    for name, value in {"folder": place.folder, "toml": place.toml, "data": place.data}.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def leaks(text):
    """Return the private values that stand in a text."""
    return [secret for secret in (*SECRET.split(), str(int(NUMBER))) if secret.casefold() in text.casefold()]


def after(wrong, before):
    """Return how many charges there are after a wrong use."""
    return None if before is None else before + wrong.spends


def test_there_are_enough():
    assert len(ALL) >= 45
    assert len({(wrong.command, wrong.name) for wrong in ALL}) == len(ALL)


def test_the_messages_in_the_reference_are_these():
    """Each message in the table of the errors' page is one that a case here begins with."""
    table = (DOCS / "reference" / "errors.md").read_text().partition("## What wrong uses say")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| [^|]+ \| `([^`|]+)` \| `(\w+)` \|$", table, re.MULTILINE)
    assert len(shown) == table.count("\n|") - 2
    for message, kind in shown:
        assert any(wrong.kind == kind and message.removeprefix("…").strip() in wrong.says for wrong in ALL), message


def test_a_leak_would_be_seen(place):
    assert leaks(pyarrow.parquet.read_table(place.data).to_pandas().to_string()) == [*SECRET.split(), str(int(NUMBER))]


def test_the_clinic_itself_is_right(place, capsys):
    assert answer(capsys, *(filled(item, place) for item in RUN))[0] == 0
    assert charges(place) == 3
    assert answer(capsys, *(filled(item, place) for item in ask(BY_WARD, "--name", "x")))[0] == 0


@pytest.mark.parametrize("wrong", ALL, ids=IDS)
def test_as_json(wrong, place, capsys, monkeypatch):
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("DISCREET_NOWHERE", raising=False)
    wrong.change(place)
    before = charges(place)
    capsys.readouterr()
    code = run([*(filled(item, place) for item in wrong.command), "--json"])
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert (error["kind"], code) == (wrong.kind, wrong.code), error
    assert error["what"].startswith(filled(wrong.says, place)), error["what"]
    assert error["state"].startswith("The charge stands" if wrong.spends else "Nothing was spent and no data was read.")
    assert error["remedy"]
    assert charges(place) == after(wrong, before)
    assert leaks(printed.out + printed.err) == []


@pytest.mark.parametrize("wrong", ALL, ids=IDS)
def test_for_people(wrong, place, capsys, monkeypatch):
    monkeypatch.chdir(place.folder)
    wrong.change(place)
    before = charges(place)
    capsys.readouterr()
    assert run([filled(item, place) for item in wrong.command]) == wrong.code
    printed = capsys.readouterr()
    first, *rest = printed.err.strip().splitlines()
    assert first.startswith(f"{wrong.kind}: {filled(wrong.says, place)}"), printed.err
    assert len(rest) == 2, "what happened, what state we are in, what to do"
    assert "Traceback" not in printed.err
    assert charges(place) == after(wrong, before)
    assert leaks(printed.out + printed.err) == []
    assert not list((place.folder / "releases").glob("*/*")) or wrong.name == "more than there is"


def discreet(*arguments, program="from discreet.cli import main; main()"):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("wrong", [TOML[6], SQL[0], BUDGETS[11], DATA[3], LEDGER[3]], ids=lambda wrong: wrong.name)
def test_as_a_program(wrong, place):
    """The same in a process of its own, where nothing of the tests is loaded."""
    wrong.change(place)
    before = charges(place)
    done = discreet(*(filled(item, place) for item in wrong.command))
    assert done.returncode == wrong.code
    assert done.stderr.lstrip().startswith(f"{wrong.kind}: {filled(wrong.says, place)}")
    assert "Traceback" not in done.stderr
    assert charges(place) == after(wrong, before)
    assert leaks(done.stdout + done.stderr) == []


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from discreet.cli.app import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("package", "extra", "command"),
    [
        ("duckdb", "sql", RUN),
        ("sqlglot", "sql", PLAN),
        ("pyarrow", "sql", RUN),
        ("jinja2", "report", ("explain", "{folder}")),
        ("matplotlib", "report", ("explain", "{folder}")),
        ("psycopg", "postgres", ("ledger", "show", "postgresql://localhost/nowhere")),
    ],
)
def test_a_missing_extra(place, package, extra, command):
    if command[0] == "explain":
        assert run([filled(item, place) for item in RUN]) == 0
    before = charges(place)
    done = discreet(package, *(filled(item, place) for item in command), program=BLOCKED)
    assert done.returncode == 1
    what, state, remedy = done.stderr.strip().splitlines()
    assert what.startswith("MissingExtra: ")
    assert what.endswith(f"this needs the package {package!r}, which is not installed.")
    assert state.startswith("  Nothing was spent and no data was read.")
    assert remedy == f'  Type: pip install "discreet[{extra}]"'
    assert charges(place) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere; a file in the way is tested above")
def test_a_folder_that_may_not_be_written(place, capsys):
    place.folder.chmod(0o500)
    try:
        code, found = answer(capsys, *(filled(item, place) for item in RUN))
    finally:
        place.folder.chmod(0o700)
    assert (code, charges(place)) == (1, 0)
    assert found["error"]["remedy"]


def test_a_csv_whose_header_is_wrong(place, capsys):
    """The rows were read, so the charge stands; nothing of them is shown."""
    (place.folder / "visits.csv").write_text(f"id,ward,cost\n1,A,{NUMBER}\n{SECRET},B,{SECRET}\n")
    place.change("visits.parquet", "visits.csv")
    capsys.readouterr()
    assert run([filled(item, place) for item in ask("SELECT AVG(age) AS a FROM visits")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("DataFailure: the work on the private rows failed")
    assert leaks(printed.out + printed.err) == []
    assert charges(place) == 1
