"""Fifty times kill -9 at random steps of a training run: the same bits, one charge, nothing private left behind.

python benchmarks/training_kills.py [times]        # about three minutes
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.training_kills import kills

times = int(sys.argv[1]) if len(sys.argv) > 1 else 50
with tempfile.TemporaryDirectory() as folder:
    done = kills(Path(folder), times=times, steps=20 * times)
print(f"killed {done} times in {20 * times} steps: the same model, bit by bit; charged once, released once")
