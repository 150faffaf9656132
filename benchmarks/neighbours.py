"""Does one person move an answer by more than it is charged for? Random questions over random tiny databases.

Each question is planned as ever, and its own engine queries run over many databases and their neighbours at once
(`worlds`). What is compared is exact: integers before noise, histograms before a draw, weights before a selection
of groups.

    python neighbours.py --triples 1000000
"""

from __future__ import annotations

import argparse
import random  # noqa: TID251 - no noise comes from here
import re
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version

import duckdb
import numpy as np
from fuzz_names import HIDDEN, ODD, quoted, session
from fuzz_names import SETTINGS as SESSION
from random_sql import Grammar
from tiny_databases import MAIN, PEOPLE, PERSONS, Batch, batch
from worlds import Answers, batched, beside, planned

from discreet import PrivacyUnit, errors
from discreet.events import Relation
from discreet.sql.bind import QueryPlan
from discreet.sql.engines.duckdb import SETTINGS

SQUARED = 2**40  # the most that the squares of one person's weights add up to


# ------------------------------------------------------------------------------ the comparison


def violations(plan: QueryPlan, answers: Answers, pairs, worlds: int) -> list[str]:
    """Return in words where neighbours differ by more than the plan declares."""
    found: list[str] = []
    first, second = (np.array([pair[place] for pair in pairs]) for place in (0, 1))
    for place in range(len(plan.drawing.noises)):
        for part in plan.question.primitives:
            found += _linear(plan, place, part, answers.sums[part], first, second)
    for part in plan.question.drawn:
        found += _drawn(part, *answers.histograms[part], pairs, worlds, plain=not plan.question.persons)
    for table in answers.rounds:
        found += _offered(plan, table, pairs)
    return found


def most(plan: QueryPlan, place: int, part) -> tuple[int, int]:
    """Return the L1 and the squared L2 sensitivity that a plan declares."""
    bounds = plan.question.bounds
    return plan.sets.sensitivity(bounds, part, place) if plan.sets.several else bounds.sensitivity(part)


def _linear(plan, place, part, sums, first, second) -> list[str]:
    if plan.sets.several:
        coarse = np.zeros((plan.sets.size(place), sums.shape[1]), dtype=object)
        np.add.at(coarse, plan.sets.of_finest(place), sums.astype(object))
        sums = coarse
    sums = sums.astype(np.int64 if abs(sums).max(initial=0) < 2**25 else object)
    moved = abs(sums[:, first] - sums[:, second])
    total, squares = moved.sum(axis=0), (moved * moved).sum(axis=0)
    one, two = most(plan, place, part)
    noise = plan.drawing.noises[place][part]
    charged, measured = noise.sensitivity, total if noise.law == "discrete_laplace" else squares
    found = []
    for what, limit, values in (("L1", one, total), ("squared L2", two, squares), (noise.law, charged, measured)):
        worst = int(np.argmax(values))
        if values[worst] > limit:
            found.append(f"{part.label}: {what} {values[worst]} > {limit}, pair {worst}")
    return found


def reached(plan: QueryPlan, answers: Answers, pairs) -> bool:
    """Return whether some pair moves some sum by all that is declared: then 10 % less would not do."""
    first, second = (np.array([pair[place] for pair in pairs]) for place in (0, 1))
    return any(
        int(abs(sums[:, first] - sums[:, second]).sum(axis=0).max(initial=0)) == most(plan, 0, part)[0]
        for part, sums in answers.sums.items()
    )


