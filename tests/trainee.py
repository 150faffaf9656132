"""The clinic's project with a model of the ward beside its questions."""

from __future__ import annotations

from pathlib import Path

from tests.clinic import Clinic, clinic

RELEASE = """
[[release]]
name = "ward"
kind = "train"
purpose = "Which ward"
table = "visits"
target = "ward"
features = ["age", "cost"]
epsilon = 1.0
delta = 1e-7
sample_rate = 0.25
expected_batch_size = 10
steps = {steps}
"""


def trainee(folder: Path, *, steps: int = 12, opened: bool = True, alone: bool = True) -> Clinic:
    """Make a clinic whose file trains a model; `alone` without its questions in SQL."""
    place = clinic(folder, opened=False)
    text = place.toml.read_text().replace('"zcdp"\nepsilon = 2.0', '"renyi"\nepsilon = 8.0')
    if alone:
        text = text.partition("[[release]]")[0]
    place.toml.write_text(text + RELEASE.format(steps=steps))
    if opened:
        from discreet.cli.app import run

        assert run(["ledger", "open", str(folder), "--json"]) == 0
    return place
