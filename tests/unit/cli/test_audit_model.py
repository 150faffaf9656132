"""audit model and audit release: files of scores, findings, exit codes, and what is refused."""

import json
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from discreet import audit, events
from discreet.accounting import profile
from discreet.cli.app import run
from discreet.errors import InvalidInput
from discreet.profiles import Guarantee
from discreet.release import Release
from discreet.units import PrivacyUnit
from tests.clinic import answer, clinic

REFUTED = 4


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def canaries(shift, count=1000):
    """Coins, and scores that move by so many standard deviations where the coin is heads."""
    coins = audit.flip(count)
    return coins, np.random.default_rng(17).normal(size=count) + shift * coins.included


def csv_of(path, coins, scores):
    lines = (f"{score},{int(coin)}" for score, coin in zip(scores, coins.included, strict=True))
    path.write_text("\n".join(["score,included", *lines]) + "\n")


PURE = ("--relation", "add_remove", "--epsilon", "1")


def test_a_refuted_claim_has_an_exit_code_of_its_own(here, capsys):
    csv_of(here / "s.csv", *canaries(6.0))
    code, found = answer(capsys, "audit", "model", "s.csv", *PURE)
    assert code == REFUTED
    assert found["finding"]["verdict"] == "refuted"
    assert found["finding"]["trials"] == 1000
    assert found["found"][0]["rate"] > 0.9
    assert found["plot"] is None


def test_a_claim_that_is_not_refuted_has_its_ceiling_beside_it(here, capsys):
    csv_of(here / "s.csv", *canaries(0.0))
    assert run(["audit", "model", "s.csv", *PURE]) == 0
    shown = capsys.readouterr().out
    assert "consistent: ε = 1 (add_remove)" in shown
    assert "of at most" in shown
    assert "included by coins given from outside" in shown
    assert "internal" in shown


@pytest.mark.parametrize("claim", [("--mu", "0.5"), ("--rho", "0.1"), ("--epsilon", "1", "--delta", "1e-6")])
def test_claims_of_every_kind(here, capsys, claim):
    csv_of(here / "s.csv", *canaries(6.0))
    extra = () if "--delta" in claim else ("--delta", "1e-6")
    code, found = answer(capsys, "audit", "model", "s.csv", "--relation", "add_remove", *claim, *extra)
    assert (code, found["finding"]["verdict"]) == (REFUTED, "refuted")
    assert found["finding"]["bounds"][0]["delta"] == 1e-6


def test_an_event_in_a_file_is_a_claim(here, capsys):
    csv_of(here / "s.csv", *canaries(6.0))
    (here / "run.json").write_text(json.dumps(events.to_dict(events.Gaussian(1.0))))
    arguments = ("audit", "model", "s.csv", "--relation", "add_remove", "--event", "run.json", "--estimator", "curve")
    code, found = answer(capsys, *arguments)
    assert (code, found["finding"]["curve"]["rejected"]) == (REFUTED, True)


def test_json_and_recorded_coins_say_the_same_as_csv(here, capsys):
    coins, scores = canaries(1.0)
    csv_of(here / "s.csv", coins, scores)
    (here / "s.json").write_text(json.dumps({"scores": scores.tolist(), "included": coins.included.tolist()}))
    (here / "only.json").write_text(json.dumps({"scores": scores.tolist()}))
    coins.write(here / "coins.json")
    bounds = []
    for arguments in (("s.csv",), ("s.json",), ("only.json", "--coins", "coins.json")):
        _, found = answer(capsys, "audit", "model", *arguments, *PURE)
        bounds.append(found["finding"]["bounds"])
    assert bounds[0] == bounds[1] == bounds[2]
    assert coins.commitment in found["finding"]["notes"][0]


