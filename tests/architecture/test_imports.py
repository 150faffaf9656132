"""`import discreet` stays light, and each heavy package stays in its room."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "numpy",
    "scipy",
    "sklearn",
    "pandas",
    "polars",
    "pyarrow",
    "duckdb",
    "sqlglot",
    "matplotlib",
    "jinja2",
    "psycopg",
)


def modules_after(code, *, cwd=None):
    """Run `code` in a fresh interpreter; return the names of the packages that it loaded, and its CPU seconds."""
    program = (
        "import json, sys, time\n"
        "start = time.process_time()\n"
        "try:\n" + "".join(f"    {line}\n" for line in code.splitlines()) + "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "seconds = time.process_time() - start\n"
        "tops = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "print('\\n' + json.dumps([tops, seconds]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=cwd, timeout=60)
    assert done.returncode == 0, done.stderr
    tops, seconds = json.loads(done.stdout.splitlines()[-1])
    return set(tops), seconds


def test_the_probe_sees_what_is_loaded():
    loaded, _ = modules_after("import numpy")
    assert "numpy" in loaded


def test_import_discreet_loads_nothing_heavy():
    loaded, _ = modules_after("import discreet")
    assert "discreet" in loaded
    assert sorted(loaded & {*HEAVY, "typer", "rich", "cryptography"}) == []


def test_import_discreet_is_quick():
    # CPU seconds, best of five, so that a busy machine does not decide; measured 0.02 to 0.05.
    assert min(modules_after("import discreet")[1] for _ in range(5)) < 0.15


@pytest.mark.parametrize(
    "module", ["events", "units", "domains", "profiles", "accounting", "ledger", "release", "dataset"]
)
def test_the_lower_floors_load_nothing_heavy(module):
    loaded, _ = modules_after(f"import discreet.{module}")
    assert sorted(loaded & set(HEAVY)) == []


def test_the_ledger_commands_load_nothing_heavy(tmp_path):
    loaded, _ = modules_after(
        "from discreet.ledger import Ledger, OwnerKey\n"
        "from discreet.units import PrivacyUnit\n"
        "owner = OwnerKey.create('owner.key')\n"
        "Ledger('ledger.db').open('people', unit=PrivacyUnit(column='id'), measure='zcdp', epsilon=1.0, delta=1e-6, owner=owner)\n"
        "from discreet.cli import main\n"
        "sys.argv = ['discreet', 'ledger', 'show', 'ledger.db', '--json']\n"
        "main()",
        cwd=tmp_path,
    )
    assert "typer" in loaded
    assert sorted(loaded & set(HEAVY)) == []
