"""Every Python block of the documentation runs; the blocks of one page share their names."""

import re

import pytest

from tests.docs.pages import PAGES, blocks, name
from tests.spark import PAGE, SPARK

# Code that a page needs and a reader does not: <!-- set-up … --> runs before the page's blocks.
SET_UP = re.compile(r"<!-- set-up\n(.*?)-->", re.DOTALL)


def test_the_reader_of_blocks_sees_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```python\nx = 1\n```\n\n- b\n\n  ```python\n  if x:\n      y = 2\n  ```\n")
    first, second = blocks(page)
    assert (first.text, first.line) == ("x = 1\n", 4)
    assert (second.text, second.line) == ("if x:\n    y = 2\n", 10)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name(page), marks=[SPARK] if page.stem == PAGE else [])
        for page in PAGES
        if any(b.language == "python" for b in blocks(page))
    ],
)
def test_python_blocks_run(page, tmp_path, monkeypatch, request):
    if page.stem == PAGE:
        request.getfixturevalue("spark")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__page__"}
    source = page.read_text(encoding="utf-8")
    for match in SET_UP.finditer(source):
        line = source.count("\n", 0, match.start(1))
        exec(compile("\n" * line + match[1], str(page), "exec"), names)
    for block in blocks(page):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