def test_a_picture_is_drawn_and_says_whether_it_is_internal(here, capsys):
    coins, scores = canaries(1.0)
    csv_of(here / "s.csv", coins, scores)
    (here / "only.json").write_text(json.dumps({"scores": scores.tolist()}))
    coins.write(here / "coins.json")
    _, found = answer(capsys, "audit", "model", "s.csv", *PURE, "--plot", "a.svg")
    assert found["plot"] == "a.svg"
    assert "internal" in (here / "a.svg").read_text()
    answer(capsys, "audit", "model", "only.json", "--coins", "coins.json", *PURE, "--plot", "b.svg")
    assert "internal" not in (here / "b.svg").read_text()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "points,included\n1,1\n", 'no one column "score"'),
        ("s.csv", "score,score,included\n1,1,1\n", 'no one column "score"'),
        ("s.csv", "score\n1\n2\n", 'there is no "included"'),
        ("s.csv", "score,included\n1,1\nabc,0\n", "canary 2: the score is no finite number"),
        ("s.csv", "score,included\nnan,1\n1,0\n", "canary 1: the score is no finite number"),
        ("s.csv", "score,included\n1,1\n2\n", 'canary 2: "included" is neither 0 nor 1'),
        ("s.csv", "score,included\n1,1\n" + "2" * 200_000 + ",0\n", "no valid CSV after canary 1"),
        ("s.csv", "score,included\n1,1\n2,2\n", 'canary 2: "included" is neither 0 nor 1'),
        ("s.csv", "score,included\n" + "1,1\n2,0\n" * 100, "the coins are not fair"),
        ("s.csv", "score,included\n1,1\n2,1\n", "all 2 canaries were in"),
        ("s.csv", "score,included\n1,1\n1,0\n1,0\n", "scores are the same"),
        ("s.json", "[1, 2]", 'no list "scores"'),
        ("s.json", "{", "no valid JSON"),
        ("s.json", '{"scores": [1, true], "included": [0, 1]}', "canary 2: the score is no finite number"),
        (
            "s.json",
            '{"scores": [1, 1' + "0" * 400 + '], "included": [0, 1]}',
            "canary 2: the score is no finite number",
        ),
        ("s.json", '{"scores": [1, 2], "included": 1}', '"included" is no list'),
        ("s.json", '{"scores": [1, 2], "included": [0, 1, 1, 0]}', "as many scores, got 2"),
    ],
)
def test_wrong_files_are_refused_without_a_score(here, capsys, name, text, message):
    (here / name).write_text(text)
    code, found = answer(capsys, "audit", "model", name, *PURE)
    assert code == 1
    assert message in found["error"]["what"]
    assert "abc" not in json.dumps(found)


