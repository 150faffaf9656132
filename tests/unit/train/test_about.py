"""What an owner says of a model stands in its release, and names the run; how a table is read is said by itself."""

import math

import pytest

from discreet.domains import Domain
from discreet.errors import InvalidInput
from discreet.train import PrivateClassifier, PrivateRegressor
from discreet.train.state import State, told
from tests.training import dataset, ledger, start
from tests.unit.train.test_tables import SETTINGS, data


def test_facts_stand_in_the_release_and_name_the_run(tmp_path):
    rows = dataset(tmp_path)
    requests = []
    for facts in (None, {"row": "a visit"}, {"row": "a stay"}):
        run = start(rows, tmp_path, facts=facts)
        run.fit()
        release = run.finish()
        requests.append(release.entry["request"])
        assert release.facts.get("about") == facts
        assert release.provenance["plan"].get("about") == facts
    assert len(set(requests)) == 3
    run = start(rows, tmp_path, facts={"row": "a visit"})  # the same again is the same run
    assert run.finish().entry["request"] == requests[1]


def test_they_override_nothing_that_the_run_says(tmp_path):
    run = start(dataset(tmp_path), tmp_path, facts={"kind": "sql", "steps": 1})
    run.fit()
    facts = run.finish().facts
    assert (facts["kind"], facts["steps"], facts["about"]["steps"]) == ("train", 12, 1)


@pytest.mark.parametrize("facts", [{"a": math.nan}, {"a": object()}, {"a": {1, 2}}, ["a"], 3, "row"])
def test_what_is_no_plain_data_is_refused(tmp_path, facts):
    rows = dataset(tmp_path)
    with pytest.raises(InvalidInput, match="facts must be plain data by name"):
        start(rows, tmp_path, facts=facts)
    assert [entry.kind for entry in rows.ledger.entries("people")] == ["open"]


def test_the_architecture_is_told(tmp_path):
    run = start(dataset(tmp_path), tmp_path)
    run.fit()
    assert "Linear(in_features=4" in run.finish().facts["architecture"]


# ------------------------------------------------------------------------------------------ tables


def facts_of(estimator, folder):
    return estimator.question(data(folder)).facts["about"]


def test_an_estimator_says_how_it_reads(tmp_path):
    about = facts_of(PrivateClassifier(**SETTINGS, hidden=(4,), learning_rate=0.2), tmp_path)
    assert about["estimator"] == "PrivateClassifier"
    assert (about["target"]["column"], about["target"]["keys"]) == ("ill", [False, True])
    assert [one["column"] for one in about["features"]] == ["age", "cost", "ward"]
    assert about["parameters"]["hidden"] == [4]
    provenance = about["provenance"]
    assert provenance["learning_rate"] == provenance["max_grad_norm"] == "default of discreet"
    assert not {"hidden", "steps", "epochs", "epsilon", "sample_rate"} & set(provenance)


def test_steps_by_default_are_said_to_be(tmp_path):
    settings = {name: value for name, value in SETTINGS.items() if name != "steps"}
    assert facts_of(PrivateClassifier(**settings), tmp_path)["provenance"]["steps"] == "default of discreet"
    assert "steps" not in facts_of(PrivateClassifier(**settings, epochs=3), tmp_path)["provenance"]


def test_features_alone_are_read(tmp_path):
    settings = SETTINGS | {"target": "cost", "features": ["ward", "age"]}
    estimator = PrivateRegressor(**settings).fit(data(tmp_path), name="m", private=tmp_path / "private")
    assert estimator.features_ == ["age", "age is NULL", "ward = 'A'", "ward = 'B'", "ward = 'C'"]
    again = PrivateRegressor.load(estimator.release_)
    assert again.get_params()["features"] == ["ward", "age"]
    assert again.features_ == estimator.features_


def test_other_features_are_another_question(tmp_path):
    rows = data(tmp_path)
    asked = [PrivateClassifier(**SETTINGS, features=names) for names in (None, ["age"], ["age", "ward"], ["age"])]
    requests = [rows.request(one.question(rows), name="m") for one in asked]
    assert len(set(requests)) == 3
    assert requests[1] == requests[3]


def test_a_question_is_what_a_fit_is_charged_as(tmp_path):
    rows = data(tmp_path)
    estimator = PrivateClassifier(**SETTINGS)
    request = rows.request(estimator.question(rows, purpose="why"), name="m")
    release = estimator.fit(rows, name="m", purpose="why", private=tmp_path / "private").release_
    assert release.entry["request"] == request
    assert release.event == estimator.question(rows).event


def test_a_question_needs_no_file_yet(tmp_path):
    rows = data(tmp_path, source=tmp_path / "later.parquet")
    assert PrivateClassifier(**SETTINGS).question(rows).guarantee.epsilon <= 8
    with pytest.raises(InvalidInput, match=r"later\.parquet"):
        PrivateClassifier(**SETTINGS).fit(rows, name="m", private=tmp_path / "private")
    assert [entry.kind for entry in rows.ledger.entries("people")] == ["open"]


def test_domains_that_differ_are_told_apart_in_what_is_told(tmp_path):
    wide = data(tmp_path, domain=Domain(age=(0, 120), ill=[False, True]))
    (age,) = PrivateClassifier(**SETTINGS).question(wide).facts["about"]["features"]
    assert (age["low"], age["high"]) == (0, 120)


# ------------------------------------------------------------------------------------------- state


def test_only_the_charge_of_the_kept_key_is_kept(tmp_path):
    rows = dataset(tmp_path)
    run = start(rows, tmp_path, purpose="why")
    (charge,) = [entry for entry in rows.ledger.entries("people") if entry.kind == "charge"]
    kept = State(tmp_path / "private" / str(charge.request))
    assert kept.keeps(str(charge.purpose))
    assert not kept.keeps("why")
    assert not kept.keeps(str(charge.purpose).replace("[run ", "[run 0"))
    assert not State(tmp_path / "elsewhere").keeps(str(charge.purpose))
    run.close()
    (kept.folder / "begun.json").write_text('{"key": "00"}')
    assert not kept.keeps(str(charge.purpose))
    assert told("why", run._work.step.stream) == charge.purpose


@pytest.mark.parametrize("measure", ["zcdp", "pure"])
def test_a_measure_that_does_not_bound_the_run_is_refused_before_anything_is_kept(tmp_path, measure):
    rows = dataset(tmp_path, ledger=ledger(measure=measure, delta=0.0 if measure == "pure" else 1e-5))
    with pytest.raises(InvalidInput, match=f"'people' is measured in {measure}"):
        start(rows, tmp_path)
    assert not (tmp_path / "private").exists()
