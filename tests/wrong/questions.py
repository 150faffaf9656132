"""What can be wrong with a question, its budget, or the command line."""

import pyarrow.parquet

from discreet.cli.app import run
from tests.wrong.case import BY_WARD, SUM, Wrong, ask, reopen, spend, toml


def wrong_sql(name, sql, says, kind="UnsupportedQuery"):
    return Wrong(f"SQL: {name}", ask(sql), says, kind=kind)


def without_age(place):
    rows = pyarrow.parquet.read_table(place.data)
    pyarrow.parquet.write_table(rows.drop_columns(["age"]), place.data)


SQL = [
    wrong_sql(
        "a join",
        "SELECT COUNT(*) AS n FROM visits JOIN visits AS b USING (age)",
        "a join of private tables on anything but the person has no private answer here.",
    ),
    wrong_sql(
        "a subquery",
        "SELECT COUNT(*) AS n FROM (SELECT SUM(age) AS s FROM visits)",
        "a subquery that aggregates over several people has no private answer here.",
    ),
    wrong_sql("DISTINCT", "SELECT SUM(DISTINCT age) AS s FROM visits", "SUM(DISTINCT …) has no private answer here."),
    wrong_sql(
        "a window", "SELECT SUM(age) OVER () AS s FROM visits", "a window function (OVER) has no private answer here."
    ),
    wrong_sql(
        "a CTE",
        "WITH RECURSIVE v AS (SELECT * FROM visits) SELECT COUNT(*) AS n FROM v",
        "WITH RECURSIVE has no private answer here.",
    ),
    wrong_sql(
        "a UNION", "SELECT COUNT(*) AS n FROM visits UNION SELECT 1", "UNION of answers has no private answer here."
    ),
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
        "SUM(id) needs public bounds, and the domain declares none.",
    ),
    wrong_sql(
        "groups without end",
        "SELECT cost, COUNT(*) AS n FROM visits GROUP BY cost",
        "GROUP BY cost would make a group of each float.",
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
    Wrong(
        "SQL: a column that the file lacks",
        ask("SELECT SUM(age) AS s FROM visits"),
        "the source of 'visits' has no column 'age'.",
        without_age,
    ),
    Wrong(
        "SQL: neither a budget nor an accuracy",
        ("query", "{folder}", SUM, "--delta=1e-7", "--yes"),
        "a question needs epsilon or target_error, and neither was given.",
    ),
    wrong_sql(
        "the value of one row", "SELECT ARG_MAX(age, cost) AS a FROM visits", "ARG_MAX has no private answer here."
    ),
    wrong_sql(
        "a mode without candidates",
        "SELECT MODE(age) AS m FROM visits",
        "MODE(age) needs the public list of its candidates, and there is none.",
    ),
    wrong_sql(
        "a text for a number",
        "SELECT COUNT(*) AS n FROM visits WHERE age > 'old'",
        "column 'age' is declared as integer and is compared with text.",
        "InvalidInput",
    ),
]


OUTPUT = [
    Wrong("a file that is there", ask(BY_WARD, "--output", "{data}"), "{data} exists already."),
    Wrong("a folder that is not there", ask(BY_WARD, "--output={folder}/no/x.csv"), "{folder}/no is no folder."),
]


BUDGETS = [
    Wrong("epsilon 0", spend("0"), "epsilon must be a number above 0, got 0.0."),
    Wrong("a negative epsilon", spend("-1"), "epsilon must be a number above 0, got -1.0."),
    Wrong("epsilon nan", spend("nan"), "epsilon must be a number above 0, got nan."),
    Wrong("epsilon inf", spend("inf"), "epsilon must be a number above 0, got inf."),
    Wrong("epsilon beyond reason", spend("1e300"), "epsilon must be below 1,000,000; so large a one protects nobody."),
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


USAGE = [
    Wrong(f"usage: {' '.join(command)[:40]}", command, "", kind="Usage", code=2)
    for command in (
        ("run", "{folder}"),
        ("query", "{folder}", SUM, "--epsilon=0.1", "--delta=1e-7"),
        ("query", "{folder}", SUM, "--epsilon", "much", "--yes"),
        ("query", "{folder}", "--epsilon=1", "--yes"),
        ("query", "{folder}", SUM, "--epsilon=1", "--delta=1e-7", "--yes", "--format=parquet"),
        ("query", "{folder}", SUM, "--epsilon=1", "--delta=1e-7", "--yes", "--output=answer"),
        ("query", "{folder}", SUM, "--epsilon=1", "--delta=1e-7", "--yes", "--format=html"),
        ("plan", "{folder}", "--loud"),
        ("plan",),
        ("publish", "{folder}"),
        ("ledger", "refund", "{folder}"),
        ("ledger", "raise", "{folder}", "people"),
    )
]
