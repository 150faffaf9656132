"""doctor: is this installation fit to run? Reads no private data."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from discreet.cli.output import Json, show_json, show_table
from discreet.errors import DiscreetError

EXTRAS = {
    "sql": ("duckdb", "sqlglot", "pyarrow"),
    "postgres": ("psycopg",),
    "report": ("jinja2", "matplotlib"),
}


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(
    project: Annotated[
        Path | None, typer.Argument(metavar="PROJECT", help="Also check a project's file and ledger.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check versions, extras, randomness, the SQL engine, and a project's file and ledger. Reads no private data."""
    checks = [("python", True, sys.version.split()[0]), ("discreet", True, version("discreet")), _randomness(), _disk()]
    for extra, packages in EXTRAS.items():
        checks += [_package(extra, package) for package in packages]
    checks.append(_engine())
    if project is not None:
        checks += _project(project)
    if as_json:
        show_json({"checks": [{"name": name, "ok": ok, "detail": detail} for name, ok, detail in checks]})
    else:
        show_table(
            "", ("check", "", "detail"), [(name, "ok" if ok else "FAILS", detail) for name, ok, detail in checks]
        )
    if not all(ok for name, ok, _ in checks if not name.startswith("extra ")):
        raise typer.Exit(1)


def _package(extra: str, package: str) -> tuple[str, bool, str]:
    try:
        importlib.import_module(package)
        return f"extra {extra}: {package}", True, version(package)
    except (ImportError, PackageNotFoundError):
        return f"extra {extra}: {package}", False, f'not installed; pip install "discreet[{extra}]"'


def _randomness() -> tuple[str, bool, str]:
    first, second = os.urandom(32), os.urandom(32)
    return "randomness", first != second, "the operating system's"


def _disk() -> tuple[str, bool, str]:
    try:
        with tempfile.NamedTemporaryFile(prefix="discreet-") as file:
            file.write(b"flush")
            file.flush()
            os.fsync(file.fileno())
            return "disk", True, f"writes and flushes to {Path(file.name).parent}"
    except OSError as error:
        return "disk", False, f"temporary files cannot be written: {error.strerror}"


def _engine() -> tuple[str, bool, str]:
    try:
        from discreet.sql.engines import canary, duckdb

        canary.check()
        return "SQL engine", True, f"DuckDB {duckdb.version()}, semantics as expected"
    except DiscreetError as error:
        return "SQL engine", False, error.what


def _project(path: Path) -> list[tuple[str, bool, str]]:
    from discreet.project import Project

    try:
        project = Project.read(path)
    except DiscreetError as error:
        return [("project", False, error.what)]
    checks = [("project", True, str(project.settings.path))]
    for table in project.settings.tables.values():
        there = table.source.exists()
        checks.append((f"table {table.name}", there, f"{table.source}{'' if there else ' does not exist'}"))
    try:
        found = project.ledger.verify()
    except DiscreetError as error:
        return [*checks, ("ledger", False, error.what)]
    checks.append(("ledger", True, f"{sum(found.entries.values())} entries verified"))
    differences = project.differences()
    for name in project.settings.populations:
        wrong = [item for item in differences if repr(name) in item]
        detail = "; ".join(wrong) or ("open, with the terms of the file" if name in found.entries else "not open")
        checks.append((f"account {name}", name in found.entries and not wrong, detail))
    return checks
