"""kill -9 in the middle of training loses nothing; benchmarks/training_kills.py does it fifty times."""

from tests.training_kills import kills


def test_a_killed_run_comes_out_bit_by_bit(tmp_path):
    assert kills(tmp_path, times=3, steps=30) >= 1
