"""The site builds without a warning, and reading it asks nobody else for anything."""

import re
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT


def build(root, folder):
    # No --quiet: it silences the warnings that --strict counts.
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "[a](#nowhere)", "[a](/nowhere.md)"])
def test_a_broken_link_stops_the_build(tmp_path, link):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A page\n\n{link}\n")
    for file in ("mkdocs.yml", "docs/order.py"):
        (tmp_path / file).write_bytes((ROOT / file).read_bytes())
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_every_page_is_built(site):
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()


def test_a_page_loads_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]* src=\"(https?:)?//|<link[^>]* rel=\"(?:stylesheet|preconnect)\"[^>]* href=\"https?:"
    )
    assert loaded.search('<script src="https://example.org/x.js">')
    found = [page.name for page in site.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))]
    assert found == []
