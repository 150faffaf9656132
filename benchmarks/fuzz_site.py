"""A hostile world with its datasets on a real ledger, and all that must not come of a statement there."""

from __future__ import annotations

import json
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
from fuzz_names import quoted
from fuzz_sources import CONNECTIONS, KINDS, STYLES, Gate, guarded, sources
from fuzz_worlds import SECRETS, World
from pyarrow import parquet

from discreet import Dataset, Domain, Ledger, Table, accounting, events, sql
from discreet.errors import NOTHING_SPENT, BudgetExceeded, InvalidInput, UnsupportedQuery
from discreet.ledger import OwnerKey
from discreet.mechanisms.rng import Rng

Arguments = dict[str, Any]
LONGEST = 60.0  # seconds that a plan may run


class Failure(Exception):
    """Something that must not be; its text says what, of which statement."""


class Watched(Ledger):
    """A ledger that opens the gate when a charge is durable."""

    gate: Gate

    def charge(self, *args: Any, **more: Any) -> Any:
        """Charge, and let the rows be read."""
        found = super().charge(*args, **more)
        if found[1] is None:  # else it was answered before, and nothing is read
            self.gate.charges += 1
            self.gate.open()
        return found


class Site:
    """A world with its datasets, on a real ledger.

    Args:
        dice: A `random.Random`.
        world: The world.
        variants: How many sets of sources.
    """

    def __init__(self, dice, world: World, variants: int) -> None:
        self.dice, self.world = dice, world
        self._folder = tempfile.TemporaryDirectory(prefix="discreet-fuzz-")
        self.folder = Path(self._folder.name)
        self.ledger = Watched(self.folder / "ledger.db")
        self.ledger.gate = Gate()
        self.owner = OwnerKey.create(self.folder / "owner.key")
        self.names, self.accounts = count(), count()
        self.population = self.renewed()
        self.sources = []
        for i in range(variants):
            aside = self.folder / f"sources-{i}"
            aside.mkdir()
            kind = KINDS[i % len(KINDS)]
            gate = Gate()
            self.sources.append((kind, sources(dice, world, kind, dice.choice(STYLES), gate, aside), gate))
        self.gate = self.sources[0][2]
        self.guard = guarded(lambda: self.gate)
        self.guard.__enter__()
        self.known: dict[str, Any] = {}
        self.runs: dict[str, int] = {}

    def renewed(self) -> str:
        """Return a fresh account."""
        name = f"people-{next(self.accounts)}"
        self.ledger.open(
            name, unit=self.world.unit, measure=self.world.measure, epsilon=1000.0, delta=1e-3, owner=self.owner
        )
        self.population = name
        return name

    def dataset(self) -> Dataset:
        """Return the dataset, over sources that are drawn anew."""
        self.kind, found, self.gate = self.dice.choice(self.sources)
        self.ledger.gate = self.gate
        main, *others = self.world.tables.items()
        return Dataset(
            found[main[0]],
            name=main[0],
            version="1",
            unit=self.world.unit,
            domain=main[1].domain,
            ledger=self.ledger,
            population=self.population,
            releases=self.folder / "releases",
            tables={
                name: Table(found[name], domain=held.domain, person=held.person, via=held.via) for name, held in others
            },
            views=self.world.views,
        )

    # ------------------------------------------------------------------------------- statements

    def ask(self, text: Any, *, paid: bool, **arguments: Any) -> str:
        """Ask a statement; return what became of it: answered, refused, known, or no budget.

        Args:
            text: The statement.
            paid: Whether to go through the ledger, or to run the plan by itself.
            arguments: Of the question.

        Raises:
            Failure: anything that must not be.
        """
        given = {"epsilon": 0.02 if paid else self.dice.choice((0.1, 1.0, 8.0)), "delta": 1e-9} | arguments
        dataset = self.dataset()
        self.gate.close()
        charges = self.gate.charges
        try:
            plan = sql.Query(text, **given).bind(dataset)
        except (UnsupportedQuery, InvalidInput) as error:
            self._refused(error, charges)
            return "refused"
        except Exception as error:  # noqa: BLE001 - anything else is what is looked for
            raise Failure(f"binding raised {type(error).__name__}: {_trace(error)}") from None
        self._early()
        self._plan(plan, given)
        if self.runs.get(str(plan.select), 0) >= 3:
            return "known"
        self.runs[str(plan.select)] = self.runs.get(str(plan.select), 0) + 1
        return self._paid(dataset, text, given, plan) if paid else self._run(dataset, plan)

    def _run(self, dataset: Dataset, plan: sql.QueryPlan) -> str:
        self.gate.open()
        try:
            with self._in_time():
                answer = plan.run(dataset.sources if dataset.tables else dataset.source, Rng())
        except Exception as error:  # noqa: BLE001 - anything else is what is looked for
            raise Failure(f"[{self.kind}] running raised {type(error).__name__}: {_trace(error)}") from None
        self._table(plan, answer.value)
        shown(answer.accuracy)
        return "answered"

    def _paid(self, dataset: Dataset, text: str, given: Arguments, plan: sql.QueryPlan) -> str:
        self.gate.close()
        before = self._books()
        name = f"q{next(self.names)}"
        try:
            cost = sql.cost(dataset, text, **given)
            shown([str(cost), json.dumps(cost.to_dict())])
            if self._books() != before:
                raise Failure("to ask for the cost was charged")
            release = sql.query(dataset, text, name=name, **given)
        except BudgetExceeded:
            self.renewed()
            return "no budget"
        except Failure:
            raise
        except Exception as error:  # noqa: BLE001 - anything else is what is looked for
            raise Failure(f"[{self.kind}] asking raised {type(error).__name__}: {_trace(error)}") from None
        self._early()
        self._table(plan, release.value)
        due = accounting.cost(plan.event, self.ledger.account(self.population).measure)
        spent = self.ledger.account(self.population).spent
        if (spent.loss - before[0].loss, spent.delta - before[0].delta) != (due.loss, due.delta):
            raise Failure(f"charged {spent} after {before[0]} for {due}")
        shown([release.accuracy, release.facts, release.provenance, str(release.guarantee), str(release)])
        if self.dice.random() < 0.2:
            again = sql.query(dataset, text, name=name, **given)
            if not again.value.equals(release.value) or self.ledger.account(self.population).spent != spent:
                raise Failure("asked again, it was answered anew")
        return "answered"

    def elsewhere(self, seeds: list[str]) -> str:
        """Bind what was planned or kept for a dataset that differs in something: it must be refused."""
        dataset = self.dataset()
        self.gate.close()
        charges, given = self.gate.charges, {"epsilon": 1.0, "delta": 1e-9}
        change = self.dice.choice(self._changes(dataset))
        text = self.dice.choice(seeds)
        try:
            other = replace(dataset, **change)
            what = self.dice.choice(("kept", "plan", "together"))
            if what == "kept":
                kept = sql.materialise(other, text, folder=self.folder / "sources-kept")
                asked: Any = sql.Query(text, using=kept, **given)
            elif what == "plan":
                asked = sql.plan(other, text, **given)
            else:
                asked = sql.Workload(sql.workload(other, {"q": text, "r": self.dice.choice(seeds)}, **given))
        except (UnsupportedQuery, InvalidInput) as error:  # what is declared there has no such question
            self._refused(error, charges)
            return "refused"
        try:
            asked.bind(dataset)
        except (UnsupportedQuery, InvalidInput) as error:
            self._refused(error, charges)
            if isinstance(error, InvalidInput) and "differs from this one in its" in error.what:
                return "answered"
            raise Failure(f"{what} of another {next(iter(change))} is refused for another reason: {error}") from None
        raise Failure(f"{what} of another {next(iter(change))} is taken")

    def _changes(self, dataset: Dataset) -> list[dict[str, Any]]:
        """Return what may be declared otherwise, one thing at a time, all else alike."""
        unit, held = dataset.unit, self.world.tables[dataset.name]
        column = self.dice.choice([name for name in held.domain if name not in (held.person, unit.per, *held.keys)])
        relation = next(one for one in events.Relation if one is not unit.relation)
        return [
            {"unit": replace(unit, max_rows=unit.max_rows + 1)},
            {"unit": replace(unit, relation=relation)},
            {"version": "2"},
            {"population": self.another()},
            {"domain": _otherwise(dataset.domain, column)},
            {"views": {**dataset.views, "one_more": f"SELECT * FROM {quoted(dataset.name)}"}},
            {"tables": {**dataset.tables, "one_more": Table(dataset.source, domain=dataset.domain)}},
            *([] if unit.column is None else [{"unit": replace(unit, max_groups=(unit.max_groups or 1) + 1)}]),
        ]

    def another(self) -> str:
        """Return an account of other people."""
        before, name = self.population, self.renewed()
        self.population = before
        return name

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Stop a statement that would never end: the sources of a few rows are small."""
        timer = threading.Timer(LONGEST, lambda: [one.interrupt() for one in list(CONNECTIONS)])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def beside(self, seeds: list[str]) -> str:
        """Ask what stands beside questions: over what was kept, several together, for bounds and limits."""
        dataset = self.dataset()
        self.gate.close()
        charges = self.gate.charges
        given: Arguments = {"epsilon": 1.0, "delta": 1e-9}
        try:
            what = self.dice.choice(("kept", "kept", "together", "together", "bounds", "limits"))
            if what == "kept":
                kept = sql.materialise(dataset, self.dice.choice(seeds), folder=self.folder / "sources-kept")
                plan: Any = sql.Query(self.dice.choice(seeds), using=kept, **given).bind(dataset)
            elif what == "together":
                some = {f"q{i}": self.dice.choice(seeds) for i in range(self.dice.choice((1, 2, 3)))}
                weights = self.dice.choice((None, {"q0": 2.0}, {"q0": 0}, {"x": 1}))
                plan = sql.Workload(sql.workload(dataset, some, weights=weights, **given)).bind(dataset)
                str(plan.plan if hasattr(plan, "plan") else plan)
        except (UnsupportedQuery, InvalidInput) as error:
            self._refused(error, charges)
            return "refused"
        except Exception as error:  # noqa: BLE001 - anything else is what is looked for
            raise Failure(f"binding raised {type(error).__name__}: {_trace(error)}") from None
        self._early()
        try:
            if what in ("kept", "together"):
                shown([dict(plan.identity), dict(plan.facts), str(plan.guarantee)])
                self.gate.open()
                answer = plan.run(dataset.sources if dataset.tables else dataset.source, Rng())
                shown([answer.value.to_pylist(), answer.accuracy])
                open_ = [
                    path for path in (self.folder / "sources-kept").glob("*.parquet") if path.stat().st_mode & 0o077
                ]
                if open_:
                    raise Failure(f"others can read {open_}")
            else:
                column = self.dice.choice(list(dataset.domain))
                name = f"l{next(self.names)}"
                release = (
                    sql.find_bounds(dataset, column, name=name, **given)
                    if what == "bounds"
                    else sql.find_limits(dataset, [column], name=name, share=self.dice.choice((0.5, 0.95, 2)), **given)
                )
                self._early()
                shown([release.value.to_pylist(), release.facts, release.accuracy])
        except (UnsupportedQuery, InvalidInput) as error:
            self._refused(error, charges)
            return "refused"
        except BudgetExceeded:
            self.renewed()
            return "no budget"
        except Failure:
            raise
        except Exception as error:  # noqa: BLE001 - anything else is what is looked for
            raise Failure(f"[{self.kind}] {what} raised {type(error).__name__}: {_trace(error)}") from None
        return "answered"

    # ------------------------------------------------------------------------------------ checks

    def _books(self) -> Any:
        account = self.ledger.account(self.population)
        return account.spent, account.length

    def _early(self) -> None:
        if self.gate.early:
            raise Failure(f"[{self.kind}] looked at rows before the charge: {self.gate.early[:3]}")

    def _refused(self, error: Any, charges: int) -> None:
        self._early()
        if self.gate.charges != charges:
            raise Failure(f"a refusal was charged: {error}")
        if (
            type(error) not in (UnsupportedQuery, InvalidInput)
            or error.state != NOTHING_SPENT
            or not error.what.strip()
        ):
            raise Failure(f"a refusal without its parts: {error!r}")
        shown([str(error), repr(error), traceback.format_exception(error)])

    def _plan(self, plan: sql.QueryPlan, given: Arguments) -> None:
        """Check what a plan says of itself."""
        known = self.known.setdefault(str(plan.select), plan.select)
        if known != plan.select:
            raise Failure(f"two questions are written alike: {plan.select}")
        shown([dict(plan.identity), dict(plan.facts), str(plan.guarantee)])
        json.dumps([dict(plan.identity), dict(plan.facts)], allow_nan=False)
        if events.from_dict(json.loads(json.dumps(events.to_dict(plan.event)))) != plan.event:
            raise Failure("the event does not read back")
        asked = (given["epsilon"], plan.guarantee.epsilon), (given["delta"], plan.guarantee.delta)
        if any(most is not None and not found <= most for most, found in asked):
            raise Failure(f"asked for {given}, planned {plan.guarantee}")

    def _table(self, plan: sql.QueryPlan, value: pa.Table) -> None:
        """Check that what was announced is what came."""
        shown(value.to_pylist())
        wanted, kinds = [], plan.parts
        for item in plan.select.outputs:
            if item.key is not None:
                wanted += [item.name] + ([item.name + "_total"] if plan.select.sets else [])
                kind = {"integer": "int64", "text": "string", "boolean": "bool", "date": "date32[day]"}[
                    kinds.facts(plan.select.keys[item.key]).type
                ]
                if str(value.schema.field(item.name).type) != kind:
                    raise Failure(f"the key {item.name} came as {value.schema.field(item.name).type}")
                continue
            raw = [item.name + "_raw"] if item.name + "_raw" in value.column_names and plan.consistent else []
            wanted += [item.name, *raw, *(item.name + part for part in ("_se", "_low", "_high"))]
        if value.column_names != wanted:
            raise Failure(f"announced {wanted}, came {value.column_names}")
        groups = plan.facts["groups_released"]
        if groups is None or plan.select.having is not None:
            return
        most = groups if plan.select.limit is None else min(groups, plan.select.limit)
        if value.num_rows != most:
            raise Failure(f"announced {most} rows, came {value.num_rows}")

    def close(self) -> None:
        """Take the site away."""
        self.guard.__exit__(None, None, None)
        self._folder.cleanup()

    def scan(self) -> None:
        """Look for secrets in all that was written: the ledger, and the releases; and count the charges."""
        entries = [entry for name in self.ledger.populations() for entry in self.ledger.entries(name)]
        if sum(entry.kind == "charge" for entry in entries) != sum(gate.charges for *_, gate in self.sources):
            raise Failure("the ledger holds other charges than were made")
        for path in self.folder.rglob("*"):
            if path.is_file() and not any(part.startswith("sources-") for part in path.parts):
                text = path.read_bytes().decode("utf-8", errors="replace")
                if path.suffix == ".parquet":
                    text = repr(parquet.read_table(path).to_pylist())
                shown(text, str(path))


def _otherwise(domain: Domain, column: str) -> Domain:
    """Return a domain with a column declared otherwise."""
    facts = domain.to_dict()
    about = dict(facts[column])
    if about.get("high") is not None and about["type"] in ("integer", "float"):
        more = about["high"] + 1 if about["type"] == "integer" else float(about["high"]) * 2 + 1
        facts[column] = about | {"high": more}
    else:
        facts[column] = {"type": "date" if about["type"] == "text" else "text"}
    try:
        return Domain.from_dict(facts)
    except InvalidInput:  # no wider bound can be declared
        return Domain.from_dict(domain.to_dict() | {"one more": {"type": "integer"}})


def shown(what: Any, where: str = "") -> None:
    """Check that something that is shown holds no secret."""
    text = what if isinstance(what, str) else repr(what)
    for secret in SECRETS:
        if secret in text:
            at = text.index(secret)
            raise Failure(f"a secret is shown {where}: …{text[max(0, at - 80) : at + 80]}…")


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-1500:]
