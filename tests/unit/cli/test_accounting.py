"""epsilon, curve, compare: what is read, what is shown, and that nothing is ever shown too small."""

import json
import math
import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet import accounting, events
from discreet.accounting import peers
from discreet.cli.accounting import interval, upwards
from discreet.cli.app import run
from discreet.cli.runs import OPTIONS, read
from discreet.errors import InvalidInput, UnsupportedEvent
from discreet.events import Relation
from discreet.profiles import Bracket
from tests.clinic import answer

GAUSSIAN = events.Gaussian(2.0)
SAMPLED = events.PoissonSampled(0.1, Relation.ADD_REMOVE, GAUSSIAN)
REPLACED = events.FixedSizeSampled(100, 10, Relation.REPLACE_ONE, GAUSSIAN)
DPSGD = ("dpsgd", "--sample-rate=0.01", "--noise-multiplier=1", "--steps=100")


@pytest.fixture
def write(tmp_path):
    def written(*data):
        path = tmp_path / "events.json"
        path.write_text(json.dumps(data[0] if len(data) == 1 else list(data)), encoding="utf-8")
        return path

    return written


# --------------------------------------------------------------------------------------------- rounding


@given(st.floats(min_value=5e-324, max_value=1e300), st.integers(min_value=1, max_value=15))
def test_a_number_is_never_shown_below_its_value(value, digits):
    shown = Decimal(upwards(value, digits))
    assert Decimal(value) <= shown <= Decimal(value) * (1 + Decimal(10) ** (1 - digits))


@given(st.floats(min_value=0, max_value=1e6), st.floats(min_value=0, max_value=1))
def test_ends_are_rounded_outwards(lower, relative):
    found = Bracket(lower, lower * (1 + relative))
    low, high = interval(found)[1:-1].split(", ")
    assert Decimal(low) <= Decimal(found.lower)
    assert Decimal(high) >= Decimal(found.upper)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (Bracket(1.0, 1.0), "[1, 1]"),
        (Bracket(6.187712389970684, 6.187712389972554), "[6.1877123899706, 6.1877123899726]"),
        (Bracket(0.0, 3.02256), "[0, 3.023]"),
        (Bracket(0.5, math.inf), "[0.5, ∞]"),
        (Bracket(1e-9, 2e-9), "[1.000e-9, 2.001e-9]"),
    ],
)
def test_as_many_digits_as_are_known(found, shown):
    assert interval(found) == shown


# ---------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ((events.to_dict(GAUSSIAN),), GAUSSIAN),
        ((events.to_dict(events.Composed((GAUSSIAN, SAMPLED))),), events.Composed((GAUSSIAN, SAMPLED))),
        ((events.to_dict(GAUSSIAN), events.to_dict(SAMPLED)), events.Composed((GAUSSIAN, SAMPLED))),
        (
            ([[1.0, 0.01, 50]],),
            events.Repeated(50, events.PoissonSampled(0.01, Relation.ADD_REMOVE, events.Gaussian(1.0))),
        ),
    ],
    ids=["event", "composed", "list", "opacus"],
)
def test_files(write, data, event):
    assert read(write(*data), None).event == event


def test_a_list_of_one_is_that_event(write):
    path = write([events.to_dict(SAMPLED)])
    assert read(path, None).event == events.Composed((SAMPLED,))
    assert read(path, None).words == "add_remove"


@pytest.mark.parametrize("other", [REPLACED, events.RandomizedResponse(1.0, 2), events.Repeated(3, REPLACED)])
def test_mixed_relations_are_refused(write, other):
    with pytest.raises(InvalidInput, match="different relations, add_remove and replace_one"):
        read(write(events.to_dict(SAMPLED), events.to_dict(other)), None)


def test_a_relation_that_the_file_contradicts(write):
    for data in (events.to_dict(SAMPLED), [events.to_dict(SAMPLED)]):
        with pytest.raises((InvalidInput, UnsupportedEvent), match="add_remove"):
            read(write(data), Relation.REPLACE_ONE)


