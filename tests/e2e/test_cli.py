"""Every command as a program would use it: the JSON it prints is what the reference promises."""

import json
import re
from fractions import Fraction

import pytest
from tests.clinic import answer, clinic
from tests.docs.pages import DOCS

from discreet import events
from discreet.cli.app import run
from discreet.ledger import Ledger

PAGE = (DOCS / "reference" / "json.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^#{2,3} (.+?)\n(.*?)(?=^#{1,3} |\Z)", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\| `(\w+)` \| ([^|]+?) \|", re.MULTILINE)
PLAIN = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "whole number": lambda value: type(value) is int,
    "true or false": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "row": lambda value: isinstance(value, dict),
    "event": lambda value: events.from_dict(value) is not None,
}
SQL = "SELECT ward, COUNT(*) AS n, AVG(age) AS age FROM visits GROUP BY ward"


def read_page():
    """Return each section of json.md as a map from fields to types."""
    found = {}
    for title, text in SECTION.findall(PAGE):
        fields = dict(FIELD.findall(text))
        for other in re.findall(r"^An \*\*(.+?)\*\*", text, re.MULTILINE):
            fields = found.get(other, {"": other}) | fields  # "" until the object below it is known
        found[title] = fields
    for title, fields in found.items():
        if "" in fields:
            found[title] = found[fields[""]]
    return found


SECTIONS = read_page()


def differences(value, kind, path):
    """Yield where `value` is not what the page says: a missing or an unknown field, another type."""
    if kind.startswith("list of "):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for item in value:
            yield from differences(item, kind.removeprefix("list of "), f"{path}[]")
    elif " by " in kind:
        for name, item in value.items():
            yield from differences(item, kind.partition(" by ")[0], f"{path}.{name}")
    elif kind in PLAIN:
        if not PLAIN[kind](value):
            yield f"{path} is no {kind}: {value!r}"
    elif " or " in kind:
        first, _, second = kind.rpartition(" or ")
        tried = [list(differences(value, one, path)) for one in (first, second)]
        yield from [] if [] in tried else tried[0]
    else:
        yield from fields(value, SECTIONS[kind.strip("*")], path)


def fields(value, documented, path):
    """Yield the differences of an object."""
    if not isinstance(value, dict):
        yield f"{path} is no object: {value!r}"
        return
    needed = {name for name, kind in documented.items() if not kind.startswith("optional ")}
    yield from (f"{path}.{name} is missing" for name in sorted(needed - set(value)))
    yield from (f"{path}.{name} is not documented" for name in sorted(set(value) - set(documented)))
    for name in set(value) & set(documented):
        yield from differences(value[name], documented[name].removeprefix("optional "), f"{path}.{name}")


def check(value, section):
    assert list(fields(value, SECTIONS[section], section)) == []


@pytest.fixture
def place(tmp_path):
    return clinic(tmp_path / "clinic")


def test_the_page_is_read():
    assert SECTIONS["discreet plan"]["releases"] == "list of **planned**"
    assert SECTIONS["discreet ledger raise"]["spent"] == "**cost**"
    assert {"entries", "head"} <= set(SECTIONS["account with entries"])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"loss": 1}, "cost.delta is missing"),
        ({"loss": 1, "delta": 0, "more": 1}, "cost.more is not documented"),
        ({"loss": 1.5, "delta": 0}, "cost.loss is no whole number: 1.5"),
        ({"loss": True, "delta": 0}, "cost.loss is no whole number: True"),
    ],
)
def test_a_difference_is_seen(value, said):
    assert list(fields(value, SECTIONS["cost"], "cost")) == [said]


def test_init(tmp_path, capsys):
    code, found = answer(capsys, "init", tmp_path / "new")
    assert code == 0
    check(found, "discreet init")
    assert (tmp_path / "new" / "discreet.toml").is_file()


def test_what_init_wrote_can_be_planned(tmp_path, capsys):
    assert run(["init", str(tmp_path)]) == 0
    assert run(["ledger", "open", str(tmp_path)]) == 0
    code, found = answer(capsys, "plan", tmp_path)
    assert (code, [item["state"] for item in found["releases"]]) == (0, ["new"])


def test_plan_and_run(place, capsys):
    code, planned = answer(capsys, "plan", place.folder)
    assert code == 0
    check(planned, "discreet plan")
    code, done = answer(capsys, "run", place.folder, "--yes")
    assert code == 0
    check(done, "discreet run")
    assert [item["name"] for item in done["releases"]] == ["people", "by_ward", "ages"]
    assert [item["entry"]["request"] for item in done["releases"]] == [item["request"] for item in planned["releases"]]
    left = [item["left"] for item in planned["releases"]]
    assert left == sorted(left, reverse=True)
    code, show = answer(capsys, "ledger", "show", place.folder)
    assert show["accounts"][0]["left_epsilon"] == left[-1]
    spent = sum(item["cost"]["loss"] for item in planned["releases"])
    assert show["accounts"][0]["spent"]["loss"] == spent


