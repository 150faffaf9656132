"""Noise that a key and a place name: Gaussian, on the CPU, the same however a model is cut, drawn again at will.

Value i of a tensor in a step is a function of the key, the step, the tensor's name and i alone: neither of how many values
are drawn at once, nor of the order of tensors, nor of what another process draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from discreet.errors import InvalidInput
from discreet.train.correlation import BandedInverseRoot, BandedRoot, BufferedToeplitz, Correlation, LambdaCGD
from discreet.train.keystream import Keystream

_PAIRS = 256  # of one cell: a multiple of every processor's vector width, so that no value is a vector's leftover
CELL = 2 * _PAIRS  # values of one cell: the cosines of its pairs, then their sines
_CELL_BYTES = 12 * _PAIRS  # 64 bits for each radius, then 32 for each angle
_CELL_WORDS = _CELL_BYTES // 8
_CELLS = 128  # drawn at once: what fits the cache, and what PyTorch leaves to one thread
_UNIT, _HALF, _MINUS_TWO = np.float32(2.0**-63), np.float32(0.5), np.float32(-2)
_TURN = np.float32(math.pi * 2.0**-31)


class _Scratch:
    """Memory for `_CELLS` cells, used again and again: the keystream's bytes, and what becomes of them.

    NumPy's: its log, sin and cos take half the time of PyTorch's.
    """

    __slots__ = ("angle", "angles", "buffer", "radii", "radius", "values", "waves", "zeros")

    def __init__(self) -> None:
        self.buffer = bytearray(_CELLS * _CELL_BYTES + 15)
        self.zeros = memoryview(bytes(_CELLS * _CELL_BYTES))
        cells = np.frombuffer(self.buffer, dtype=np.uint8, count=_CELLS * _CELL_BYTES).reshape(_CELLS, _CELL_BYTES)
        self.radii = cells[:, : 8 * _PAIRS].view("<i8")
        self.angles = cells[:, 8 * _PAIRS :].view("<i4")
        self.radius, self.angle, self.waves = (np.empty((_CELLS, _PAIRS), np.float32) for _ in range(3))
        self.values = np.empty((_CELLS, 2, _PAIRS), np.float32)


@dataclass(slots=True)
class _Recent:
    """The last noises of one tensor's stretch, the newest first, or sums of them; and the step of the newest."""

    step: int = -1
    noises: list[torch.Tensor] = field(default_factory=list)


