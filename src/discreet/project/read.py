"""discreet.toml, read into frozen dataclasses. Unknown keys are errors; each names its place."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discreet.accounting import Cost, Measure, capacity
from discreet.domains import Column, Domain
from discreet.errors import InvalidInput
from discreet.ledger import Ledger
from discreet.ledger.checks import check_epsilon, check_terms
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
class Table:
    """[table.NAME]: where rows lie, what is public about them, whose budget pays."""

    name: str
    source: Path
    version: str
    population: str
    unit: PrivacyUnit
    domain: Domain


@dataclass(frozen=True, slots=True)
class Planned:
    """[[release]]: one question, asked once."""

    name: str
    sql: str
    epsilon: float
    delta: float | None = None
    weights: Mapping[str, float] | None = None
    guess: Mapping[str, float] | None = None
    purpose: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole discreet.toml."""

    path: Path
    ledger: str = field(repr=False)  # a URL may hold a password
    about: Mapping[str, Any]
    populations: Mapping[str, Population]
    tables: Mapping[str, Table]
    releases: tuple[Planned, ...] = field(default=())

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
    with _at(str(path)):
        return _settings(path, data)


def _settings(path: Path, data: dict[str, Any]) -> Settings:
    _keys(data, {"version", "project", "ledger", "population", "table", "release"})
    if data.get("version") != VERSION:
        raise InvalidInput(f"version must be {VERSION}, got {data.get('version')!r}.")
    about = _table(data, "project")
    with _at("[project]"):
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
        _keys(about, prose | {"fixed_beforehand"})
        for key in prose & set(about):
            _get(about, key, str)
        _get(about, "fixed_beforehand", bool, False)
    with _at("[ledger]"):
        ledger = _ledger(path.parent, _table(data, "ledger"))
    populations = {}
    for name, facts in _table(data, "population").items():
        with _at(f"[population.{name}]"):
            populations[name] = _population(name, facts)
    tables = {}
    for name, facts in _table(data, "table").items():
        with _at(f"[table.{name}]"):
            tables[name] = _a_table(path.parent, name, facts, populations)
    releases = tuple(_releases(data.get("release", [])))
    return Settings(path, ledger, about, populations, tables, releases)


def _ledger(folder: Path, facts: dict[str, Any]) -> str:
    _keys(facts, {"url", "url_env"})
    if ("url" in facts) == ("url_env" in facts):
        raise InvalidInput("give either url (a path or postgresql://…) or url_env (the variable that holds it).")
    if "url_env" in facts:
        name = _get(facts, "url_env", str)
        if not os.environ.get(name):
            raise InvalidInput(f"the environment variable {name} is not set.", remedy="Set it to the ledger's URL.")
        return str(os.environ[name])
    url = _get(facts, "url", str)
    place = url if "://" in url else str(folder / url)
    Ledger(place)  # refuses what is no place for a ledger, while we can say where it is written; opens nothing
    return place


def _population(name: str, facts: Any) -> Population:
    _mapping(facts)
    unit = {"column", "max_groups", "max_rows", "per", "relation"}
    _keys(facts, unit | {"measure", "epsilon", "delta", "delta_atoms", "ceiling", "owner"})
    word, epsilon = _get(facts, "measure", str), _get(facts, "epsilon", float)
    delta = _get(facts, "delta", float, 0.0)
    check_epsilon("epsilon", epsilon)
    population = Population(
        name=name,
        unit=PrivacyUnit(**{key: value for key, value in facts.items() if key in unit}),
        measure=Measure.renyi_for(epsilon, delta) if word == "renyi" else Measure.parse(word),
        epsilon=epsilon,
        delta=delta,
        delta_atoms=_get(facts, "delta_atoms", float, None),
        ceiling=_get(facts, "ceiling", float, None),
        owner=_get(facts, "owner", str, None),
    )
    check_terms(population.unit, population.measure, epsilon, delta, population.ceiling)
    population.room()
    if population.owner is not None and not re.fullmatch("[0-9a-f]{64}", population.owner):
        raise InvalidInput(
            f"owner must be the public half of the owner's key, 64 digits of hex, got {population.owner!r}.",
            remedy="discreet ledger open and ledger verify print it.",
        )
    return population


