"""What a notebook shows of a release, and its value as data frames."""

import datetime
import re
import sys
from html.parser import HTMLParser

import pyarrow
import pytest

from discreet.errors import MissingExtra
from discreet.release.notebook import HEIGHT, MOST_ROWS, WIDTH
from discreet.release.shown import instead
from tests.unit.test_release import release

HOSTILE = "<script>alert(1)</script>&\"'"


def counted(values, *, half=2.0, keys=None, **more):
    """Return a release of numbers with intervals, one row each."""
    table = {
        "ward": [f"ward {i}" for i in range(len(values))] if keys is None else keys,
        "n": values,
        "n_se": [half / 1.96] * len(values),
        "n_low": [None if value is None else value - half for value in values],
        "n_high": [None if value is None else value + half for value in values],
    }
    given = {"value": pyarrow.table(table), "accuracy": {"n": {"level": 0.95}}, "facts": {"notes": []}}
    return release(**(given | more))


class Page(HTMLParser):
    """The cells of a page, its pictures, and whether its tags go together."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.shapes, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag in ("rect", "line", "circle"):
            self.shapes.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        while self.open[-1] in ("rect", "line", "circle") and tag == "svg":
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.cells and self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def page(item):
    return Page(item._repr_html_())


def test_a_row_is_its_number_its_interval_and_a_picture():
    shown = page(counted([10.0, 40.0]))
    assert shown.cells == [
        "ward", "n", "95 % interval",
        "ward 0", "10.0", "8.0 to 12.0", "",
        "ward 1", "40.0", "38.0 to 42.0", "",
    ]  # fmt: skip
    assert [tag for tag, _ in shown.shapes] == ["rect", "line", "circle"] * 2
    assert "n, 2 rows" in shown.text
    assert "Guarantee: ε = 1, δ = 1e-06 per id (add_remove); entry 2 of 'p'." in shown.text


def test_a_bar_starts_at_zero_or_is_none():
    """What is counted from anywhere else makes a small difference look enormous."""
    apart, close, signed = ([shape for shape, _ in page(counted(values)).shapes] for values in
                            ([10.0, 40.0], [1000.0, 1010.0], [-5.0, 5.0]))  # fmt: skip
    assert ("rect" in apart, "rect" in close, "rect" in signed) == (True, False, True)
    bars = [about for tag, about in page(counted([10.0, 40.0])).shapes if tag == "rect"]
    assert bars[0]["x"] == bars[1]["x"]
    assert float(bars[1]["width"]) == pytest.approx(4 * float(bars[0]["width"]), abs=0.5)


def test_pictures_stay_within_their_cell():
    for values in ([0.0, 0.0], [1e12, -1e12], [1e-9, 2e-9], [5.0, 5.0]):
        for _, about in page(counted(values, half=1e-12)).shapes:
            places = [float(about[name]) for name in ("x", "x1", "x2", "cx") if name in about]
            assert all(0 <= place <= WIDTH for place in places)
            assert all(0 <= float(about[name]) <= HEIGHT for name in ("y", "y1", "y2", "cy") if name in about)


def test_all_text_is_escaped():
    item = counted(
        [1.0, 9.0],
        keys=[HOSTILE, "b"],
        name="n",
        facts={"notes": [HOSTILE]},
        provenance={"test": HOSTILE},
        entry={"population": HOSTILE, "sequence": HOSTILE, "request": "r"},
    )
    table = item.value.rename_columns([HOSTILE, f"{HOSTILE}2", "a", "b", "c"])
    item = release(value=table, accuracy={f"{HOSTILE}2": {"rank_error": 3.0}}, facts=item.facts, entry=item.entry)
    text = (
        counted([1.0, 9.0], keys=[HOSTILE, "b"], facts=item.facts, entry=item.entry)._repr_html_() + item._repr_html_()
    )
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 6
    Page(text)


def test_no_text_turns_the_direction_around():
    assert "\u202e" not in counted([1.0, 2.0], keys=["a\u202eb", "c"])._repr_html_()


def test_nothing_is_fetched():
    text = counted([1.0, 9.0])._repr_html_()
    assert re.findall(r"(?:src|href|url)\W|https?:|@import", text) == []


def test_at_most_fifty_rows():
    for rows, more in ((MOST_ROWS, None), (MOST_ROWS + 1, "… 1 more row"), (1_234_567, "… 1,234,517 more rows")):
        shown = page(counted(pyarrow.array(range(rows)).cast("double").to_pylist()) if rows < 100 else many(rows))
        assert sum(cell.startswith("ward ") for cell in shown.cells) == MOST_ROWS
        assert (more in shown.text) if more else ("more row" not in shown.text)


def many(rows):
    column = pyarrow.array(range(rows))
    return release(value=pyarrow.table({"k": [f"ward {i}" for i in range(rows)], "n": column, "n_low": column,
                                        "n_high": column, "n_se": column}), accuracy={"n": {"level": 0.95}})  # fmt: skip


def test_what_was_drawn_shows_its_rank():
    nothing = pyarrow.nulls(2, pyarrow.float64())
    parts = {"m_se": nothing, "m_low": nothing, "m_high": nothing}
    table = pyarrow.table({"m": [40.0, 80.0], **parts})
    shown = page(release(value=table, accuracy={"m": {"level": 0.95, "rank_error": 13.2}}))
    assert shown.cells[2:4] == ["40", "rank ± 14 rows"]
    assert shown.shapes == [], "dots without their errors would make much of what chance did"
    table = pyarrow.table({"m": ["x", None], **parts})
    shown = page(release(value=table, accuracy={"m": {"level": 0.95}}))
    assert shown.cells[2:] == ["x", "no interval", "", "–", "no interval", ""]
    assert shown.shapes == []


@pytest.mark.parametrize(
    ("rank", "text"),
    [(0.2, "rank ± 1 row"), (13.0, "rank ± 13 rows"), (13.01, "rank ± 14 rows"), (1234.5, "rank ± 1,235 rows"),
     (None, ""), ("13", ""), (float("inf"), "")],
)  # fmt: skip
def test_a_bound_on_a_rank_is_rounded_up(rank, text):
    assert instead({"rank_error": rank}) == text


def test_nulls_totals_and_what_was_before_agreement():
    table = {
        "ward": ["A", None, None],
        "ward_total": [False, False, True],
        "born": [datetime.date(2024, 1, 2)] * 3,
        "n": [1.5, 2.0, None],
        "n_raw": [1.0, 2.0, 3.0],
        "n_se": [1.0, 1.0, None],
        "n_low": [0.0, 0.0, None],
        "n_high": [2.0, 4.0, None],
    }
    facts = {"sql": "SELECT … GROUP BY GROUPING SETS ((ward), ())"}
    shown = page(release(value=pyarrow.table(table), accuracy={"n": {"level": 0.95}}, facts=facts))
    assert shown.cells[:4] == ["ward", "born", "n", "95 % interval"]
    rows = [shown.cells[i : i + 5] for i in range(4, len(shown.cells), 5)]
    assert [row[0] for row in rows] == ["A", "NULL", "(all)"]
    assert rows[0][1:4] == ["2024-01-02", "1.5", "0.0 to 2.0"]
    assert rows[2][2:4] == ["–", "no interval"]
    plain = page(release(value=pyarrow.table(table), accuracy={"n": {"level": 0.95}}, facts={}))
    assert plain.cells[1] == "ward_total", "a column of that name is a key like any other where there are no totals"


def test_a_release_that_says_nothing_of_its_accuracy_is_shown_plainly():
    assert page(release(accuracy={})).cells == ["n", "3", "4"]


def test_test_releases_say_so():
    text = release(provenance={"test": "made with fixed randomness; it protects nobody"})._repr_html_()
    assert "made with fixed randomness" in text


def test_notes_are_shown():
    assert (
        "Rows without id are left out."
        in page(counted([1.0, 2.0], facts={"notes": ["Rows without id are left out."]})).text
    )


def test_frames():
    item = counted([1.0, 2.0])
    assert item.to_pandas()["n"].tolist() == [1.0, 2.0]
    assert item.to_polars()["ward"].to_list() == ["ward 0", "ward 1"]
    assert list(item.to_pandas().columns) == item.to_polars().columns == item.value.column_names


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_frame_that_is_not_installed_says_what_there_is_instead(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=f"needs the package '{package}'") as error:
        getattr(release(), f"to_{package}")()
    assert "release.value" in error.value.remedy
