"""Aggregates in an expression: found whatever stands in them, and said in words."""

import pytest

from discreet.explain.aggregates import aggregates, named, replaced
from discreet.explain.questions import _where


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COUNT(*)", "the number of rows"),
        ("COUNT(x)", "the number of rows with a value of “x”"),
        ("COUNT(DISTINCT v.city)", "the number of different values of “city”"),
        ('SUM("l"."a b")', "the total of “a b”"),
        ("AVG(x)", "the mean of “x”"),
        ("QUANTILE(age, 0.5)", "the median of “age”"),
        ("QUANTILE(age, 0.50)", "the median of “age”"),
        ("QUANTILE(p.age, 0.25)", "the 0.25 quantile of “age”"),
        ("MIN(age)", "a value near the least of “age”"),
        ("MAX(age)", "a value near the greatest of “age”"),
        ("MODE(drug)", "one of the most frequent values of “drug”"),
        ("VAR_POP(x)", "the variance of “x”"),
        ("STDDEV_SAMP(x)", "the standard deviation of “x”"),
        ("COVAR_SAMP(x, y)", "the covariance of “x” and “y”"),
        ("CORR(x, y)", "the correlation of “x” and “y”"),
        ("SUM(LEAST(GREATEST(a, 0), 5))", "the total of “LEAST(GREATEST(a, 0), 5)”"),
        (
            "COUNT(CASE WHEN d = 'SUM(x))' THEN 1 END)",
            "the number of rows with a value of “CASE WHEN d = 'SUM(x))' THEN 1 END”",
        ),
        ('SUM("COUNT(")', "the total of “COUNT(”"),
        ("(SUM(x) + QUANTILE(y, 0.5))", "(the total of “x” + the median of “y”)"),
        ("DISCOUNT(x)", "DISCOUNT(x)"),
    ],
)
def test_words(text, words):
    assert replaced(text, "rows") == words


def test_what_an_aggregate_is_of():
    text = 'COVAR_SAMP(l.x, "y") - QUANTILE(z, 0.9) / COUNT(*)'
    found = [(item.function, item.arguments, item.rank) for item in aggregates(text)]
    assert found == [("COVAR_SAMP", ("l.x", '"y"'), None), ("QUANTILE", ("z",), "0.9"), ("COUNT", (), None)]
    assert [named(item) for item in found[0][1]] == ["x", "y"]


@pytest.mark.parametrize("text", ["SUM(x", "SUM(", "QUANTILE(x, 0.5", "SUM('", ""])
def test_no_text_is_too_broken(text):
    list(aggregates(text))


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("SELECT COUNT(*) AS n FROM t", ""),
        ("SELECT COUNT(*) AS n FROM t WHERE a = 1", "a = 1"),
        ("SELECT COUNT(*) AS n FROM t WHERE a = 1 GROUP BY b", "a = 1"),
        ("SELECT COUNT(*) AS n FROM t WHERE a = ' GROUP BY ' LIMIT 3", "a = ' GROUP BY '"),
        ("SELECT COUNT(*) AS n FROM (SELECT id FROM t WHERE a = 1) WHERE b = 2 ORDER BY n", "b = 2"),
        ("SELECT COUNT(*) AS n FROM (SELECT id FROM t WHERE a = 1)", ""),
        ("SELECT COUNT(*) AS n FROM (SELECT id FROM t WHERE a = 1) AS x GROUP BY b HAVING n > 1", ""),
        ('SELECT COUNT(*) AS " WHERE " FROM t', ""),
        ("SELECT COUNT(*) AS n FROM t WHERE (a = 1) OR (b = 2) HAVING n > 1", "(a = 1) OR (b = 2)"),
    ],
)
def test_the_condition_is_that_of_the_query_itself(sql, where):
    assert _where(sql) == where