class KeyedNoise:
    """Gaussian noise for each step and tensor of a run, from a keystream; correlated over steps if wished.

    Not for several threads at once: it works in memory of its own.

    Args:
        stream: From a secret key, which draws the noise of one run and of no other.
        correlation: How a step's noise depends on that of earlier steps; None: not at all.

    Guarantee:
        Given ideal bits, fresh values are those of a standard normal law but for the rounding of float32: independent
        of all at other places, with tails up to 9.4 standard deviations. `std` multiplies them, exactly rounded.
        With a correlation, step t has row t of C⁻¹Z, Z fresh values: rounding aside.
    Evidence:
        Proven but for the rounding: docs/proofs/training_noise.md. Measured: the law.
    Assumes:
        That of `Keystream`. NumPy's log, sqrt, cos and sin err by a few units in the last place.
    Not protected:
        A step that is run again with other data and the same key: the difference of the two holds no noise. A run that
        goes on after a crash must not repeat a step that anybody saw. Attacks on the last bits of floats (Mironov
        2012). Other processors or versions of NumPy may round the last bits otherwise.

    References:
        Box, Muller, "A Note on the Generation of Random Normal Deviates", 1958.
    """

    __slots__ = ("_correlation", "_recent", "_scratch", "_stream")

    def __init__(self, stream: Keystream, correlation: Correlation | None = None) -> None:
        self._stream = stream
        self._correlation = correlation
        self._scratch = _Scratch()
        self._recent: dict[tuple[str, int, int], _Recent] = {}

    def __repr__(self) -> str:
        return f"KeyedNoise(key hidden, correlation={self._correlation!r})"

    def fresh(self, step: int, tensor: str | int, size: int, *, offset: int = 0) -> torch.Tensor:
        """Return values offset … offset + size - 1 of a tensor's fresh standard noise of a step, as float32."""
        found = torch.empty(size)
        for start, values in self._fresh(step, tensor, size, offset):
            found[start : start + values.numel()] = values
        return found

    def standard(self, step: int, tensor: str | int, size: int, *, offset: int = 0) -> torch.Tensor:
        """Return what `add` adds for std = 1: with a correlation, that of fresh standard noises of steps up to this one."""
        found = torch.empty(size)
        for start, values in self._mixed(step, tensor, size, offset):
            found[start : start + values.numel()] = values
        return found

    def add(self, target: torch.Tensor, *, std: float, step: int, tensor: str | int, offset: int = 0) -> torch.Tensor:
        """Add a step's noise of standard deviation `std` to a tensor, in place, and return it.

        Args:
            target: A sum of clipped gradients: float32 or float64. A piece of a larger tensor, if `offset` is given.
            std: Of fresh noise: a plan's `noise_std`.
            step: Which step, from 0. No step is noised twice.
            tensor: The name, or number, of the whole tensor: two must not share one.
            offset: Where the piece begins in the whole tensor, in its order of rows.

        Raises:
            InvalidInput: the target cannot bear the noise, or std is no finite number of at least 0.
        """
        if target.dtype not in {torch.float32, torch.float64}:
            raise InvalidInput(
                f"noise is added to float32 or float64, got {target.dtype}: it would be rounded away or be coarse.",
                state="Nothing was added.",
                remedy="Sum clipped gradients in float32, add the noise, and convert then.",
            )
        if isinstance(std, bool) or not isinstance(std, int | float) or not 0 <= std < math.inf:
            raise InvalidInput(
                f"std must be a finite number of at least 0, got {std!r}.",
                state="Nothing was added.",
                remedy="Use the plan's noise_std.",
            )
        flat = target.detach().view(-1) if target.is_contiguous() else torch.zeros(target.numel(), dtype=target.dtype)
        for start, values in self._mixed(step, tensor, target.numel(), offset):
            scaled = torch.mul(values, float(std)).to(device=flat.device)
            flat[start : start + values.numel()].add_(scaled)
        if not target.is_contiguous():
            target.detach().add_(flat.view(target.shape).to(device=target.device))
        return target

    def _mixed(self, step: int, tensor: str | int, size: int, offset: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the noise of a step, piece by piece, each with its place in the stretch."""
        if self._correlation is None:
            return self._fresh(step, tensor, size, offset)
        if isinstance(self._correlation, BandedInverseRoot | LambdaCGD):
            return self._regenerated(self._correlation, step, tensor, size, offset)
        return iter([(0, self._recurring(self._correlation, step, tensor, size, offset))])

    def _regenerated(
        self, correlation: BandedInverseRoot | LambdaCGD, step: int, tensor: str | int, size: int, offset: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield Σ_j r_j z_(t-j): each of the last fresh noises is drawn again, piece by piece."""
        weights = correlation.unmixing(correlation.bands)
        piece = _CELLS * CELL
        begin = offset // piece * piece  # pieces begin where they do in the whole tensor
        for start in range(begin, offset + size, piece):
            first, end = max(start, offset), min(start + piece, offset + size)
            total = torch.zeros(end - first)
            for lag in range(min(correlation.bands, step + 1)):
                for place, values in self._fresh(step - lag, tensor, end - first, first):
                    total[place : place + values.numel()].add_(values * float(weights[lag]))
            yield first - offset, total

    def _recurring(
        self, correlation: BandedRoot | BufferedToeplitz, step: int, tensor: str | int, size: int, offset: int
    ) -> torch.Tensor:
        """Return w_t = z_t less parts of earlier ones: from what is kept of those if it is at hand, else from step 0 on."""
        recent = self._recent.setdefault((_label(tensor), offset, size), _Recent())
        if step < recent.step:
            recent.step, recent.noises = -1, []
        while recent.step < step:
            noise = self.fresh(recent.step + 1, tensor, size, offset=offset)
            if isinstance(correlation, BandedRoot):
                recent.noises = _banded(correlation, noise, recent.noises)
            else:
                recent.noises = _buffered(correlation, noise, recent.noises)
            recent.step += 1
        return recent.noises[0]

    def _fresh(self, step: int, tensor: str | int, size: int, offset: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield fresh values, piece by piece, each with its place in the stretch. A piece holds until the next is drawn."""
        if offset < 0 or size < 0:
            raise InvalidInput(
                f"size and offset must be at least 0, got {size} and {offset}.",
                state="No noise was drawn.",
                remedy="Count values from 0.",
            )
        first, end = offset // CELL, -(-(offset + size) // CELL)
        for cell in range(first, end, _CELLS):
            values = self._cells(step, _label(tensor), cell, min(_CELLS, end - cell))
            start = cell * CELL - offset
            low, high = max(0, -start), min(values.numel(), size - start)
            yield start + low, values[low:high]

    def _cells(self, step: int, label: str, cell: int, count: int) -> torch.Tensor:
        """Return the values of `count` cells, by Box and Muller.

        The radius is sqrt(-2·ln U), U = (|k| + 1/2)/2⁶³ for a whole k of 64 bits: its smallest value has a radius of 9.4,
        and float32 keeps 24 bits of U however small it is.
        """
        use = self._scratch
        self._stream.fill(use.buffer, use.zeros[: count * _CELL_BYTES], label, step, cell * _CELL_WORDS)
        radius, angle, waves = use.radius[:count], use.angle[:count], use.waves[:count]
        np.copyto(radius, use.radii[:count], casting="same_kind")
        np.abs(radius, out=radius)
        np.add(radius, _HALF, out=radius)
        np.log(np.multiply(radius, _UNIT, out=radius), out=radius)
        np.sqrt(np.multiply(radius, _MINUS_TWO, out=radius), out=radius)
        np.copyto(angle, use.angles[:count], casting="same_kind")
        np.multiply(angle, _TURN, out=angle)
        values = use.values[:count]
        np.multiply(np.cos(angle, out=waves), radius, out=values[:, 0])
        np.multiply(np.sin(angle, out=waves), radius, out=values[:, 1])
        return torch.from_numpy(values.reshape(-1))


def _banded(correlation: BandedRoot, noise: torch.Tensor, earlier: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the last noises, after a step with this fresh one."""
    weights = correlation.strategy(correlation.bands)
    for lag, other in enumerate(earlier[: correlation.bands - 1], start=1):
        noise.sub_(other * float(weights[lag]))
    return [noise, *earlier][: max(1, correlation.bands - 1)]


def _buffered(correlation: BufferedToeplitz, noise: torch.Tensor, earlier: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return a step's noise and the sums, after a step with this fresh one."""
    decays, weights = correlation.rounded
    if not earlier:
        return [noise, *(noise.clone() for _ in decays)]
    sums = earlier[1:]
    for weight, each in zip(weights, sums, strict=True):
        noise.sub_(each * float(weight))
    for decay, each in zip(decays, sums, strict=True):
        each.mul_(float(decay)).add_(noise)
    return [noise, *sums]


def _label(tensor: str | int) -> str:
    """Return the keystream's label of a tensor: 1 and "1" are two."""
    if type(tensor) not in {str, int}:
        raise InvalidInput(
            f"a tensor is named by a str or an int, got {type(tensor).__name__}.",
            state="No noise was drawn.",
            remedy="Use the parameter's name in the model.",
        )
    return f"noise/{tensor!r}"