def _drawn(part, values, weights, starts, pairs, worlds, *, plain) -> list[str]:
    """Of each pair: what leaves a histogram and what comes, at most K groups each, of at most its weight.

    The rows of a unit of plain rows may be in as many groups, which together weigh what one could.
    """
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    held: list[dict] = [{} for _ in range(worlds)]
    for one, value, weight in zip(group.tolist(), values.tolist(), weights.tolist(), strict=True):
        held[one % worlds][one // worlds, value] = weight
    found = []
    for place, (first, second, _) in enumerate(pairs):
        for here, there, comes in ((held[first], held[second], False), (held[second], held[first], True)):
            gone: Counter = Counter()
            for key, weight in here.items():
                gone[key[0]] += max(0, weight - there.get(key, 0))
            heaviest, groups = max(gone.values(), default=0), sum(weight > 0 for weight in gone.values())
            if plain:
                heaviest, groups = sum(gone.values()), min(1, groups)
            limit = (
                (0, 0)
                if comes and part.bounds.relation is not Relation.REPLACE_ONE
                else (part.weight, part.bounds.groups)
            )
            if heaviest > limit[0] or groups > limit[1]:
                found.append(f"{part.label}: weight {heaviest} in {groups} groups > {limit}, pair {place}")
    return found


def _offered(plan, table, pairs) -> list[str]:
    """Of each pair: the weights of a person's groups, in one round of a selection."""
    *keys, world = table.column_names[:-1]
    held: dict[int, dict] = {}
    named = zip(*(table[key].to_pylist() for key in keys), strict=True)
    for at, key, weight in zip(table[world].to_pylist(), named, table["w"].to_pylist(), strict=True):
        held.setdefault(at, {})[key] = weight
    twice = 2 if plan.question.bounds.relation is Relation.REPLACE_ONE else 1
    found = []
    for place, (first, second, _) in enumerate(pairs):
        here, there = held.get(first, {}), held.get(second, {})
        moved = [here.get(key, 0) - there.get(key, 0) for key in {*here, *there}]
        squares = sum(step**2 for step in moved)
        offered = sum(step != 0 for step in moved)
        largest = max(map(abs, moved), default=0)
        if plan.finder.by_weight:
            broken = squares > twice * SQUARED or offered > twice * plan.finder.offered
        else:
            broken = largest > 1 or offered > twice * plan.finder.offered
        if broken:
            found.append(f"groups: squares {squares}, {offered} groups, largest {largest}, pair {place}")
    return found


# ------------------------------------------------------------------------------ the campaign


@dataclass
class Tally:
    """What a campaign did.

    Args:
        triples: How many triples of a question, a database and a neighbour were compared.
        said: How many had been when that was last printed.
        questions, refused, reached: How many questions were answered, and refused; of how many some pair moved by all
            that is declared.
        seen: What they were made of.
        broken: Questions whose answers moved too far, with what moved.
    """

    triples: int = 0
    said: int = 0
    questions: int = 0
    refused: int = 0
    reached: int = 0
    seen: Counter = field(default_factory=Counter)
    broken: list[tuple[str, str, str, list[str]]] = field(default_factory=list)


class Campaign:
    """Asks random questions of batches of random databases.

    Args:
        seed: Of everything that is drawn.
        databases: How many databases a batch has.
        questions: How many questions a batch is asked before a new one is drawn.
    """

    def __init__(self, seed, databases=25, questions=8) -> None:
        self.dice, self.databases, self.questions = random.Random(seed), databases, questions
        self.connection = duckdb.connect(config=SETTINGS)
        self.connection.execute("SET threads = 1")
        self.settings: dict[str, str] = {}
        self.grammar, self.plain, self.tally = Grammar(self.dice), Grammar(self.dice, plain=True), Tally()

    def run(self, enough) -> Tally:
        """Ask until `enough(tally)` holds."""
        while not enough(self.tally):
            relation = self.dice.choice(list(Relation))
            held = batch(self.dice, relation, self.databases, self.dice.choice((None, None, None, None, 1, 2, 3)))
            load(self.connection, held)
            self.settle(session(self.dice))
            for _ in range(self.questions):
                grammar = self.grammar if held.each is None else self.plain
                self.ask(held, self.beside() if self.dice.random() < 0.04 else grammar.question())
            self.settle({})
        return self.tally

    def settle(self, chosen) -> None:
        """Set what the session's owner has set, and all else as it was."""
        for name in SESSION:
            set_ = f"SET {name} = '{chosen[name]}'" if name in chosen else f"RESET {name}"
            self.connection.execute(set_)
        self.settings = chosen

    def beside(self) -> str | list[str]:
        """Return what bounds or limits are to be found of; foreign keys hold the number of the world."""
        some = {name: column.type for name, column in MAIN.items() if name != "visit"}
        numbers = [name for name, kind in some.items() if kind in ("integer", "float")]
        return self.dice.choice(numbers) if self.dice.random() < 0.6 else self.dice.sample(list(some), 2)

    def unit(self, held: Batch) -> PrivacyUnit:
        """Return a random unit."""
        if held.each is not None:
            return PrivacyUnit(max_rows=held.each, relation=held.relation)
        return PrivacyUnit(
            column="id",
            max_groups=self.dice.choice((None, 1, 2, 3)),
            max_rows=self.dice.randint(1, 3),
            relation=held.relation,
        )

    def ask(self, held: Batch, what: str | list[str], unit=None, measure=None) -> bool:
        """Ask something of a batch, and compare all pairs; returns whether it was answered.

        Args:
            held: The batch.
            what: A question; or a column, to find its bounds, or a list of some, to find limits.
            unit: Who is protected; by default a random one.
            measure: Of the account; by default a random one.
        """
        unit = unit or self.unit(held)
        measure = measure or self.dice.choice(("pure", "zcdp", "renyi(8)"))
        question = isinstance(what, str) and what not in MAIN
        try:
            plans = (
                [planned(what, unit, measure, self.connection)]
                if question
                else beside(what, unit, measure, self.connection)
            )
        except (errors.UnsupportedQuery, errors.InvalidInput) as refusal:
            self.tally.refused += 1
            self.tally.seen[f"refused: {re.sub(r'[^ ]*[0-9(][^ ]*', '…', refusal.what)[:60]}"] += 1
            return False
        for plan in plans:
            self.compare(held, plan, what if question else f"beside questions: {what}", unit, measure)
        return True

    def compare(self, held: Batch, plan: QueryPlan, sql: str, unit: PrivacyUnit, measure: str) -> None:
        """Compare the answers of all pairs."""
        worlds = len(held.worlds)
        told = f"{unit} {self.settings}"
        try:
            answers = batched(plan, worlds, self.connection, self.dice)
        except Exception as error:  # noqa: BLE001 - no row, and no setting, may make a query fail
            self.tally.broken.append((sql, told, measure, [f"failed: {type(error).__name__} {str(error)[:200]}"]))
            return
        wrong = violations(plan, answers, held.pairs, worlds)
        if wrong:
            self.tally.broken.append((sql, told, measure, wrong))
        self.tally.questions += 1
        self.tally.triples += len(held.pairs)
        self.tally.reached += reached(plan, answers, held.pairs)
        self.tally.seen.update(features(sql, plan))
        self.tally.seen.update([f"{name} = {value}" for name, value in self.settings.items()])


def load(connection, held: Batch, chosen=None) -> None:
    """Make the tables of a batch's worlds, by default of all, those of the connection."""
    for name, rows in held.tables(chosen).items():
        connection.register("incoming", rows)
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM incoming")
        connection.unregister("incoming")


MARKS = ("LEFT JOIN", "RIGHT JOIN", " JOIN ", "UNION ALL", "GROUP BY r", "HAVING", "FILTER", "CASE", "DATE_TRUNC", "EXTRACT",
         "DISTINCT", "WITH w", "adults", "spending", "ROLLUP", "CUBE", "GROUPING SETS", "LEAST", "COALESCE", "FLOOR", "WHERE",
         "drugs", "doses", "wards", "stays")  # fmt: skip


def features(sql, plan) -> set[str]:
    """Return what a question is made of."""
    found = {mark.strip() for mark in MARKS if mark in sql}
    found |= {part.kind for part in plan.question.primitives}
    found |= {"plain rows"} if not plan.question.persons else set()
    found |= {"beside questions"} if sql.startswith("beside") else set()
    found |= {"names of ours"} if any(quoted(name) in sql.lower() for name in HIDDEN) else set()
    found |= (
        {"odd numbers"} if any(re.search(rf"(?<![\w.]){re.escape(one)}(?![\w.])", sql) for one in ODD[:20]) else set()
    )
    found |= {one.function for part in plan.question.drawn for one in part.aggregates}
    found |= {plan.question.bounds.relation.value, *(["groups found"] if plan.finder is not None else [])}
    return found


EVERY = 50_000  # triples after which a line says how far it is


def shown(tally) -> int:
    """Return how many triples were compared; now and then say so, lest all is lost if the run is cut off."""
    if tally.triples // EVERY > tally.said // EVERY:
        tally.said = tally.triples
        print(
            f"  … {tally.triples:,} triples of {tally.questions:,} questions, {len(tally.broken):,} moved too far",
            flush=True,
        )
    return tally.triples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--triples", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--databases", type=int, default=40, help="in one batch")
    parser.add_argument("--seed", default=None, help="by default a fresh one, which is printed")
    given = parser.parse_args()
    seed = given.seed or secrets.token_hex(4)
    print(
        "versions:",
        ", ".join(f"{name} {version(name)}" for name in ("discreet", "duckdb", "sqlglot", "numpy", "pyarrow")),
    )
    print(
        f"seed {seed}, {given.databases} databases of {PEOPLE} persons in a batch, private tables {', '.join(PERSONS)}"
    )
    start = time.monotonic()
    campaign = Campaign(seed, given.databases)
    tally = campaign.run(lambda done: shown(done) >= given.triples or time.monotonic() - start > given.seconds)
    print(f"{tally.triples:,} triples of {tally.questions:,} questions in {time.monotonic() - start:,.0f} s; "
          f"{tally.refused:,} questions refused; all of the bound was moved in {tally.reached:,} questions")  # fmt: skip
    for name, times in sorted(tally.seen.items()):
        print(f"  {name:40} {times:8,}")
    for sql, unit, measure, wrong in tally.broken[:20]:
        print(
            "MOVED TOO FAR:",
            sql,
            unit,
            measure,
            *(line[:100] + " … " + line[-100:] for line in wrong[:5]),
            sep="\n    ",
        )
    print(f"{len(tally.broken):,} questions moved by more than they are charged for")
    return 4 if tally.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
