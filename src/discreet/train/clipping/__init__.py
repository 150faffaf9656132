"""Clipping the gradient of every single example, exactly, at about the price of ordinary training."""

from discreet.train.clipping.check import check
from discreet.train.clipping.clips import Automatic, Clip, Flat, Groups, PerLayer, Scaled
from discreet.train.clipping.engine import Clipped, clipped_sum
from discreet.train.clipping.loop import SlowModule
from discreet.train.clipping.units import Method

__all__ = [
    "Automatic",
    "Clip",
    "Clipped",
    "Flat",
    "Groups",
    "Method",
    "PerLayer",
    "Scaled",
    "SlowModule",
    "check",
    "clipped_sum",
]
