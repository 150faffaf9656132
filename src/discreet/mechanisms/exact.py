"""Exact decisions when a floating-point comparison is too close to call.

A uniform number U in [0, 1) is known by its first bits and revealed further only as far as a
decision needs. The other side of the comparison is enclosed between two integers; the enclosure
gets narrower until it leaves out U. All arithmetic here is on integers and fractions.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from discreet.mechanisms.rng import Rng

# (lower, upper) of a number of [0, 1] in units of 2**-bits, given bits.
Bounds = Callable[[int], tuple[int, int]]

_WORD = 64


def exp_bounds(exponent: Fraction, bits: int) -> tuple[int, int]:
    """Enclose exp(-exponent), exponent >= 0, between lower and upper, in units of 2**-bits.

    The exponent is halved until it is below 1/16, the alternating series is summed in interval
    arithmetic on integers, and the result is squared back: every rounding goes outward, so the
    enclosure holds whatever the rounding errors are. Its width is at most two units.
    """
    if exponent > bits:  # exp(-bits) < 2**-bits
        return 0, 1
    halvings = max(0, (exponent.numerator // exponent.denominator).bit_length() + 4)
    guard = bits + 2 * halvings + 16
    one = 1 << guard
    scaled, divisor = exponent.numerator << guard, exponent.denominator << halvings
    y_lower, y_upper = scaled // divisor, -(-scaled // divisor)
    lower = upper = term_lower = term_upper = one
    n = 0
    while term_upper > 1:
        n += 1
        term_lower = term_lower * y_lower // n >> guard
        term_upper = _shift_up(-(-term_upper * y_upper // n), guard)
        if n % 2:
            lower, upper = lower - term_upper, upper - term_lower
        else:
            lower, upper = lower + term_lower, upper + term_upper
    lower, upper = lower - term_upper, upper + term_upper  # the rest of the series is below its next term
    for _ in range(halvings):
        lower, upper = lower * lower >> guard, _shift_up(upper * upper, guard)
    return max(0, lower >> guard - bits), min(1 << bits, _shift_up(upper, guard - bits))


def _shift_up(value: int, bits: int) -> int:
    return -(-value >> bits)


def below(prefix: int, length: int, bounds: Bounds, rng: Rng) -> bool:
    """Decide U < p, where U's first `length` bits are `prefix` and `bounds` encloses p.

    Guarantee:
        Over uniform bits beyond the prefix, the answer is exactly that of the real comparison;
        equality, the only case that would not end, has probability 0.
    """
    while True:
        bits = length + 8
        lower, upper = bounds(bits)
        if prefix + 1 << bits <= lower << length:
            return True
        if prefix << bits >= upper << length:
            return False
        prefix, length = prefix << _WORD | rng.word(), length + _WORD
