"""discreet.toml, read into frozen dataclasses. Unknown keys are errors; each names its place."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discreet.accounting import Cost, Measure, capacity
from discreet.errors import InvalidInput
from discreet.ledger import Ledger
from discreet.ledger.checks import check_epsilon, check_terms
from discreet.project import tables
from discreet.project.pieces import at, get, keys, mapping, near, numbers, section, whole
from discreet.project.tables import Table, View
from discreet.project.training import KIND, Training, read_training
from discreet.release import check_name
from discreet.units import PrivacyUnit

FILE = "discreet.toml"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Population:
    """[population.NAME]: who is protected, and the account's terms."""

    name: str
    unit: PrivacyUnit
    measure: Measure
    epsilon: float
    delta: float
    delta_atoms: float | None = None
    ceiling: float | None = None
    owner: str | None = None

    @property
    def atoms(self) -> float:
        """The part of delta for events with a delta of their own, as the ledger has it by default."""
        if self.delta_atoms is not None:
            return self.delta_atoms
        return self.delta if self.measure.kind == "pure" else self.delta / 2

    def room(self) -> Cost:
        """Return what the account will hold.

        Raises:
            InvalidInput: no account can have these terms.
        """
        return capacity(self.measure, epsilon=self.epsilon, delta=self.delta, delta_atoms=self.atoms)


@dataclass(frozen=True, slots=True)
class Planned:
    """[[release]]: one question in SQL, asked once."""

    name: str
    sql: str
    epsilon: float
    delta: float | None = None
    weights: Mapping[str, float] | None = None
    guess: Mapping[str, float] | None = None
    purpose: str = ""
    attempt: int = 1

    @property
    def why(self) -> str:
        """What the ledger is told."""
        return self.purpose or self.name


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole discreet.toml."""

    path: Path
    ledger: str = field(repr=False)  # a URL may hold a password
    about: Mapping[str, Any]
    populations: Mapping[str, Population]
    tables: Mapping[str, Table]
    views: Mapping[str, View] = field(default_factory=dict)
    releases: tuple[Planned | Training, ...] = field(default=())

    @property
    def folder(self) -> Path:
        """Where the file lies; relative paths start here."""
        return self.path.parent


def read(path: str | Path) -> Settings:
    """Read a discreet.toml, or that of a folder.

    Raises:
        InvalidInput: names the file, the section and the key.
    """
    path = Path(path)
    if path.is_dir():
        path /= FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}.",
            remedy=f"Give a folder with a {FILE}, or write one: discreet init.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}.", remedy="Correct the file.") from None
    with at(str(path)):
        return _settings(path, data)


def _settings(path: Path, data: dict[str, Any]) -> Settings:
    keys(data, {"version", "project", "ledger", "population", "table", "view", "release"})
    if data.get("version") != VERSION:
        raise InvalidInput(f"version must be {VERSION}, got {data.get('version')!r}.")
    about = section(data, "project")
    with at("[project]"):
        prose = {
            "name",
            "description",
            "curator",
            "intended_use",
            "region",
            "sector",
            "actors",
            "tuning",
            "justification",
        }
        keys(about, prose | {"fixed_beforehand"})
        for key in prose & set(about):
            get(about, key, str)
        get(about, "fixed_beforehand", bool, False)
    with at("[ledger]"):
        ledger = _ledger(path.parent, section(data, "ledger"))
    populations = {}
    for name, facts in section(data, "population").items():
        with at(f"[population.{name}]"):
            populations[name] = _population(name, facts)
    units = {name: population.unit for name, population in populations.items()}
    declared, views = {}, {}
    for name, facts in section(data, "table").items():
        with at(f"[table.{name}]"):
            declared[name] = tables.read_table(path.parent, name, facts, units)
    for name, facts in section(data, "view").items():
        with at(f"[view.{name}]"):
            views[name] = tables.read_view(name, facts, units)
    tables.check(declared, views)
    releases = tuple(_releases(data.get("release", [])))
    return Settings(path, ledger, about, populations, declared, views, releases)


def _ledger(folder: Path, facts: dict[str, Any]) -> str:
    keys(facts, {"url", "url_env"})
    if ("url" in facts) == ("url_env" in facts):
        raise InvalidInput("give either url (a path or postgresql://…) or url_env (the variable that holds it).")
    if "url_env" in facts:
        name = get(facts, "url_env", str)
        if not os.environ.get(name):
            raise InvalidInput(f"the environment variable {name} is not set.", remedy="Set it to the ledger's URL.")
        return str(os.environ[name])
    url = get(facts, "url", str)
    place = url if "://" in url else str(folder / url)
    Ledger(place)  # refuses what is no place for a ledger, while we can say where it is written; opens nothing
    return place


def _population(name: str, facts: Any) -> Population:
    mapping(facts)
    unit = {"column", "max_groups", "max_rows", "per", "relation"}
    keys(facts, unit | {"measure", "epsilon", "delta", "delta_atoms", "ceiling", "owner"})
    word, epsilon = get(facts, "measure", str), get(facts, "epsilon", float)
    delta = get(facts, "delta", float, 0.0)
    check_epsilon("epsilon", epsilon)
    population = Population(
        name=name,
        unit=PrivacyUnit(**{key: value for key, value in facts.items() if key in unit}),
        measure=Measure.renyi_for(epsilon, delta) if word == "renyi" else Measure.parse(word),
        epsilon=epsilon,
        delta=delta,
        delta_atoms=get(facts, "delta_atoms", float, None),
        ceiling=get(facts, "ceiling", float, None),
        owner=get(facts, "owner", str, None),
    )
    check_terms(population.unit, population.measure, epsilon, delta, population.ceiling)
    population.room()
    if population.owner is not None and not re.fullmatch("[0-9a-f]{64}", population.owner):
        raise InvalidInput(
            f"owner must be the public half of the owner's key, 64 digits of hex, got {population.owner!r}.",
            remedy="discreet ledger open and ledger verify print it.",
        )
    return population


def _releases(items: Any) -> Iterator[Planned | Training]:
    if not isinstance(items, list):
        raise InvalidInput("write releases as [[release]], with two brackets.")
    seen: set[str] = set()
    for place, facts in enumerate(items, 1):
        label = facts.get("name", f"number {place}") if isinstance(facts, dict) else f"number {place}"
        with at(f"[[release]] {label}"):
            release = _release(facts)
            if release.name in seen:
                raise InvalidInput(f"the name {release.name!r} stands twice.", remedy="Give each release its own name.")
            seen.add(release.name)
            yield release


def _release(facts: Any) -> Planned | Training:
    mapping(facts)
    kind = get(facts, "kind", str, "sql")
    if kind not in ("sql", KIND):
        raise InvalidInput(f'kind must be "sql" or "{KIND}", got {kind!r}.{near(kind, ("sql", KIND))}')
    if kind == KIND:
        return read_training(facts)
    keys(facts, {"name", "kind", "sql", "epsilon", "delta", "weights", "guess", "purpose", "attempt"})
    return Planned(
        name=check_name(get(facts, "name", str)),
        sql=get(facts, "sql", str),
        epsilon=get(facts, "epsilon", float),
        delta=get(facts, "delta", float, None),
        weights=numbers(facts, "weights"),
        guess=numbers(facts, "guess"),
        purpose=get(facts, "purpose", str, ""),
        attempt=whole(facts, "attempt", 1),
    )
