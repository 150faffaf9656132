"""Engine queries beside the sums: histograms, distinct values, and the weights of unknown groups.

Each goes over the kept rows (`stages`), and in each a person's share is worked out from that person's
rows, public facts and what was released before. Which K groups of a person count is the same public
choice as for the sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discreet.sql.answers.drawn import WHOLE
from discreet.sql.parsing.build import aliased, case, column, conjunction, integer, missing, name_of, select
from discreet.sql.statements.stages import Writer

SCALE = 2**20  # of weights: see mechanisms.weighted_selection.key_weight


def histogram(writer: Writer, place: int, rows: str, stages: Mapping[str, Any] | None = None) -> Any:
    """Return, per group and value, the weight: columns k0, …, v, w.

    Args:
        writer: The question's writer.
        place: Which of the values that are looked at.
        rows: The table of kept rows.
        stages: The stages that make that table, where it is none of the engine's.
    """
    from sqlglot import exp

    question, dialect = writer.question, writer.dialect
    keys = [*map(name_of, writer.keys)]
    stages = {**(stages or {}), "there": _there(writer, place, rows)}
    if question.persons:
        stages |= _groups(writer)
        most = question.bounds.rows
        few = exp.LTE(this=column("m", "r"), expression=integer(most))
        less = dialect.divided(integer(WHOLE * most), column("m", "r"))
        weight = dialect.cast(case((few, integer(WHOLE)), default=less), dialect.fitting(WHOLE))
        stages["weighed"] = _of_chosen(writer, [*writer.keys, "v"], aliased(weight, "w"))
    else:
        stages["weighed"] = select([*keys, name_of("v"), aliased(integer(WHOLE), "w")], "there")
    total = dialect.cast(dialect.total(name_of("w")), "BIGINT")
    some = exp.GT(this=name_of("w"), expression=integer(0))
    return select(
        [*keys, name_of("v"), aliased(total, "w")], "weighed", where=[some], group=[*keys, name_of("v")], stages=stages
    )


def distinct(writer: Writer, place: int, rows: str, stages: Mapping[str, Any] | None = None) -> Any:
    """Return, per group, how many different values it has, of at most R of each person: columns k0, …, t.

    Who has at most R rows in a group has at most R values there: only the others' values are put in order.
    """
    from sqlglot import exp

    question, dialect = writer.question, writer.dialect
    keys, value = [*map(name_of, writer.keys)], name_of("v")
    stages, source = {**(stages or {}), "there": _there(writer, place, rows)}, "there"
    if question.persons:
        names = [*writer.people, *writer.keys, "v"]
        stages |= _groups(writer)
        stages["chosen"] = _of_chosen(writer, names, column("m", "r"))
        most = integer(question.bounds.rows)
        many = exp.GT(this=name_of("m"), expression=most)
        stages["apart"] = select([*map(name_of, names)], "chosen", where=[many], distinct=True)
        order = [
            exp.Ordered(this=dialect.chance([*map(name_of, names)], question.salt), nulls_first=False),
            exp.Ordered(this=name_of("v"), nulls_first=False),
        ]
        within = [name_of(name) for name in names[:-1]]
        nth = exp.Window(this=exp.RowNumber(), partition_by=within, order=exp.Order(expressions=order))
        stages["ranked"] = select([*keys, value, aliased(nth, "nth")], "apart")
        few = exp.LTE(this=name_of("m"), expression=most.copy())
        first = exp.LTE(this=name_of("nth"), expression=most.copy())
        stages["counted"] = exp.Union(
            this=select([*keys, value], "chosen", where=[few]),
            expression=select([*keys, value], "ranked", where=[first]),
            distinct=False,
        )
        source = "counted"
    count = exp.Count(this=exp.Distinct(expressions=[value]), big_int=True)
    return select([*keys, aliased(count, "t")], source, group=keys, stages=stages)


def _there(writer: Writer, place: int, rows: str) -> Any:
    """Return the rows that have the value, as v."""
    from sqlglot import exp

    names = [*writer.people, *writer.keys]
    there = exp.Not(this=missing(name_of(f"d{place}")))
    return select([*map(name_of, names), aliased(name_of(f"d{place}"), "v")], rows, where=[there])


def _groups(writer: Writer) -> dict[str, Any]:
    """Return the stages of each person's groups, with the number m of rows there, and which of them count.

    They are counted and chosen first, and joined to the rows afterwards: to sort all rows would take longer.
    """
    from sqlglot import exp

    names = [*writer.people, *writer.keys]
    number = aliased(exp.Count(this=exp.Star(), big_int=True), "m")
    stages = {"counts": select([*map(name_of, names), number], "there", group=[*map(name_of, names)])}
    if writer.question.bounds.sampled:
        stages["placed"] = select([*map(name_of, names), name_of("m"), aliased(writer.place(), "place")], "counts")
    return stages


def _of_chosen(writer: Writer, names: list[str], about: Any) -> Any:
    """Return the rows (l) of the groups of each person (r) that count: some columns, and something about the group."""
    from sqlglot import exp

    bounds = writer.question.bounds
    where = [exp.LTE(this=column("place", "r"), expression=integer(bounds.groups))] if bounds.sampled else []
    terms: list[Any] = [exp.EQ(this=column(name, "l"), expression=column(name, "r")) for name in writer.people]
    terms += [exp.NullSafeEQ(this=column(key, "l"), expression=column(key, "r")) for key in writer.keys]
    groups = _as("placed" if bounds.sampled else "counts", "r")
    join = exp.Join(this=groups, on=conjunction(terms))
    return select([*(column(name, "l") for name in names), about], _as("there", "l"), joins=[join], where=where)


def _as(table: str, alias: str) -> Any:
    from sqlglot import exp

    return exp.Table(this=exp.to_identifier(table), alias=exp.TableAlias(this=exp.to_identifier(alias)))


# ---------------------------------------------------------------------------------- unknown groups


def offers(writer: Writer, rows: str, most: int) -> Any:
    """Return every person's groups, each once, and of a person at most `most`, chosen by the public hash."""
    from sqlglot import exp

    names = [*map(name_of, (*writer.people, *writer.keys))]
    stages = {
        "apart": select(names, rows, distinct=True),
        "ranked": select([*names, aliased(writer.place(), "place")], "apart"),
    }
    return select(names, "ranked", where=[exp.LTE(this=name_of("place"), expression=integer(most))], stages=stages)


