"""Help texts shown in the documentation are what the commands print."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, blocks, name

SHOWN = [
    (page, line, output)
    for page in PAGES
    for block in blocks(page)
    for line, output in re.findall(r"^\$ (discreet[^\n]*--help) *\n((?:(?!\$ )[^\n]*\n?)*)", block.text, re.MULTILINE)
]


def lines(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def test_some_help_is_shown():
    assert SHOWN


@pytest.mark.parametrize(
    ("page", "line", "output"), SHOWN, ids=lambda value: name(value) if isinstance(value, Path) else None
)
def test_help_is_current(page, line, output):
    program, *arguments = shlex.split(line)
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout) == lines(output)