def test_other_wrong_input(here, capsys):
    csv_of(here / "s.csv", *canaries(1.0))
    (here / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert answer(capsys, "audit", "model", "nowhere.csv", *PURE)[0] == 1
    assert "is no text" in answer(capsys, "audit", "model", "bytes.csv", *PURE)[1]["error"]["what"]
    audit.flip(1000).write(here / "coins.json")
    code, found = answer(capsys, "audit", "model", "s.csv", *PURE, "--coins", "coins.json")
    assert (code, "holds others" in found["error"]["what"]) == (1, True)
    assert answer(capsys, "audit", "model", "s.csv", *PURE, "--estimator", "best")[0] == 1
    assert answer(capsys, "audit", "model", "s.csv", *PURE, "--mu", "1")[0] == 2  # two claims
    assert answer(capsys, "audit", "model", "s.csv", "--relation", "add_remove")[0] == 2  # none
    assert answer(capsys, "audit", "model", "s.csv", "--epsilon", "1")[0] == 2  # a claim without a relation
    assert answer(capsys, "audit", "model", "s.csv", *PURE, "--plot", "x.gpx")[0] == 1


# ------------------------------------------------------------------------------------- releases


def stored(folder, *, epsilon, event=None, delta=1e-6):
    """Write a release that states this ε."""
    made = Release(
        name="count",
        value=pa.table({"n": [3]}),
        event=event or events.DiscreteLaplace(Fraction(1), Fraction(1)),
        guarantee=Guarantee(PrivacyUnit(column="id"), epsilon, delta, "by hand"),
        accuracy={},
        facts={},
        provenance={},
        entry={"request": "00"},
    )
    made.write(folder)
    return folder


def test_a_release_of_the_project_follows_from_its_event(here, capsys):
    made = clinic(here)
    assert run(["run", str(made.folder), "--yes"]) == 0
    code, found = answer(capsys, "audit", "release", "by_ward", "--project", made.folder)
    assert (code, found["verdict"], found["proved"]) == (0, "consistent", True)
    assert found["attack"]["verdict"] == "consistent"
    assert found["canaries"] is None
    assert [one["runs"] for one in found["ceilings"]] == [100, 1000, 10_000, 100_000, 1_000_000]
    assert run(["audit", "release", str(next(iter((made.folder / "releases" / "people").iterdir())))]) == 0
    shown = capsys.readouterr().out
    assert "the statement follows from the event" in shown
    assert "Whether the event is what ran, this does not show" in shown


def test_a_statement_below_what_the_event_spends_is_refuted(here, capsys):
    """The noise of ε = 1, stated as 0.5: the curve's lower end says so, and the attack on the noise does."""
    code, found = answer(capsys, "audit", "release", stored(here / "r", epsilon=0.5))
    assert (code, found["verdict"], found["proved"]) == (REFUTED, "refuted", False)
    assert found["derivations"][0]["epsilon_lower"] > 0.99
    assert found["attack"]["bounds"][0]["value"] > 0.5


def test_a_statement_that_nobody_proves_is_no_guarantee(here, capsys):
    """ρ-zCDP alone has no lower end: nothing refutes the statement, and nothing proves it."""
    event = events.DiscreteGaussian(Fraction(8), Fraction(400))
    code, found = answer(capsys, "audit", "release", stored(here / "r", epsilon=0.6, event=event))
    assert (code, found["verdict"], found["proved"]) == (REFUTED, "consistent", False)
    assert run(["audit", "release", str(here / "r")]) == REFUTED
    assert "does not follow from the event" in capsys.readouterr().out


def test_what_nothing_could_refute_is_underpowered(here, capsys):
    """ρ alone: no lower end, no noise to draw. Noise of half a step: no two whole numbers to tell apart."""
    for event, epsilon, place in (
        (events.ZCDP(0.1), 3.0, here / "a"),
        (events.ZCDP(0.1), 0.5, here / "b"),  # not proved either
    ):
        code, found = answer(capsys, "audit", "release", stored(place, epsilon=epsilon, event=event))
        assert (found["verdict"], found["attack"]) == ("underpowered", None)
        assert code == (0 if found["proved"] else REFUTED)
    assert run(["audit", "release", str(here / "a")]) == 0
    assert "nothing here could have shown that it is false" in capsys.readouterr().out
    small = events.DiscreteLaplace(scale=Fraction(2), sensitivity=Fraction(1, 2))
    code, found = answer(capsys, "audit", "release", stored(here / "c", epsilon=0.25, event=small, delta=0.0))
    assert (code, found["proved"], found["attack"]) == (0, True, None)


def test_noise_that_is_not_what_the_event_says_is_refuted(here, capsys, monkeypatch):
    """A sampler that draws half of the noise: no look at the event can see it."""
    room = sys.modules["discreet.audit.rederive"]
    right = room._noise
    place = stored(here / "r", epsilon=1.0, event=events.DiscreteLaplace(Fraction(10), Fraction(10)), delta=0.0)
    code, found = answer(capsys, "audit", "release", place)
    assert (code, found["verdict"], found["proved"]) == (0, "consistent", True)
    monkeypatch.setattr(room, "_noise", lambda part, rng: (right(part, rng) / 2).astype(np.int64))
    code, found = answer(capsys, "audit", "release", place)
    assert (code, found["verdict"], found["attack"]["verdict"]) == (REFUTED, "refuted", "refuted")


def test_scores_of_canaries_are_held_against_what_the_release_says_ran(here, capsys):
    place = stored(here / "r", epsilon=1.0)
    csv_of(here / "s.csv", *canaries(6.0))
    code, found = answer(capsys, "audit", "release", place, "--scores", "s.csv")
    assert (code, found["verdict"], found["canaries"]["finding"]["verdict"]) == (REFUTED, "consistent", "refuted")
    csv_of(here / "s.csv", *canaries(0.0))
    assert answer(capsys, "audit", "release", place, "--scores", "s.csv")[0] == 0


def test_what_is_no_release_is_refused(here, capsys):
    made = clinic(here)
    code, found = answer(capsys, "audit", "release", "nothing", "--project", made.folder)
    assert (code, "neither a release's folder nor one" in found["error"]["what"]) == (1, True)
    code, found = answer(capsys, "audit", "release", "nothing", "--coins", "c.json")
    assert (code, "there are none" in found["error"]["what"]) == (1, True)


def test_an_event_that_bounds_nothing_under_the_releases_relation_is_refused(here):
    made = Release.read(stored(here / "r", epsilon=1.0))
    event = events.PoissonSampled(0.1, events.Relation.ADD_REMOVE, events.Gaussian(1.0))
    unit = replace(made.guarantee.unit, relation=events.Relation.REPLACE_ONE)
    wrong = replace(made, event=event, guarantee=replace(made.guarantee, unit=unit))
    with pytest.raises(InvalidInput, match="bounds nothing under replace_one"):
        audit.rederive(wrong)


def test_a_pair_that_need_not_be_attained_refutes_nothing(here):
    """Fixed-size batches: below the lower end of their dominating pair nothing is proved, and nothing is refuted."""
    event = events.FixedSizeSampled(1000, 10, events.Relation.REPLACE_ONE, events.Gaussian(2.0))
    event = events.Repeated(100, event)
    bracket = profile(event).epsilon(1e-5)
    made = Release.read(stored(here / "r", epsilon=1.0))
    unit = replace(made.guarantee.unit, relation=events.Relation.REPLACE_ONE)
    stated = replace(made.guarantee, unit=unit, epsilon=bracket.lower / 2, delta=1e-5)
    found = audit.rederive(replace(made, event=event, guarantee=stated))
    assert bracket.lower > 0
    assert (found.verdict, found.proved) == ("underpowered", False)