def _a_table(folder: Path, name: str, facts: Any, populations: Mapping[str, Population]) -> Table:
    _mapping(facts)
    _keys(facts, {"source", "version", "population", "max_groups", "max_rows", "columns"})
    check_name(name)
    population = populations.get(_get(facts, "population", str))
    if population is None:
        raise InvalidInput(
            f"population names {facts['population']!r}, which is not declared.{near(facts['population'], populations)}",
            remedy=f"Declared: {', '.join(populations) or 'none; add one: [population.NAME]'}.",
        )
    unit = population.unit
    bounds = {key: facts[key] for key in ("max_groups", "max_rows") if key in facts}
    if bounds and not unit.enforced:
        raise InvalidInput(
            "max_groups and max_rows of a table shape the truncation by a person's column; "
            f"population {population.name!r} has none.",
            remedy="Declare max_rows in the population: there it is a promise.",
        )
    columns = _table(facts, "columns")
    for column, known in columns.items():
        with _at(f"column {column!r}"):
            _mapping(known)
            _keys(known, set(Column.__slots__))
    for key, name_of in (("column", unit.column), ("per", unit.per)):
        if name_of is not None and name_of not in columns:
            raise InvalidInput(
                f"{key} of [population.{population.name}] is {name_of!r}, which is no column of this table."
                f"{near(name_of, columns)}",
                remedy=f"Correct it there, or declare it under [table.{name}.columns]: "
                f'{name_of} = {{ type = "integer" }}',
            )
    return Table(
        name=name,
        source=folder / _get(facts, "source", str),
        version=_get(facts, "version", str),
        population=population.name,
        unit=PrivacyUnit.from_dict(unit.to_dict() | bounds),
        domain=Domain.from_dict(columns),
    )


def _releases(items: Any) -> Iterator[Planned]:
    if not isinstance(items, list):
        raise InvalidInput("write releases as [[release]], with two brackets.")
    seen: set[str] = set()
    for place, facts in enumerate(items, 1):
        label = facts.get("name", f"number {place}") if isinstance(facts, dict) else f"number {place}"
        with _at(f"[[release]] {label}"):
            release = _release(facts)
            if release.name in seen:
                raise InvalidInput(f"the name {release.name!r} stands twice.", remedy="Give each release its own name.")
            seen.add(release.name)
            yield release


def _release(facts: Any) -> Planned:
    _mapping(facts)
    _keys(facts, {"name", "kind", "sql", "epsilon", "delta", "weights", "guess", "purpose", "attempt"})
    if _get(facts, "attempt", int, 1) < 1:
        raise InvalidInput(f"attempt must be a whole number of at least 1, got {facts['attempt']!r}.")
    if facts.get("kind", "sql") != "sql":
        raise InvalidInput(f'kind must be "sql", got {facts["kind"]!r}.')
    return Planned(
        name=check_name(_get(facts, "name", str)),
        sql=_get(facts, "sql", str),
        epsilon=_get(facts, "epsilon", float),
        delta=_get(facts, "delta", float, None),
        weights=_numbers(facts, "weights"),
        guess=_numbers(facts, "guess"),
        purpose=_get(facts, "purpose", str, ""),
        attempt=_get(facts, "attempt", int, 1),
    )


def table_of(sql: str, tables: Mapping[str, Table]) -> str:
    """Return the declared table a query reads.

    Raises:
        InvalidInput: none of the declared tables, or the query is unreadable.
        UnsupportedQuery: the text is no single SELECT.
    """
    from discreet.sql import table_names

    [name, *_] = table_names(sql)
    for declared in tables:
        if declared.lower() == name.lower():
            return declared
    raise InvalidInput(
        f"the query reads {name!r}, which is not a declared table.{near(name, tables)}",
        remedy=f"Declared: {', '.join(tables) or 'none'}.",
    )


# ------------------------------------------------------------------------------------- the pieces


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Prefix an error with the place in the file."""
    try:
        yield
    except InvalidInput as error:
        remedy = error.remedy or "Correct it there; every key is explained in the reference of discreet.toml."
        located = InvalidInput(f"{place}: {error.what}", state=error.state, remedy=remedy)
    else:
        return
    raise located


def _keys(facts: Mapping[str, Any], known: set[str]) -> None:
    for key in facts:
        if key not in known:
            raise InvalidInput(f"unknown key {key!r}.{near(key, known)}", remedy=f"Known: {', '.join(sorted(known))}.")


def near(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" if one of the known words is close to `word`, else nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _mapping(facts: Any) -> None:
    if not isinstance(facts, dict):
        raise InvalidInput("a section with keys is needed here.")


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise InvalidInput(f"[{key}] must be a section.")
    return value


MISSING = object()


def _get(facts: Mapping[str, Any], key: str, kind: type, default: Any = MISSING) -> Any:
    if key not in facts:
        if default is MISSING:
            raise InvalidInput(f"{key} is missing.", remedy=f"Add {key} = …")
        return default
    value = facts[key]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        names = {str: "a text", float: "a number", int: "a whole number", bool: "true or false"}
        raise InvalidInput(f"{key} must be {names[kind]}, got {value!r}.")
    return value


def _numbers(facts: Mapping[str, Any], key: str) -> dict[str, float] | None:
    value = facts.get(key)
    if value is None:
        return None
    if not isinstance(value, dict) or not all(type(item) in (int, float) for item in value.values()):
        raise InvalidInput(f"{key} must map output columns to numbers, got {value!r}.")
    return {name: float(item) for name, item in value.items()}
