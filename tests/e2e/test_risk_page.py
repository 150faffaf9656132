"""The interactive page in a browser: its numbers and words are Python's, and everybody can use it."""

import json
import random
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from discreet import events
from discreet.explain import risk, risk_page, risk_words
from discreet.explain.words import at_most, factor, percent
from discreet.profiles import show_delta, show_up

NAMES = ("epsilon", "delta", "prior", "false_positive_rate", "baseline")


@pytest.fixture(scope="module")
def card():
    return risk(events.Approximate(1.0, 1e-5), relation="add_remove")


@pytest.fixture
def page(browser, card, tmp_path):
    """The browser, showing the page of a stated pair."""
    file = tmp_path / "risk.html"
    file.write_text(card.html(), encoding="utf-8")
    browser.emulate()
    browser.size(1100, 900)
    browser.open(file)
    return browser


def settings(count):
    """Return numbers between the sliders' ends, some at the ends."""
    rng = random.Random(7)
    yield {"epsilon": 0.01, "delta": 0.0, "prior": 1e-4, "false_positive_rate": 1e-4, "baseline": 1e-4}
    yield {"epsilon": 20.0, "delta": 0.01, "prior": 0.999, "false_positive_rate": 0.999, "baseline": 0.999}
    yield {"epsilon": 20.0, "delta": 1e-12, "prior": 0.5, "false_positive_rate": 0.5, "baseline": 1e-4}
    yield {"epsilon": 0.01, "delta": 0.01, "prior": 0.5, "false_positive_rate": 1e-4, "baseline": 0.999}
    for _ in range(count):
        yield {
            "epsilon": 10 ** rng.uniform(-2, 1.3),
            "delta": 10 ** rng.uniform(-12, -2),
            "prior": rng.uniform(1e-4, 0.999),
            "false_positive_rate": 10 ** rng.uniform(-4, -0.001),
            "baseline": 10 ** rng.uniform(-4, -0.001),
        }


def exact(one):
    """The numbers of a view, by the names that the page has for them."""
    belief, rate, guess = one.beliefs[0], one.rates[0], one.guesses[0]
    return {
        "posterior": belief.posterior,
        "odds": one.odds,
        "true_positive_rate": rate.true_positive_rate,
        "precision": rate.precision[0][1],
        "accuracy": belief.accuracy,
        "success": guess.success,
        "advantage": one.advantage,
    }


def differing(theirs, ours):
    return {name: (theirs[name], ours[name]) for name in ours if abs(theirs[name] - ours[name]) > 1e-9 * ours[name]}


def test_the_numbers_are_those_of_python(page):
    given = list(settings(150))
    found = page.run(f"JSON.stringify({json.dumps(given)}.map(risk.numbers))")
    for numbers, one in zip(json.loads(found), given, strict=True):
        worst, noise = risk_page.views(**one)
        assert differing(numbers["worst"], exact(worst)) == {}, one
        assert (numbers["gaussian"] is None) == (noise is None)
        if noise is not None:
            assert differing(numbers["gaussian"], exact(noise)) == {}, one


def test_a_formula_that_is_a_little_wrong_would_be_seen(page):
    one = {"epsilon": 1.0, "delta": 1e-5, "prior": 0.2, "false_positive_rate": 0.01, "baseline": 0.1}
    numbers = json.loads(page.run(f"JSON.stringify(risk.numbers({json.dumps(one | {'delta': 1.001e-5})}))"))
    worst, noise = risk_page.views(**one)
    assert set(differing(numbers["worst"], exact(worst))) >= {"true_positive_rate", "success", "advantage"}
    assert set(differing(numbers["gaussian"], exact(noise))) >= {"true_positive_rate", "success", "advantage"}


def test_numbers_read_the_same_in_both_languages(page):
    rng = random.Random(11)
    shares = [0.0, 1.0, 0.5, 0.07, 0.0307, 0.9991, 0.99999, 1e-7, 1e-14, 0.01, 0.1]
    shares += [rng.random() for _ in range(300)] + [10 ** rng.uniform(-9, 0) for _ in range(300)]
    shares += [1 - 10 ** rng.uniform(-9, -1) for _ in range(100)]
    odds = [1.0, 999.4, 999.6, 1000.0, 99999.0, 1e5, *(10 ** rng.uniform(0, 6) for _ in range(300))]
    small = [0.0, 1e-5, 2e-12, 0.01, *(10 ** rng.uniform(-12, -0.01) for _ in range(300))]
    for name, ours, numbers in (
        ("atMost", at_most, shares),
        ("(x => risk.atMost(x, 1))", lambda share: at_most(share, 1), shares),
        ("percent", percent, shares),
        ("factor", factor, odds),
        ("delta", show_delta, small),
        ("once", risk_words.once, small[1:]),
        ("(x => risk.upwards(x, 6))", lambda x: show_up(x, 6), odds + small),
    ):
        call = name if name.startswith("(") else f"risk.{name}"
        found = json.loads(page.run(f"JSON.stringify({json.dumps(numbers)}.map(x => {call}(x)))"))
        assert found == [ours(number) for number in numbers], name


