"""doctor: is this installation fit to run? Reads no private data."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from discreet.cli.output import Json, show_json, show_table
from discreet.errors import DiscreetError, InvalidInput

if TYPE_CHECKING:
    from discreet.project import Project, Table

EXTRAS = {
    "sql": ("duckdb", "sqlglot", "pyarrow"),
    "postgres": ("psycopg",),
    "report": ("jinja2", "matplotlib"),
    "train": ("torch", "safetensors"),
}
State = Literal["ok", "absent", "fails"]


class Check(NamedTuple):
    """What was looked at, and what was found; "absent" is what is not there yet and need not be."""

    name: str
    state: State
    detail: str


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(
    project: Annotated[
        Path | None, typer.Argument(metavar="PROJECT", help="Also check a project's file, tables and ledger.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check versions, extras, randomness, the SQL engine, and a project's file, tables and ledger. Reads no row."""
    from importlib.metadata import version  # slow to load: other commands start without it

    checks = [Check("python", "ok", sys.version.split()[0]), Check("discreet", "ok", version("discreet"))]
    checks += [_randomness(), _disk()]
    for extra, packages in EXTRAS.items():
        checks += [_package(extra, package) for package in packages]
    checks.append(_engine())
    if project is not None:
        checks += _project(project)
    if as_json:
        show_json({"checks": [{"ok": check.state != "fails"} | check._asdict() for check in checks]})
    else:
        show_table("", ("check", "", "detail"), [(item.name, _word(item), item.detail) for item in checks])
    if any(check.state == "fails" for check in checks):
        raise typer.Exit(1)


def _word(check: Check) -> str:
    if check.state == "absent":
        return "not installed" if check.name.startswith("extra ") else "not yet"
    return "FAILS" if check.state == "fails" else "ok"


def _package(extra: str, package: str) -> Check:
    from importlib.metadata import PackageNotFoundError, version

    name = f"extra {extra}: {package}"
    try:
        importlib.import_module(package)
        return Check(name, "ok", version(package))
    except (ImportError, PackageNotFoundError):
        return Check(name, "absent", f'if you need it: pip install "discreet[{extra}]"')


def _randomness() -> Check:
    first, second = os.urandom(32), os.urandom(32)
    return Check("randomness", "ok" if first != second else "fails", "the operating system's")


def _disk() -> Check:
    try:
        with tempfile.NamedTemporaryFile(prefix="discreet-") as file:
            file.write(b"flush")
            file.flush()
            os.fsync(file.fileno())
            return Check("disk", "ok", f"writes and flushes to {Path(file.name).parent}")
    except OSError as error:
        return Check("disk", "fails", f"temporary files cannot be written: {error.strerror}")


def _engine() -> Check:
    try:
        from discreet.sql.engines import canary, duckdb

        canary.check()
        return Check("SQL engine", "ok", f"DuckDB {duckdb.version()}, semantics as expected")
    except DiscreetError as error:
        return Check("SQL engine", "fails", error.what)


def _project(path: Path) -> list[Check]:
    from discreet.project import Project

    try:
        project = Project.read(path)
    except DiscreetError as error:
        return [Check("project", "fails", error.what)]
    tables = [_table(table) for table in project.settings.tables.values()]
    return [Check("project", "ok", str(project.settings.path)), *tables, *_ledger(project)]


def _table(table: Table) -> Check:
    """Check that a table's file is there, can be read and has the declared columns; looks at their names alone."""
    from discreet.sql.engines import duckdb

    name = f"table {table.name}"
    if not table.source.exists():
        return Check(name, "fails", f"{table.source} does not exist")
    try:
        missing = duckdb.missing_columns(table.source, table.domain)
    except DiscreetError as error:
        return Check(name, "fails", error.what)
    if missing:
        return Check(name, "fails", f"{table.source} has no column {', '.join(map(repr, missing))}")
    return Check(name, "ok", str(table.source))


def _ledger(project: Project) -> list[Check]:
    opening = f"open it, once its terms are right: discreet ledger open {project.settings.path}"
    checks = []
    try:
        entries = project.ledger.verify().entries
        checks.append(Check("ledger", "ok", f"{sum(entries.values())} entries verified"))
    except InvalidInput as error:  # there is none, or none can be there
        folder = "://" not in project.settings.ledger and Path(project.settings.ledger).exists()
        if folder:
            return [Check("ledger", "fails", error.what)]
        entries = {}
        checks.append(Check("ledger", "absent", "there is none; the first account that is opened makes it"))
    except DiscreetError as error:
        return [Check("ledger", "fails", error.what)]
    try:
        project.check_ledger()
    except DiscreetError as error:
        return [Check("ledger", "fails", error.what)]
    differences = project.differences()
    for name in project.settings.populations:
        wrong = [item for item in differences if repr(name) in item]
        if name not in entries:
            checks.append(Check(f"account {name}", "absent", opening))
        else:
            state: State = "fails" if wrong else "ok"
            checks.append(Check(f"account {name}", state, "; ".join(wrong) or "open, with the terms of the file"))
    return checks