def test_the_composed_history_stands_beside_the_filter(place, capsys):
    """What ran lies between the two ends; the filter is above both; and the label says what the number may be called."""
    labels = []
    for command in ([], ["run", place.folder, "--yes", "--only", "people"], ["run", place.folder, "--yes"]):
        assert run([*map(str, command or ["plan", place.folder])]) == 0
        code, show = answer(capsys, "ledger", "show", place.folder)
        assert code == 0
        check(show, "discreet ledger show")
        (account,) = show["accounts"]
        history = account["history"]
        labels.append(history["label"])
        assert history["filter"] == pytest.approx(account["spent_epsilon"])
        assert 0 <= history["epsilon_lower"] <= history["epsilon"] <= history["filter"]
        assert (history["epsilon"] > 0) == bool(command)
    assert labels == ["guarantee", "guarantee", "estimate"]
    place.change("[ledger]", "fixed_beforehand = true\n\n[ledger]")
    _, show = answer(capsys, "ledger", "show", place.folder)
    assert show["accounts"][0]["history"] == history | {"label": "promise"}


def test_run_one(place, capsys):
    code, done = answer(capsys, "run", place.folder, "--yes", "--only", "ages")
    assert (code, [item["name"] for item in done["releases"]]) == (0, ["ages"])
    assert place.kinds() == ["open", "charge", "release"]


@pytest.mark.parametrize("measure", ["pure", "zcdp", "renyi"])
def test_cost_and_query(tmp_path, capsys, measure):
    place = clinic(tmp_path, opened=False)
    place.change('measure = "zcdp"', f'measure = "{measure}"')
    assert run(["ledger", "open", str(place.folder)]) == 0
    asked = [place.toml, SQL, "--epsilon", "0.5", "--delta", "1e-7", "--guess", "n=30", "--guess", "age=50"]
    code, price = answer(capsys, "cost", *asked)
    assert code == 0
    check(price, "discreet cost")
    assert [item["relative"] is not None for item in price["columns"]] == [True, True]
    assert place.kinds() == ["open"]
    code, release = answer(capsys, "query", *asked, "--yes", "--purpose", "why")
    assert code == 0
    check(release, "discreet query")
    assert [row["ward"] for row in release["value"]] == ["A", "B"]
    assert set(release["accuracy"]) == {"n", "age"}
    assert release["guarantee"] == price["guarantee"]
    _, book = answer(capsys, "ledger", "show", place.folder)
    charge = book["accounts"][0]["entries"][1]
    assert charge["purpose"] == "why"
    assert charge["cost"] == [price["cost"]["loss"], price["cost"]["delta"]]
    assert charge["event"] == price["event"]


def test_weights_move_the_error(place, capsys):
    asked = [place.toml, "SELECT COUNT(*) AS n, SUM(age) AS s FROM visits", "--epsilon", "0.5", "--delta", "1e-7"]
    errors = [
        answer(capsys, "cost", *asked, *more)[1]["columns"][0]["standard_error"]
        for more in ([], ["--weights", "n=9", "--weights", "s=1"])
    ]
    assert errors[1] < errors[0]


def test_ledger(place, capsys):
    assert run(["run", str(place.folder), "--yes", "--only", "people"]) == 0
    code, raised = answer(capsys, "ledger", "raise", place.folder, "people", "--epsilon", "2.5")
    assert (code, raised["epsilon"], raised["raises"][0]["seen"]) == (0, 2.5, 1)
    check(raised, "discreet ledger raise")
    code, shared = answer(capsys, "ledger", "share", place.folder, "people", "bo", "--epsilon", "0.3")
    assert code == 0
    check(shared, "discreet ledger share")
    asked = [place.folder, SQL, "--epsilon", "0.2", "--delta", "1e-7", "--yes", "--analyst", "bo"]
    assert answer(capsys, "query", *asked)[0] == 0
    for command in ("show", "verify", "export"):
        code, found = answer(capsys, "ledger", command, place.folder)
        assert code == 0
        check(found, f"discreet ledger {command}")
        assert answer(capsys, "ledger", command, place.ledger) == (0, found), "a file and its project are one book"
    assert [item["kind"] for item in found["entries"]] == [
        "open", "charge", "release", "raise", "share", "charge", "release",
    ]  # fmt: skip