def shown(page):
    """Return what the page says now: its sentences and its table."""
    return json.loads(
        page.run("""JSON.stringify({
            told: [...document.querySelectorAll("[data-sentence]")].map(one => one.textContent),
            table: Object.fromEntries([...document.querySelectorAll("[data-number]")].map(one => [one.dataset.number, one.textContent])),
            setting: document.getElementById("setting").textContent,
        })""")
    )


def expected(one, name="worst"):
    """Return what Python says of these numbers."""
    pair = risk_page.views(**one)
    told = risk_page.told(pair[("worst", "gaussian").index(name)], one, *risk_words.SUSPECTED["add_remove"])
    table = {}
    for number, _, worst, noise in risk_page.table(pair):
        table |= {f"worst.{number}": worst, f"gaussian.{number}": noise}
    return {"told": [told[sentence] for sentence in risk_page.SENTENCES], "table": table}


def type_in(page, name, value):
    """Type a number into a field, as a person would who replaces what stands there."""
    text = repr(value)
    page.run(
        f"""(() => {{ const field = document.getElementById("{name}-exact"); field.focus(); field.select(); }})()"""
    )
    page.ask("Input.insertText", text=text)


def test_what_stands_there_at_first_is_what_the_script_would_write(page, card):
    without = HTMLText(card.html())
    found = shown(page)
    assert found["told"] == without.sentences
    assert found["setting"] == without.setting
    assert found["table"] == without.table
    start = {"epsilon": 1.0, "delta": 1e-5, "prior": 0.1, "false_positive_rate": 0.01, "baseline": 0.1}
    assert expected(start) == {"told": found["told"], "table": found["table"]}


def test_typed_numbers_and_the_choice_change_words_and_table(page):
    one = {"epsilon": 2.5, "delta": 3e-6, "prior": 0.25, "false_positive_rate": 0.04, "baseline": 0.3}
    for name in NAMES:
        type_in(page, name, one[name] if name in {"epsilon", "delta"} else 100 * one[name])
    found = shown(page)
    assert expected(one) == {"told": found["told"], "table": found["table"]}
    page.run("document.querySelector('input[value=gaussian]').click()")
    found = shown(page)
    assert expected(one, "gaussian") == {"told": found["told"], "table": found["table"]}
    assert "Gaussian noise" in found["setting"]
    type_in(page, "delta", 0)  # no Gaussian noise has it: the choice falls back, and is said to
    found = shown(page)
    assert expected(one | {"delta": 0.0})["told"] == found["told"]
    assert found["table"]["gaussian.advantage"] == "–"
    assert page.run("document.querySelector('input[value=gaussian]').disabled")
    assert not page.run("document.getElementById('none').hidden")


@pytest.mark.parametrize("wrong", ["", "0", "-1", "21", "1e9"])
def test_what_is_no_number_for_a_field_changes_nothing(page, wrong):
    before = shown(page)
    page.run("document.getElementById('epsilon-exact').select(); document.getElementById('epsilon-exact').focus()")
    page.press("Delete", code=46)
    page.ask("Input.insertText", text=wrong)
    assert not page.run("document.getElementById('epsilon-exact').validity.valid")
    assert shown(page) == before


def test_the_keyboard_reaches_and_moves_everything(page):
    page.run("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    reached = []
    for _ in range(12):
        page.press("Tab", code=9)
        reached.append(
            page.run("document.activeElement.id || document.activeElement.value || document.activeElement.tagName")
        )
    wanted = [place for name in NAMES for place in (name, f"{name}-exact")]
    assert [place for place in reached if place in wanted] == wanted
    assert "worst" in reached
    page.run("document.getElementById('epsilon').focus()")
    before = float(page.run("document.getElementById('epsilon-exact').value"))
    page.press("ArrowRight", code=39)
    after = float(page.run("document.getElementById('epsilon-exact').value"))
    assert after > before
    assert page.run("document.getElementById('epsilon').getAttribute('aria-valuetext')") == str(after)
    assert (
        expected({"epsilon": after, "delta": 1e-5, "prior": 0.1, "false_positive_rate": 0.01, "baseline": 0.1})["told"]
        == shown(page)["told"]
    )
    page.press("End", code=35)
    assert page.run("document.getElementById('epsilon-exact').value") == "20"
    page.run("document.querySelector('input[value=worst]').focus()")
    page.press("ArrowDown", code=40)
    assert page.run("document.querySelector('input[value=gaussian]').checked")


def test_a_focused_control_is_seen(page):
    page.press("Tab", code=9)
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def tree(page):
    """Return the page as screen readers are told of it: (role, name) of everything."""
    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]


