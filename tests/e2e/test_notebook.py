"""A release in a notebook, looked at in a browser: all of it is seen, by day and by night, and no text acts."""

import pytest
from tests.browser import browser  # noqa: F401 - the fixture
from tests.clinic import clinic

from discreet.cli.app import run
from discreet.project import Project

SEEN = """
(() => {
  const boxes = [...document.querySelectorAll('.discreet-release svg > *')].map(item => {
    const inside = item.getBoundingClientRect(), frame = item.parentNode.getBoundingClientRect();
    return inside.left >= frame.left - 1 && inside.right <= frame.right + 1;
  });
  const shade = text => (text.match(/[\\d.]+/g) || [0, 0, 0]).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
  const cell = getComputedStyle(document.querySelector('.discreet-release td'));
  const line = getComputedStyle(document.querySelector('.discreet-release svg line'));
  return {
    pictures: document.querySelectorAll('.discreet-release svg').length,
    within: boxes.every(Boolean),
    wide: document.querySelector('.discreet-release table').scrollWidth,
    text: shade(cell.color),
    line: shade(line.stroke),
    scripts: document.querySelectorAll('.discreet-release script').length,
    acted: window.acted === true,
  };
})()
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    place = clinic(tmp_path_factory.mktemp("notebook"))
    place.change('keys = ["A", "B"]', 'keys = ["A", "<img src=x onerror=acted=true>"]')
    assert run(["run", str(place.folder), "--yes", "--only", "by_ward"]) == 0
    (release,) = Project.read(place.folder).releases("people")
    return release


@pytest.mark.parametrize("night", [False, True])
def test_a_release_is_seen(browser, released, tmp_path, night):  # noqa: F811 - the fixture
    colours = ("#111", "#ddd") if night else ("#fff", "#111")
    page = tmp_path / "notebook.html"
    style = f"body {{ background: {colours[0]}; color: {colours[1]} }}"
    page.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{released._repr_html_()}")
    browser.size(900, 600)
    browser.open(page)
    seen = browser.run(SEEN)
    assert (seen["pictures"], seen["within"]) == (4, True)
    assert seen["wide"] <= 900
    assert abs(seen["text"] - (17 if not night else 221)) < 1
    assert seen["line"] == seen["text"], "error bars have the colour of the text, so they are seen where it is"
    assert (seen["scripts"], seen["acted"]) == (0, False)
    assert not [event for event in browser.events if event.get("method") == "Network.requestWillBeSent"][1:]
