"""Every public name, command and error can be looked up, and every claim has its proof note."""

import importlib
import inspect
import re
from functools import cache

import click
import pytest
import typer

import discreet
from discreet import errors
from discreet.cli import app
from tests.docs.pages import DOCS, blocks, headings, words

REFERENCE = sorted((DOCS / "reference").glob("*.md"))
PROOFS = sorted((DOCS / "proofs").glob("*.md"))

# Public names that claim nothing by themselves: plain data, and the source of bits that every proof assumes.
NO_CLAIM = {
    "accounting": {"COST_UNIT", "Calibration", "Cost", "DELTA_UNIT", "Loss", "Measure", "Sampling", "Target"},
    "mechanisms": {"Rng"},
}


@cache
def looked_up():
    """Return the words of all headings of the reference, and the names of its pages."""
    found = {page.stem.replace("-", "_") for page in REFERENCE}
    return found.union(*(words(heading) for page in REFERENCE for heading in headings(page)))


def in_code(pages):
    """Return the words that the pages show as code."""
    text = []
    for page in pages:
        text += re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
        text += [block.text for block in blocks(page)]
    return words("\n".join(text))


def commands(command, path):
    """Yield the path of every command below `command`."""
    if isinstance(command, click.Group) or hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield " ".join(path)


COMMANDS = sorted(commands(typer.main.get_command(app), ("discreet",)))
ERRORS = sorted(
    name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, errors.DiscreetError)
)


def test_the_lists_are_not_empty():
    assert {"discreet plan", "discreet run", "discreet ledger open"} <= set(COMMANDS)
    assert {"BudgetExceeded", "DataFailure"} <= set(ERRORS)
    assert {"Dataset", "Ledger", "Release"} <= set(discreet.__all__)


@pytest.mark.parametrize("name", discreet.__all__)
def test_a_public_name_has_a_heading(name):
    assert name in looked_up(), f"no page or heading in docs/reference for {name}"


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_a_heading(name):
    assert name in looked_up(), f"no heading in docs/reference for {name}"


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_a_heading(path):
    page = DOCS / "reference" / "cli.md"
    assert any(re.search(rf"\b{path}\b", heading) for heading in headings(page)), f"no heading in cli.md for {path}"


@pytest.mark.parametrize(
    "package", ["accounting", "audit", "explain", "ledger", "mechanisms", "project", "sql", "testing", "train"]
)
def test_names_of_a_package_are_in_the_reference(package):
    missing = set(importlib.import_module(f"discreet.{package}").__all__) - in_code(REFERENCE)
    assert sorted(missing) == []


@pytest.mark.parametrize("package", ["accounting", "mechanisms"])
def test_a_claim_has_its_proof_note(package):
    public = set(importlib.import_module(f"discreet.{package}").__all__)
    assert NO_CLAIM[package] <= public, "an exception that is not needed any more"
    missing = public - NO_CLAIM[package] - in_code(PROOFS)
    assert sorted(missing) == []


@pytest.mark.parametrize("page", PROOFS, ids=lambda page: page.stem)
def test_a_proof_note_has_its_parts(page):
    if page.stem == "index":
        return
    text = page.read_text(encoding="utf-8").casefold()
    missing = [part for part in ("claim", "precondition", "proof", "numerics", "status") if part not in text]
    assert missing == []


def test_every_decision_is_in_the_index():
    folder = DOCS / "decisions"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "index.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_readme_begins_with_the_two_commands():
    lines = (DOCS.parent / "README.md").read_text(encoding="utf-8").splitlines()[:5]
    shown = [line.split()[0] for line in lines if line.startswith("scripts/")]
    assert shown == ["scripts/demo", "scripts/test"]
    assert all((DOCS.parent / script).is_file() for script in shown)
