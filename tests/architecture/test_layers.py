"""The import contract holds, and it would notice."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {"utils.py", "util.py", "common.py", "helpers.py", "helper.py", "base.py", "types.py", "misc.py"}


def lint(folder):
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "src" / "discreet", tmp_path / "discreet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_layers_hold(copy):
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("errors.py", "import discreet.ledger", "Layers"),
        ("units.py", "import discreet.domains", "Layers"),
        ("explain/planted.py", "import discreet.sql", "explain imports no vertical"),
        ("planted.py", "", "planted"),
        ("dataset.py", "import duckdb", "duckdb and sqlglot"),
        ("accounting/planted.py", "import numpy", "no numpy"),
        ("ledger/planted.py", "import numpy", "no numpy"),
        ("accounting/engines/planted.py", "import dp_accounting", "Peers, test tools"),
        ("mechanisms/planted.py", "import random", "seedable randomness"),
    ],
)
def test_a_planted_import_is_caught(copy, file, line, contract):
    with (copy / "discreet" / file).open("a") as module:
        module.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1
    broken = done.stdout.partition("Broken contracts")[2]
    assert contract in broken


def test_no_file_has_a_name_that_says_nothing():
    found = [path for path in (ROOT / "src").rglob("*.py") if path.name in FORBIDDEN]
    assert found == []