def test_screen_readers_are_told_of_everything(page):
    told = tree(page)
    sliders = [name for role, name in told if role == "slider"]
    fields = [name for role, name in told if role == "spinbutton"]
    assert len(sliders) == len(fields) == 5
    assert all(sliders)
    assert all("exactly" in name for name in fields)
    assert len({*sliders, *fields}) == 10
    pictures = [name for role, name in told if role in {"image", "img"}]
    assert sorted(pictures) == [
        "Belief before and after the release 10 % before, at most 24 % after.",
        "Of 100 people who are in, how many are found At most 3 of 100 are found; guessing finds about 1.",
        "People rightly found against people wrongly accused At 1 % wrongly accused, at most 2.8 % are found.",
    ]
    assert page.run("document.getElementById('told').getAttribute('aria-live')") == "polite"
    assert page.run("document.documentElement.lang") == "en"
    radios = [name for role, name in told if role == "radio"]
    assert len(radios) == 2


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_pictures_stand_out_in_light_and_dark(page, scheme):
    page.emulate(color_scheme=scheme)
    names = ("paper", "ink", "soft", "line", "tint", "before", "after", "other", "focus")
    read = "name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()"
    colour = dict(zip(names, page.run(f"{json.dumps(names)}.map({read})"), strict=True))
    dark = luminance(colour["paper"]) < 0.5
    assert dark == (scheme == "dark")
    for ground in ("paper", "tint"):
        assert contrast(colour["ink"], colour[ground]) >= 7
        assert contrast(colour["soft"], colour[ground]) >= 4.5
    for name in ("before", "after", "other", "focus", "line"):  # what is no text
        assert contrast(colour[name], colour["paper"]) >= 3
    assert page.run("getComputedStyle(document.body).backgroundColor") == page.run(
        f"(() => {{ const one = document.createElement('i'); one.style.color = '{colour['paper']}'; return one.style.color; }})()"
    )


def test_it_prints_with_its_words_and_without_its_sliders(page):
    page.emulate(media="print", color_scheme="dark")
    assert page.run("getComputedStyle(document.getElementById('controls')).display") == "none"
    assert page.run("document.getElementById('told').getClientRects().length") > 0
    assert luminance(page.run("getComputedStyle(document.documentElement).getPropertyValue('--paper')").strip()) == 1.0
    assert "ε = 1, δ = 1e-05" in shown(page)["setting"]
    assert page.pdf().startswith(b"%PDF")


def test_nothing_is_fetched_and_no_error_is_logged(page, card):
    fetched = [
        event["params"]["request"]["url"] for event in page.events if event.get("method") == "Network.requestWillBeSent"
    ]
    assert len(fetched) == 1
    assert fetched[0].startswith("file:")
    bad = {"Log.entryAdded", "Runtime.exceptionThrown"}
    assert [event for event in page.events if event.get("method") in bad] == []
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)|<link|<img|<iframe", card.html())


def test_a_script_that_is_not_ours_does_not_run(browser, card, tmp_path):
    """The page's own policy: only its two scripts, by their hashes."""
    text = card.html()
    assert "default-src 'none'" in unescape(text)
    file = tmp_path / "changed.html"
    file.write_text(text.replace("</footer>", "</footer><script>document.title = 'changed'</script>"), encoding="utf-8")
    browser.open(file)
    assert browser.run("document.title") != "changed"
    assert browser.run("document.getElementById('pictures').hidden") is False  # ours ran


@pytest.mark.parametrize("width", [360, 1100])
def test_nothing_is_wider_than_the_window(browser, tmp_path, width):
    own = risk(events.Repeated(10, events.Gaussian(4.0)), relation="replace_one", delta=1e-6, group=2)
    file = tmp_path / "own.html"
    file.write_text(own.html(), encoding="utf-8")
    browser.size(width, 800)
    browser.open(file)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert "those of such a record" in browser.run("document.getElementById('told').textContent")
    assert "its own curve" in browser.run("document.body.textContent")


class HTMLText(HTMLParser):
    """What stands in the file itself, before any script runs."""

    def __init__(self, text):
        super().__init__()
        self.sentences, self.table, self.setting = [], {}, ""
        self._into = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if "data-sentence" in named:
            self.sentences.append("")
            self._into = "sentence"
        elif "data-number" in named:
            self._into = named["data-number"]
        elif named.get("id") == "setting":
            self._into = "setting"

    def handle_endtag(self, tag):
        if tag in {"p", "td"}:
            self._into = None

    def handle_data(self, data):
        if self._into == "sentence":
            self.sentences[-1] += data
        elif self._into == "setting":
            self.setting += data
        elif self._into is not None:
            self.table[self._into] = self.table.get(self._into, "") + data
