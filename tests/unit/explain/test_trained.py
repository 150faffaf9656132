"""A report of a trained model: what it is made of, what it cost, in words."""

from discreet.explain import explain
from tests.training import dataset, plan, start

STEPS = 60  # of fewer, with so much sampling, an attacker's rates take half a minute


def test_a_trained_model_is_explained_like_any_release(tmp_path):
    data = dataset(tmp_path)
    run = start(data, tmp_path, plan=plan(steps=STEPS), purpose="Who will come back")
    run.fit()
    release = run.finish()
    report = explain(release, account=data.ledger.account("people"), entries=data.ledger.entries("people"))
    for audience in ("person", "policy", "engineer"):
        text = report.markdown(audience)
        assert "Who will come back" in text
        assert f"was trained in {STEPS} steps" in text
        assert "| 0.weight | 6 × 4 | float32 |" in text
    assert f"Gaussian noise, standard deviation {plan(steps=STEPS).noise_std:g}" in report.markdown("engineer")
    assert "<table" in report.html()