def test_dp_accounting_names_no_relation(write):
    path = write({"module_name": "dp_accounting.dp_event", "class_name": "GaussianDpEvent", "noise_multiplier": 2.0})
    with pytest.raises(InvalidInput, match="relation"):
        read(path, None)
    assert read(path, Relation.ADD_REMOVE).event == GAUSSIAN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "7",
        "[]",
        "{}",
        "nan",
        '[{"v": 1}]',
        '{"v": 1, "kind": "gaussian", "noise_multiplier": NaN}',
        '{"v": 1, "kind": "gaussian", "noise_multiplier": -1}',
        '{"v": 1, "kind": "gaussian", "noise_multiplier": 1, "noise_multiplier": 2}',
        '[{"v": 1, "v": 1, "kind": "gaussian", "noise_multiplier": 1}]',
        '{"v": 2, "kind": "gaussian", "noise_multiplier": 1}',
        '[{"v": "1", "kind": "gaussian", "noise_multiplier": 1}]',
        '{"v": 1, "kind": "repeated", "count": 0, "event": {"kind": "gaussian", "noise_multiplier": 1}}',
        '{"v": 1, "kind": "repeated", "count": 1.5, "event": {"kind": "gaussian", "noise_multiplier": 1}}',
        '{"v": 1, "kind": "laplac", "noise_multiplier": 1}',
        "[" * 100_000,
    ],
)
def test_what_is_no_event(tmp_path, capsys, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    code, found = answer(capsys, "epsilon", path, "--delta=1e-5")
    assert (code, list(found)) == (1, ["error"])
    assert found["error"]["kind"] in {"InvalidInput", "UnsupportedEvent"}
    assert found["error"]["what"].startswith(f"{path}: ")
    assert found["error"]["state"] == "Nothing was spent and no data was read."
    assert found["error"]["remedy"]


def test_what_is_no_text(tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert answer(capsys, "epsilon", path, "--delta=1e-5")[0] == 1


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "relation"])
def test_a_file_is_all_that_counts(write, capsys, name):
    value = "poisson" if name == "sampling" else "1"
    option = f"--{name.replace('_', '-')}"
    code, found = answer(capsys, "epsilon", write(events.to_dict(GAUSSIAN)), "--delta=1e-5", option, value)
    assert (code, found["error"]["kind"]) == (1, "InvalidInput")
    assert option in found["error"]["what"]


# ---------------------------------------------------------------------------------------------- showing


def test_the_line_says_what_it_is_about(capsys):
    assert run(["epsilon", *DPSGD, "--delta=1e-5"]) == 0
    shown = capsys.readouterr().out
    found = accounting.profile(
        events.Repeated(100, events.PoissonSampled(0.01, Relation.ADD_REMOVE, events.Gaussian(1.0)))
    ).epsilon(1e-5)
    assert shown.startswith(f"ε ≤ {upwards(found.upper)} at δ = 1e-05 (add_remove, Poisson sampling; bracket [")
    assert shown.count("\n") == 1
    assert shown.rstrip().endswith("s)")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sample-rate=0.1", "--relation=replace_one"), "replace_one, Poisson sampling"),
        (
            ("--sample-rate=0.1", "--sampling=truncated", "--relation=zero_out", "--records=100", "--batch-cap=30"),
            "zero_out, truncated Poisson sampling",
        ),
        (
            ("--sampling=fixed", "--relation=replace_one", "--records=100", "--batch-size=10"),
            "replace_one, batches of fixed size",
        ),
    ],
)
def test_every_sampling(capsys, options, words):
    assert run(["epsilon", "dpsgd", "--noise-multiplier=2", "--steps=30", *options, "--delta=1e-5"]) == 0
    assert f"({words}; bracket [" in capsys.readouterr().out


@pytest.mark.parametrize("delta", ["nan", "-1e-5", "1", "1.5", "inf", "-inf", "0"])
def test_no_number_for_a_wrong_delta(capsys, delta):
    code, found = answer(capsys, "epsilon", *DPSGD, f"--delta={delta}")
    kind = "UnsupportedEvent" if delta == "0" else "InvalidInput"  # at δ = 0 there is an ε, of other events
    assert (code, list(found), found["error"]["kind"]) == (1, ["error"], kind)
    assert found["error"]["remedy"]


def test_a_pure_event_may_be_asked_at_delta_zero(write, capsys):
    code, found = answer(capsys, "epsilon", write(events.to_dict(events.Pure(1.0))), "--delta=0")
    assert (code, found["epsilon"], found["delta"]) == (0, 1.0, 0.0)


