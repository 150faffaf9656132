"""The card of a trained model: what holds, how it came about, and what nobody knows."""

import json
from dataclasses import replace

import pytest

from discreet import PrivacyUnit, events
from discreet.errors import InvalidInput
from discreet.explain import explain, model_card
from discreet.explain.model_card import DECLARED, SELECTED
from tests.choosing import choose, selection
from tests.training import dataset, ledger, plan, start
from tests.unit.explain.conftest import release as counted

STEPS = 60  # of fewer, with so much sampling, an attacker's rates take half a minute


def trained(folder, **changes):
    run = start(dataset(folder), folder, plan=plan(steps=STEPS), **changes)
    run.fit()
    return run.finish()


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    facts = {
        "row": "a visit | of at most 6 numbers",
        "provenance": {"lr": "found on public data", "optimizer": "usual"},
        "note": "<b>mine</b>",
    }
    return trained(tmp_path_factory.mktemp("model"), purpose="Who will come back", facts=facts)


def test_it_says_what_was_done_and_what_that_guarantees(release):
    text = model_card(release).markdown()
    for said in (
        "# Who will come back: model card",
        "Protected: one row of the table",
        r"What one row holds: a visit \| of at most 6 numbers (the owner’s word)",
        "Neighbours (add_remove): the same data without that person, or with them added.",
        f"Steps: {STEPS} paid for, {STEPS} taken.",
        r"On a random sample of people (sample\_rate ",
        "| optimizer: lr | 0.5 | found on public data |",
        "| max grad norm | 0.5 | declared by the owner, as chosen without the private rows |",
        "(0): Linear(in_features=4",
        "(promise)",
        "*For the owner to write",
        "None was handed to this card.",
        "How the settings above were found, beyond the word “declared”.",
        f"`releases/{release.name}/{release.entry['request']}/model.safetensors`",
    ):
        assert said in text, said
    assert "<b>" not in text.replace('"<b>mine</b>"', "")  # which stands in a code block
    assert "\n\n\n" not in text


def test_the_curve_is_the_events(release):
    found = dict(model_card(release).facts["curve"])
    assert len(found) >= 6
    assert list(found) == sorted(found, reverse=True)
    assert list(found.values()) == sorted(found.values())
    assert found[release.guarantee.delta] == pytest.approx(release.guarantee.epsilon, rel=1e-3)
    for delta, epsilon in found.items():
        assert epsilon >= plan(steps=STEPS).epsilon(delta).lower


def test_the_event_can_be_read_again(release):
    assert events.from_dict(model_card(release).facts["event"]) == release.event


def test_what_people_say_stands_where_it_belongs(release):
    prose = {"intended_use": "To plan beds.", "tuning": "Tried on a public table.", "curator": "The clinic"}
    text = model_card(release, project=prose, audits=["An attack on 1,000 canaries found ε ≥ 0.7."]).markdown()
    assert "## Intended use\n\nTo plan beds." in text
    assert "The owner says of this: Tried on a public table." in text
    assert "- Made by: The clinic" in text
    assert "- An attack on 1,000 canaries found ε ≥ 0.7." in text
    assert "None was handed" not in text
    assert "beyond the word “declared”" not in text


def test_facts_are_plain_and_the_same_each_time(release):
    one, other = model_card(release), model_card(release)
    assert json.dumps(one.facts, sort_keys=True) == json.dumps(other.facts, sort_keys=True)
    assert one.markdown() == other.markdown()
    assert repr(one) == f"ModelCard({release.name!r})"


def test_without_facts_of_the_owners_nothing_is_made_up(tmp_path):
    text = model_card(trained(tmp_path)).markdown()
    assert "What one row holds: not said. Where rows are texts" in text
    assert "declared by the owner, as chosen without the private rows" in text
    assert "public data" not in text


def test_a_private_selection_is_named(release):
    chosen = replace(release, event=events.PoissonSelection(event=release.event, mean=3.0))
    text = model_card(chosen).markdown()
    assert "| optimizer | SGD | usual |" in text
    assert "| optimizer: lr | 0.5 | found on public data |" in text
    assert "The best of a random number of runs" in text


def test_the_best_of_many_runs_does_not_vouch_for_the_others(tmp_path):
    text = model_card(choose(dataset(tmp_path), tmp_path)).markdown()
    assert "the other runs were not released" in text
    assert "every model on the way" not in text
    assert "all that was noised" not in text
    assert "Private selection chose among these candidates" in text


def test_another_release_has_no_card():
    with pytest.raises(InvalidInput, match="is no trained model"):
        model_card(counted())


def test_a_report_does_not_call_a_model_accurate(tmp_path):
    data = dataset(tmp_path)
    run = start(data, tmp_path, plan=plan(steps=STEPS), purpose="Who will come back")
    run.fit()
    report = explain(run.finish(), account=data.ledger.account("people"), entries=data.ledger.entries("people"))
    (row,) = [row for row in report.hazards if row.question == "Is each result accurate enough?"]
    assert (
        row.answer == "How good a trained model is, nothing here says; measure it on public rows: “Who will come back”."
    )
    assert row.how == "unknown"


def test_what_private_selection_chose_is_told_with_its_candidates(tmp_path):
    settings = selection(plan=plan(steps=STEPS, noise_multiplier=3.0))
    chosen = choose(dataset(tmp_path, ledger=ledger(epsilon=100.0)), tmp_path, selection=settings)
    card = model_card(chosen)
    text = card.markdown()
    how = {name: said for name, _, said in card.facts["settings"]}
    assert how["steps"] == how["sampler"] == DECLARED
    assert how["optimizer: lr"] == how["max_grad_norm"] == SELECTED
    assert "Private selection chose among these candidates" in text
    assert '"lr": 0.5' in text
    if chosen.facts["selection"]["chosen"] is None:
        assert "No model came of it" in text
    else:
        assert "model.safetensors" in text


def test_several_rows_and_variants_are_named(release):
    unit = PrivacyUnit(column="who", max_rows=3)
    facts = release.facts | {"variants_of_a_row": 4}
    text = model_card(replace(release, guarantee=replace(release.guarantee, unit=unit), facts=facts)).markdown()
    assert "“who”. The first 3 rows of each take part, together." in text
    assert "| variants of a row | 4 |" in text
