"""Project: a whole discreet.toml, planned, run and explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from discreet import accounting
from discreet.errors import DiscreetError, InvalidInput, LedgerDamaged, MissingExtra, UnsupportedEvent, UnsupportedQuery
from discreet.ledger import Account, Ledger, OwnerKey
from discreet.project.asking import ask, bind, located
from discreet.project.draft import Draft
from discreet.project.read import Planned, Settings, read
from discreet.project.reads import Reads
from discreet.project.reads import names as table_names
from discreet.project.steps import Done, Step, step
from discreet.project.stopped import named, stopped
from discreet.project.training import KIND as TRAINED
from discreet.project.training import Training, trained
from discreet.release import Release, Shelf

if TYPE_CHECKING:
    from discreet.dataset import Dataset
    from discreet.explain import ModelCard, Report
    from discreet.project.asking import Asked

RELEASES = "releases"
KEY = "owner.key"


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """A discreet.toml and the ledger it names.

    Args:
        settings: The file, read.
        ledger: The ledger.
    """

    settings: Settings
    ledger: Ledger

    @classmethod
    def read(cls, path: str | Path) -> Project:
        """Read a project from its discreet.toml or its folder; opens nothing and spends nothing.

        Raises:
            InvalidInput: names the file, the section and the key.
        """
        settings = read(path)
        return cls(settings, Ledger(settings.ledger))

    @property
    def shelf(self) -> Shelf:
        """Where the releases are kept."""
        return Shelf(self.settings.folder / RELEASES)

    @property
    def key_path(self) -> Path:
        """Where `ledger open` keeps the owner's key unless told otherwise."""
        return self.settings.folder / KEY

    def open(self, owner: OwnerKey) -> list[Account]:
        """Open the accounts that the file declares and the ledger does not have yet."""
        known = set(self._open_accounts())
        self._declared()
        for population in self.settings.populations.values():
            self._check_owner(population.name, owner.public)
        return [
            self.ledger.open(
                population.name,
                unit=population.unit,
                measure=population.measure,
                epsilon=population.epsilon,
                delta=population.delta,
                delta_atoms=population.delta_atoms,
                ceiling=population.ceiling,
                owner=owner,
            )
            for population in self.settings.populations.values()
            if population.name not in known
        ]

    def unopened(self) -> list[str]:
        """Return the accounts that the file declares and the ledger does not have yet.

        Raises:
            InvalidInput: the file declares none at all.
        """
        opened = self._open_accounts()
        return [name for name in self._declared() if name not in opened]

    def owners(self) -> dict[str, str]:
        """Return the public key of each account that the file declares and the ledger has."""
        opened = self._open_accounts()
        return {name: self.ledger.account(name).public_key for name in self.settings.populations if name in opened}

    def check_ledger(self) -> None:
        """Refuse a ledger that is not the one which this file and its releases belong to.

        Raises:
            LedgerDamaged: an account was opened by another owner than the file names.
            InvalidInput: a release was never charged in it; it may be an old copy.
        """
        for name, public_key in self.owners().items():
            self._check_owner(name, public_key)
            self.shelf.check(name, self.ledger.requests)

    def _check_owner(self, population: str, public_key: str) -> None:
        declared = self.settings.populations.get(population)
        if declared is not None and declared.owner not in (None, public_key):
            raise LedgerDamaged(
                f"the owner of {population!r} has the key {public_key} here; {self.settings.path} names {declared.owner}.",
                remedy="The ledger was replaced, or the file names the wrong owner: find out which before you go on.",
            )

    def _declared(self) -> list[str]:
        if not self.settings.populations:
            raise InvalidInput(f"{self.settings.path} declares no population.", remedy="Add one: [population.NAME].")
        return list(self.settings.populations)

    def _open_accounts(self) -> list[str]:
        try:
            return self.ledger.populations()
        except InvalidInput:  # no ledger yet
            return []

    def differences(self) -> list[str]:
        """Return where the file says something else than the accounts that are open; those hold."""
        found = []
        for name in self._open_accounts():
            if name not in self.settings.populations:
                continue
            said, account = self.settings.populations[name], self.ledger.account(name)
            pairs = [
                ("measure", said.measure, account.measure),
                ("ε", said.epsilon, said.epsilon if said.epsilon == account.epsilon else account.opened_epsilon),
                ("δ", said.delta, account.delta),
                (
                    "δ for atoms",
                    account.delta_atoms if said.delta_atoms is None else said.delta_atoms,
                    account.delta_atoms,
                ),
                ("ceiling", said.ceiling, account.ceiling),
            ]
            found += [
                f"the file gives {name!r} the {what} {mine}; its account was opened with {theirs}, which holds"
                for what, mine, theirs in pairs
                if mine != theirs
            ]
        return found

    @property
    def draft(self) -> Draft:
        """The ledger to plan with: accounts that are not open yet have the terms of the file."""
        opened = self._open_accounts()
        return Draft(self.ledger, [item for name, item in self.settings.populations.items() if name not in opened])

    def check_open(self, population: str) -> None:
        """Refuse an account that is not open.

        Raises:
            InvalidInput: says how to open it.
        """
        if population not in self._open_accounts():
            raise InvalidInput(
                f"the account {population!r} is not open in the ledger of {self.settings.path}.",
                remedy=f"Open it: discreet ledger open {self.settings.path}",
            )

    def dataset(self, name: str, *more: str, analyst: str | None = None, ledger: Ledger | None = None) -> Dataset:
        """Return declared tables and views of one population as a dataset; reads no private row.

        It holds these, what views and links lead to, and nothing else: a table that is declared later
        makes no other question of those that were answered.

        Args:
            name: What questions may read: a table of people, a public table, or a view.
            *more: Others that they may read.
            analyst: Whose share pays too.
            ledger: `draft`, to plan while the account is not open yet; by default the project's.

        Raises:
            InvalidInput: the account is not open; a name is not declared.
            UnsupportedQuery: they belong to two populations, or to none.
            LedgerDamaged: another owner opened an account than the file names.
        """
        from discreet.dataset import Dataset

        reads = Reads.of((name, *more), self.settings)
        own, population = reads.own, str(reads.own.population)
        if ledger is None:
            self.check_open(population)
        self.check_ledger()
        return Dataset(
            own.source,
            name=own.name,
            version=reads.version,
            unit=reads.unit,
            domain=own.domain,
            ledger=self.ledger if ledger is None else ledger,
            population=population,
            releases=self.shelf.folder,
            analyst=analyst,
            tables={table.name: table.beside() for table in reads.tables.values() if table is not own},
            views={view.name: view.sql for view in reads.views.values()},
        )

    def dataset_to_train(self, table: str, *, analyst: str | None = None, ledger: Ledger | None = None) -> Dataset:
        """Return a declared table of people as a dataset that a model can be trained on.

        Of each person the table's `max_rows` first rows count, in all.

        Args:
            table: Its name.
            analyst: Whose share pays too.
            ledger: See `dataset`.

        Raises:
            InvalidInput: there is no such table of people, or its rows do not say whose they are; see `dataset`, too.
        """
        own, unit = trained(table, self.settings.tables)
        return replace(self.dataset(own.name, analyst=analyst, ledger=ledger), unit=unit)

    def dataset_of(self, sql: str, *, analyst: str | None = None, ledger: Ledger | None = None) -> Dataset:
        """Return the dataset that a query reads; see `dataset`."""
        return self.dataset(*table_names(sql), analyst=analyst, ledger=ledger)

    def plan(self) -> list[Step]:
        """Return what a run would do, in order. Spends nothing and reads no private row.

        An account that is not open yet has the terms of the file.

        Raises:
            InvalidInput, UnsupportedQuery: a release is wrong; it is named.
        """
        draft = self.draft
        accounts: dict[str, Account] = {}
        room: dict[str, accounting.Cost] = {}
        steps = []
        for release, dataset, plan in self._bound(draft):
            name = dataset.population
            if name not in accounts:
                accounts[name] = draft.account(name)
                room[name] = accounts[name].left()
            made, room[name] = step(release, dataset, plan, accounts[name], room[name], self.shelf)
            steps.append(made)
        return steps

    def run(self, only: str | None = None) -> Iterator[Done]:
        """Charge, run and write each release in order, yielding it; what was released is re-used.

        Args:
            only: Run this release alone.

        Raises:
            BudgetExceeded: an account does not hold the next release; those before it stand.
            InvalidInput: a release was charged and never released, or there is no such release.
            DataFailure: the work on the rows failed; the charge stands, and so do those before it.
        """
        names = [release.name for release in self.settings.releases]
        if only is not None and only not in names:
            raise InvalidInput(f"there is no release {only!r}.", remedy=f"Declared: {', '.join(names) or 'none'}.")
        bound = list(self._bound(None))
        todo = [item for item in bound if only is None or item[0].name == only]
        for place, (release, dataset, plan) in enumerate(todo):
            request = dataset.request(plan, name=release.name, attempt=release.attempt)
            try:
                earlier = self.ledger.request(dataset.population, request)
                done = ask(release, dataset, self.settings.folder)
            except MissingExtra:
                raise
            except DiscreetError as error:
                again = f"with attempt = {release.attempt + 1} in [[release]] {release.name}"
                told = named(error, name=release.name, request=request, again=again)
                stop = stopped(told, release.name, place, len(todo))
            else:
                yield Done(done, earlier is not None, self.shelf.place(release.name, request))
                continue
            raise stop  # outside of the handler, so that nothing hangs on to it

    def _bound(self, ledger: Ledger | None) -> Iterator[tuple[Planned | Training, Dataset, Asked]]:
        """Yield each release with what it reads and what it asks; an error names the release."""
        for release in self.settings.releases:
            try:
                dataset, plan = bind(self, release, ledger)
            except (InvalidInput, UnsupportedQuery, UnsupportedEvent) as error:
                wrong = located(error, self.settings.path, release.name)
            else:
                yield release, dataset, plan
                continue
            raise wrong  # outside of the handler, so that nothing hangs on to it

    def releases(self, population: str) -> list[Release]:
        """Return every release that the ledger knows of a population and the shelf still has, oldest first."""
        entries = self.ledger.entries(population)
        found: dict[str, Path] = {}
        if self.shelf.folder.is_dir():
            found = {place.name: place for place in self.shelf.folder.glob("*/*") if not place.name.startswith(".")}
        return [
            Release.read(found[entry.request], digest=entry.digest)
            for entry in entries
            if entry.kind == "release" and entry.request in found
        ]

    def explain(self, population: str) -> Report:
        """Return the report on everything released about one population."""
        from discreet.explain import explain

        account = self.ledger.account(population)
        return explain(
            self.releases(population),
            account=account,
            entries=self.ledger.entries(population),
            project=self.settings.about,
        )

    def _cards(self, population: str) -> Iterator[tuple[str, ModelCard]]:
        """Yield the card of each trained model, with the name of its file; a name that stands twice is told apart."""
        from discreet.explain import model_card

        models = [release for release in self.releases(population) if release.facts.get("kind") == TRAINED]
        names = [release.name for release in models]
        for release in models:
            more = f"-{release.entry['request'][:12]}" if names.count(release.name) > 1 else ""
            yield f"model-card-{release.name}{more}.md", model_card(release, project=self.settings.about)

    def write_report(self, folder: Path, *, audience: str | None = None) -> list[Path]:
        """Write report.html, report.md and registry.json (per population, if there are several), and a card of each model."""
        names = self._declared()
        self.check_ledger()
        written = []
        for name in names:
            report = self.explain(name)
            stem = "" if len(names) == 1 else f"-{name}"
            markdown = "\n\n".join(
                report.markdown(item) for item in ([audience] if audience else ("person", "policy", "engineer"))
            )
            texts = {
                f"report{stem}.html": report.html(audience),
                f"report{stem}.md": markdown,
                f"registry{stem}.json": json.dumps(report.registry(), indent=1, ensure_ascii=False) + "\n",
            }
            texts |= {file: card.markdown() for file, card in self._cards(name)}
            written += [_write(folder / file, text) for file, text in texts.items()]
        return written


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be written: {error.strerror}.", remedy="Choose another folder with --out."
        ) from None
    return path