def people(writer: Writer, offered: str) -> Any:
    """Return, per group, how many people offer it: columns k0, …, w."""
    from sqlglot import exp

    keys = [*map(name_of, writer.keys)]
    return select([*keys, aliased(exp.Count(this=exp.Star(), big_int=True), "w")], offered, group=keys)


def weights(writer: Writer, offered: str, still: str | None) -> Any:
    """Return, per group, the sum of the weights that people give to it: columns k0, …, w.

    A person with n groups gives floor(2**20 / sqrt(n)) to each (`mechanisms.key_weight`).

    Args:
        writer: The question's writer.
        offered: The table of people's groups.
        still: The table of those groups that are still open, if some are closed.
    """
    from sqlglot import exp

    dialect = writer.dialect
    keys, within = [*map(name_of, writer.keys)], [name_of(name) for name in writer.people]
    source, stages = offered, {}
    if still is not None:
        names = [column(name, offered) for name in (*writer.people, *writer.keys)]
        stages["open"] = select(names, offered, joins=[_on_keys(writer.keys, offered, still)])
        source = "open"
    number = exp.Window(this=exp.Count(this=exp.Star(), big_int=True), partition_by=within)
    stages["numbered"] = select([*keys, aliased(number, "n")], source)
    ratio = exp.Div(this=dialect.cast(integer(SCALE), "DOUBLE"), expression=dialect.root(name_of("n")))
    stages["weighed"] = select([*keys, aliased(dialect.cast(exp.Floor(this=ratio), "BIGINT"), "w")], "numbered")
    total = dialect.cast(dialect.total(name_of("w")), "BIGINT")
    return select([*keys, aliased(total, "w")], "weighed", group=keys, stages=stages)


def chosen(writer: Writer, rows: str, found: str) -> Any:
    """Return the kept rows of the groups found, with the number of the group as their one key.

    Args:
        writer: The question's writer.
        rows: The table of kept rows.
        found: The table of the groups found.
    """
    question = writer.question
    names = [f"v{i}" for i in range(len(question.counted))] + [f"d{i}" for i in range(len(question.looked))]
    columns = [column(name, rows) for name in writer.people]
    columns += [aliased(column("cell", found), "k0"), *(column(name, rows) for name in names)]
    return select(columns, rows, joins=[_on_keys(writer.keys, rows, found)])


def _on_keys(keys: list[str], left: str, right: str) -> Any:
    """Return JOIN on equal keys, where NULL equals NULL."""
    from sqlglot import exp

    terms = [exp.NullSafeEQ(this=column(key, left), expression=column(key, right)) for key in keys]
    return exp.Join(this=exp.Table(this=exp.to_identifier(right)), on=conjunction(terms))
