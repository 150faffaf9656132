"""Engine queries beside the sums: histograms, distinct values, and the weights of unknown groups.

Each goes over the kept rows (`stages`), and in each a person's share is worked out from that person's
rows, public facts and what was released before. Which K groups of a person count is the same public
choice as for the sums.
"""

from __future__ import annotations

from typing import Any

from discreet.sql.build import aliased, case, conjunction, integer, missing, name_of, select
from discreet.sql.drawn import WHOLE
from discreet.sql.stages import Writer

FOUND = "discreet_found"  # the table of selected groups
SCALE = 2**20  # of weights: see mechanisms.weighted_selection.key_weight


def histogram(writer: Writer, place: int, rows: str) -> Any:
    """Return, per group and value, the weight: columns k0, …, v, w.

    Args:
        writer: The question's writer.
        place: Which of the values that are looked at.
        rows: The table of kept rows.
    """
    from sqlglot import exp

    question, dialect = writer.question, writer.dialect
    names = [*writer.people, *writer.keys]
    value = f"d{place}"
    there = exp.Not(this=missing(name_of(value)))
    count = aliased(exp.Count(this=exp.Star(), big_int=True), "n")
    counted = select(
        [*map(name_of, names), aliased(name_of(value), "v"), count], rows, where=[there],
        group=[*map(name_of, names), name_of(value)],
    )  # fmt: skip
    chosen = [*map(name_of, writer.keys), name_of("v")]
    if not question.persons:
        weighed = select([*chosen, aliased(exp.Mul(this=name_of("n"), expression=integer(WHOLE)), "w")], "counted")
        return _summed(writer, {"counted": counted, "weighed": weighed})
    within = [name_of(name) for name in names]
    total = exp.Window(this=exp.Sum(this=name_of("n")), partition_by=within)
    ranked: list[Any] = [aliased(dialect.cast(total, "BIGINT"), "m")]
    where: list[Any] = []
    if question.bounds.sampled:
        ranked.append(aliased(writer.place(exp.Anonymous(this="dense_rank")), "place"))
        where = [exp.LTE(this=name_of("place"), expression=integer(question.bounds.groups))]
    stages = {
        "counted": counted,
        "ranked": select([*map(name_of, names), name_of("v"), name_of("n"), *ranked], "counted"),
    }
    most = question.bounds.rows
    few = exp.LTE(this=name_of("m"), expression=integer(most))
    each = case(
        (few, integer(WHOLE)), default=dialect.cast(dialect.divided(integer(WHOLE * most), name_of("m")), "BIGINT")
    )
    weight = exp.Mul(this=name_of("n"), expression=exp.Paren(this=each))
    stages["weighed"] = select([*chosen, aliased(weight, "w")], "ranked", where=where)
    return _summed(writer, stages)


def _summed(writer: Writer, stages: dict[str, Any]) -> Any:
    from sqlglot import exp

    chosen = [*map(name_of, writer.keys), name_of("v")]
    weight = writer.dialect.cast(writer.dialect.total(name_of("w")), "BIGINT")
    some = exp.GT(this=name_of("w"), expression=integer(0))
    return select([*chosen, aliased(weight, "w")], "weighed", where=[some], group=chosen, stages=stages)


def distinct(writer: Writer, place: int, rows: str) -> Any:
    """Return, per group, how many different values it has, of at most R of each person: columns k0, …, t."""
    from sqlglot import exp

    question, dialect = writer.question, writer.dialect
    names = [*writer.people, *writer.keys]
    value = f"d{place}"
    there = exp.Not(this=missing(name_of(value)))
    pairs = select([*map(name_of, names), aliased(name_of(value), "v")], rows, where=[there], distinct=True)
    stages, source, where = {"pairs": pairs}, "pairs", []
    if question.persons:
        order = [
            exp.Ordered(this=dialect.chance([*map(name_of, (*names, "v"))], question.salt), nulls_first=False),
            exp.Ordered(this=name_of("v"), nulls_first=False),
        ]
        nth = exp.Window(
            this=exp.RowNumber(), partition_by=[name_of(name) for name in names], order=exp.Order(expressions=order)
        )
        ranked: list[Any] = [aliased(nth, "nth")]
        where = [exp.LTE(this=name_of("nth"), expression=integer(question.bounds.rows))]
        if question.bounds.sampled:
            ranked.append(aliased(writer.place(exp.Anonymous(this="dense_rank")), "place"))
            where.append(exp.LTE(this=name_of("place"), expression=integer(question.bounds.groups)))
        stages["ranked"] = select([*map(name_of, names), name_of("v"), *ranked], "pairs")
        source = "ranked"
    keys = [*map(name_of, writer.keys)]
    count = exp.Count(this=exp.Distinct(expressions=[name_of("v")]), big_int=True)
    return select([*keys, aliased(count, "t")], source, where=where, group=keys, stages=stages)


# ---------------------------------------------------------------------------------- unknown groups


def offers(writer: Writer, rows: str, most: int) -> Any:
    """Return every person's groups, each once, and of a person at most `most`, chosen by the public hash."""
    from sqlglot import exp

    names = [*map(name_of, (*writer.people, *writer.keys))]
    stages = {
        "apart": select(names, rows, distinct=True),
        "ranked": select([*names, aliased(writer.place(exp.RowNumber()), "place")], "apart"),
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
        names = [_of(name, offered) for name in (*writer.people, *writer.keys)]
        stages["open"] = select(names, offered, joins=[_on_keys(writer.keys, offered, still)])
        source = "open"
    number = exp.Window(this=exp.Count(this=exp.Star(), big_int=True), partition_by=within)
    stages["numbered"] = select([*keys, aliased(number, "n")], source)
    ratio = exp.Div(this=dialect.cast(integer(SCALE), "DOUBLE"), expression=dialect.root(name_of("n")))
    stages["weighed"] = select([*keys, aliased(dialect.cast(exp.Floor(this=ratio), "BIGINT"), "w")], "numbered")
    total = dialect.cast(dialect.total(name_of("w")), "BIGINT")
    return select([*keys, aliased(total, "w")], "weighed", group=keys, stages=stages)


def chosen(writer: Writer, rows: str) -> Any:
    """Return the kept rows of the groups found, with the number of the group as their one key."""
    question = writer.question
    names = [f"v{i}" for i in range(len(question.counted))] + [f"d{i}" for i in range(len(question.looked))]
    columns = [_of(name, rows) for name in writer.people]
    columns += [aliased(_of("cell", FOUND), "k0"), *(_of(name, rows) for name in names)]
    return select(columns, rows, joins=[_on_keys(writer.keys, rows, FOUND)])


def _on_keys(keys: list[str], left: str, right: str) -> Any:
    """Return JOIN on equal keys, where NULL equals NULL."""
    from sqlglot import exp

    terms = [exp.NullSafeEQ(this=_of(key, left), expression=_of(key, right)) for key in keys]
    return exp.Join(this=exp.Table(this=exp.to_identifier(right)), on=conjunction(terms))


def _of(name: str, table: str) -> Any:
    from sqlglot import exp

    return exp.Column(this=exp.to_identifier(name), table=exp.to_identifier(table))
