"""What is installed: the package, its type marker and its licence, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_every_source_file(wheel):
    packed = {name for name in wheel.namelist() if name.startswith("discreet/")}
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "discreet").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == source
    assert "discreet/py.typed" in packed


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert sorted(tops) == ["discreet", *[top for top in tops if top.endswith(".dist-info")]]
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_command_and_the_needs(wheel):
    [entry] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "discreet = discreet.cli:main" in wheel.read(entry).decode()
    [meta] = [name for name in wheel.namelist() if name.endswith("METADATA")]
    needs = [line for line in wheel.read(meta).decode().splitlines() if line.startswith("Requires-Dist")]
    always = sorted(line.split()[1].partition(">")[0] for line in needs if "extra ==" not in line)
    assert always == ["cryptography", "numpy", "rich", "typer"]