def test_no_finite_epsilon_is_an_error_and_not_a_number(write, capsys):
    path = write(events.to_dict(events.Approximate(1.0, 1e-3)))
    code, found = answer(capsys, "epsilon", path, "--delta=1e-5")
    assert (code, found["error"]["kind"]) == (1, "UnsupportedEvent")
    assert "no finite ε holds for this event at δ = 1e-05" in found["error"]["what"]


def test_what_has_no_guarantee_is_refused(write, capsys):
    code, found = answer(capsys, "epsilon", write(events.to_dict(events.NonPrivate())), "--delta=1e-5")
    assert (code, found["error"]["kind"]) == (1, "UnsupportedEvent")


# ------------------------------------------------------------------------------------------------- curve


def test_a_curve_that_is_infinite_somewhere(write, capsys):
    path = write(events.to_dict(events.Approximate(1.0, 1e-6)))
    code, found = answer(capsys, "curve", path)
    assert code == 0
    assert {row["delta"]: row["epsilon"] is None for row in found["epsilons"]}[1e-8]
    assert found["epsilons"][0]["epsilon"] <= 1.0
    assert run(["curve", str(path)]) == 0
    assert "∞" in capsys.readouterr().out


def test_a_picture_of_another_kind_is_refused_before_anything_is_computed(write, capsys, monkeypatch):
    monkeypatch.setattr("discreet.cli.accounting._profile", lambda _: pytest.fail("it was computed"))
    code, found = answer(capsys, "curve", write(events.to_dict(GAUSSIAN)), "--plot", "out.gif")
    assert (code, found["error"]["kind"]) == (1, "InvalidInput")
    assert "'out.gif'" in found["error"]["what"]


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_pictures(write, tmp_path, capsys, suffix):
    path = write(events.to_dict(GAUSSIAN))
    for name in ("one", "two"):
        code, found = answer(capsys, "curve", path, "--plot", tmp_path / f"{name}{suffix}")
        assert (code, found["plot"]) == (0, str(tmp_path / f"{name}{suffix}"))
    first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert first == second, "a picture depends on nothing but the curve"
    assert first.startswith({".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix])
    if suffix == ".svg":
        assert "lower end" in first.decode()


def test_a_picture_that_cannot_be_written(write, tmp_path, capsys):
    code, found = answer(capsys, "curve", write(events.to_dict(GAUSSIAN)), "--plot", tmp_path / "no" / "x.svg")
    assert (code, found["error"]["kind"]) == (1, "InvalidInput")


# ----------------------------------------------------------------------------------------------- compare


def peer(epsilon, note=""):
    return peers.PeerAnswer("peer", "1.0", epsilon, note)


@pytest.mark.parametrize(
    ("epsilon", "said"),
    [(1.9, "BELOW"), (2.5, "above"), (None, "–"), (math.inf, "above"), (1.993091404415, "within")],
)
def test_where_a_peer_lies(write, capsys, monkeypatch, epsilon, said):
    monkeypatch.setattr(peers, "ask", lambda event, delta: [peer(epsilon, "a note")])
    path = write(events.to_dict(GAUSSIAN))
    assert run(["compare", str(path), "--delta=1e-5"]) == 0
    shown = capsys.readouterr().out
    assert said in shown
    assert "a note" in shown
    code, found = answer(capsys, "compare", path, "--delta=1e-5")
    assert code == 0
    finite = epsilon if epsilon is not None and math.isfinite(epsilon) else None
    assert found["peers"] == [{"name": "peer", "version": "1.0", "epsilon": finite, "note": "a note"}]


def test_no_peer_is_installed(write, capsys, monkeypatch):
    monkeypatch.setattr(peers, "ask", lambda event, delta: [])
    assert run(["compare", str(write(events.to_dict(GAUSSIAN))), "--delta=1e-5"]) == 0
    assert "No other accountant is installed." in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ imports

WATCHED = """
import sys
from discreet.cli.app import run
assert run(sys.argv[1:]) == 0
print(sorted(name for name in ("scipy", "matplotlib", "jinja2", "dp_accounting", "duckdb") if name in sys.modules))
"""


def test_nothing_heavy_is_loaded():
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "epsilon", *DPSGD, "--delta=1e-5"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