def test_ledger_renewed(tmp_path, capsys):
    place = clinic(tmp_path, opened=False)
    place.change('column = "id"\n', 'column = "id"\nper = "ward"\n')
    assert run(["ledger", "open", str(place.folder)]) == 0
    for ward in "AB":
        code, renewed = answer(capsys, "ledger", "renew", place.folder, "people", "--period", ward)
        assert (code, renewed["population"], renewed["period"]) == (0, f"people@{ward}", ward)
        check(renewed, "discreet ledger renew")
    noise = events.Gaussian(20.0)
    Ledger(place.ledger).charge("people", noise, purpose="test", request="a", periods=["A", "B"])
    for command in ("show", "verify", "export"):
        code, found = answer(capsys, "ledger", command, place.folder)
        assert code == 0
        check(found, f"discreet ledger {command}")
        if command == "show":
            first, *others = found["accounts"]
            assert first["total"]["person"]["epsilon"] > others[0]["spent_epsilon"] > 0
            assert first["left_epsilon"] == 0
            assert [item["account"] for item in first["renewals"]] == [item["population"] for item in others]
            assert [item["total"] for item in others] == [None, None]


def test_ledger_open_again_opens_nothing(place, capsys):
    code, found = answer(capsys, "ledger", "open", place.folder)
    assert (code, found["opened"]) == (0, [])


def test_ledger_open(tmp_path, capsys):
    place = clinic(tmp_path, opened=False)
    code, found = answer(capsys, "ledger", "open", place.folder)
    assert code == 0
    check(found, "discreet ledger open")
    assert found["opened"][0]["population"] == "people"
    assert (place.folder / "owner.key").stat().st_mode & 0o777 == 0o600


def test_doctor(place, capsys):
    code, found = answer(capsys, "doctor", place.folder)
    assert code == 0
    check(found, "discreet doctor")
    place.data.unlink()
    code, found = answer(capsys, "doctor", place.folder)
    assert code == 1
    assert [item["name"] for item in found["checks"] if not item["ok"]] == ["table visits"]


def test_explain(place, capsys):
    assert run(["run", str(place.folder), "--yes"]) == 0
    code, found = answer(capsys, "explain", place.folder, "--out", place.folder / "out")
    assert code == 0
    check(found, "discreet explain")
    assert sorted(path.name for path in (place.folder / "out").iterdir()) == [
        "registry.json",
        "report.html",
        "report.md",
    ]


def test_an_error(place, capsys):
    code, found = answer(capsys, "query", place.folder, SQL, "--epsilon", "9", "--delta", "1e-7", "--yes")
    assert code == 3
    check(found["error"], "error")
    assert found["error"]["kind"] == "BudgetExceeded"
    assert list(found) == ["error"]


def test_an_error_of_a_run_stands_beside_what_was_done(place, capsys):
    place.change('AVG(age) AS age FROM visits"\nepsilon = 0.5', 'AVG(age) AS age FROM visits"\nepsilon = 5.0')
    code, found = answer(capsys, "run", place.folder, "--yes")
    assert (code, sorted(found)) == (3, ["error", "releases"])
    check(found["error"], "error")
    check({"releases": found["releases"]}, "discreet run")
    assert [item["name"] for item in found["releases"]] == ["people", "by_ward"]


def test_the_fractions_are_exact(place, capsys):
    _, planned = answer(capsys, "plan", place.folder)
    noise = planned["releases"][0]["noise"][0]
    assert Fraction(noise["variance"]) == Fraction(planned["releases"][0]["event"]["variance"])


def test_export_is_json_always(place, capsys):
    capsys.readouterr()
    assert run(["ledger", "export", str(place.folder)]) == 0
    assert json.loads(capsys.readouterr().out)["entries"][0]["kind"] == "open"


def test_a_team_keeps_its_ledger_on_a_server(tmp_path, capsys, monkeypatch, postgres):
    """With url_env no password stands in the file, and none is printed."""
    place = clinic(tmp_path, opened=False)
    place.change('url = "ledger.db"', 'url_env = "CLINIC_LEDGER"')
    monkeypatch.setenv("CLINIC_LEDGER", postgres.replace("tester@", "tester:sesame@"))
    capsys.readouterr()
    assert run(["ledger", "open", str(place.folder)]) == 0
    assert run(["run", str(place.folder), "--yes"]) == 0
    assert run(["run", str(place.folder), "--yes"]) == 0
    assert run(["ledger", "show", str(place.folder)]) == 0
    assert run(["explain", str(place.folder)]) == 0
    assert run(["doctor", str(place.folder)]) == 0
    printed = capsys.readouterr()
    assert "3 charged, 0 re-used" in printed.out
    assert "0 charged, 3 re-used" in printed.out
    assert answer(capsys, "ledger", "verify", place.folder)[1]["entries"] == {"people": 7}
    assert answer(capsys, "ledger", "verify", postgres)[1]["entries"] == {"people": 7}
    monkeypatch.setenv("CLINIC_LEDGER", "postgresql://tester:sesame@127.0.0.1:1/nowhere")
    assert run(["plan", str(place.folder)]) == 1
    assert run(["doctor", str(place.folder)]) == 1
    refused = capsys.readouterr()
    report = (place.folder / "report" / "report.html").read_text()
    assert "sesame" not in printed.out + printed.err + refused.out + refused.err + report
    assert not place.ledger.exists()
