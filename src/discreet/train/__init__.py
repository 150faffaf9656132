"""Private training of PyTorch models: plan, clip, sample, noise, charge, resume.

Nothing here is loaded by `import discreet`. It needs PyTorch: `pip install "discreet[train]"`.
"""

from discreet.errors import missing_extra as _missing_extra

try:
    import torch as _torch  # noqa: F401 - everything below needs it; said once, and clearly
except ImportError:
    raise _missing_extra("train", "torch") from None

from discreet.train.adam import PrivateAdam
from discreet.train.augment import Augment
from discreet.train.batches import Batch, Batches, MicroBatch
from discreet.train.choosing import select
from discreet.train.clipping import (
    Automatic,
    Clip,
    Clipped,
    Flat,
    Groups,
    Method,
    PerLayer,
    Scaled,
    SlowModule,
    check,
    clipped_sum,
)
from discreet.train.correlation import BandedInverseRoot, BandedRoot, BufferedToeplitz, LambdaCGD
from discreet.train.keystream import Keystream, fresh_key
from discreet.train.noise import KeyedNoise
from discreet.train.people import People
from discreet.train.plan import DPSGD
from discreet.train.quantile import Quantile
from discreet.train.released import load
from discreet.train.run import Run, make_private
from discreet.train.sampling import Allocation, Cyclic, FixedSize, Poisson
from discreet.train.selection import Selection
from discreet.train.setup import Setup
from discreet.train.tables import PrivateClassifier, PrivateRegressor

__all__ = [
    "DPSGD",
    "Allocation",
    "Augment",
    "Automatic",
    "BandedInverseRoot",
    "BandedRoot",
    "Batch",
    "Batches",
    "BufferedToeplitz",
    "Clip",
    "Clipped",
    "Cyclic",
    "FixedSize",
    "Flat",
    "Groups",
    "KeyedNoise",
    "Keystream",
    "LambdaCGD",
    "Method",
    "MicroBatch",
    "People",
    "PerLayer",
    "Poisson",
    "PrivateAdam",
    "PrivateClassifier",
    "PrivateRegressor",
    "Quantile",
    "Run",
    "Scaled",
    "Selection",
    "Setup",
    "SlowModule",
    "check",
    "clipped_sum",
    "fresh_key",
    "load",
    "make_private",
    "select",
]
