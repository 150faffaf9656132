"""kill -9 in the middle of training loses nothing; benchmarks/training_kills.py does it fifty times."""

from tests.training_kills import kills


def test_a_killed_run_comes_out_bit_by_bit(tmp_path):
    assert kills(tmp_path, times=3, steps=30) >= 1


def test_a_killed_selection_comes_out_bit_by_bit(tmp_path):
    """Four runs of eight steps, as its key has it, after candidates were tried: killed in any of them, or before."""
    assert kills(tmp_path, times=2, steps=8, program="tests.choosing", lines=75) >= 1
