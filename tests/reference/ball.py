"""A referee for the accountants: delta(epsilon) of a composition, enclosed in ball arithmetic.

It shares no code with discreet, and each number it returns is an interval (`flint.arb`) that holds the truth: every
error term of the method is bounded and added, and python-flint carries the rounding.

A law is a pair (P, Q), given by the privacy loss L = log dP/dQ under P: atoms, and pieces where L increases with the
output x. M(z) = E[exp(z L); L < inf] multiplies under composition, and for every c > 0 with M(c) finite

    delta(eps) = p_inf + 1/(2 pi) integral f(c + iu) du,    f(z) = prod M(z)^T exp(-z eps) / (z (1 + z)).

The trapezoid sum of step h equals the sum over all integers m of exp(2 pi m c / h) delta(eps + 2 pi m / h). The terms
m != 0 are not negative; those below are at most 1 / (exp(2 pi c / h) - 1), for delta <= 1, and those above are summed
with Chernoff's bound delta(y) <= kappa(c') M(c') exp(-c' y), kappa(c) = c^c / (1 + c)^(1 + c), at some c' > c. The sum
stops at the node N where `tail` bounds |M(c + iu)| for all larger u, with sum_(k>N) 1 / |z (1 + z)| <= 1 / (h^2 N).
Unbounded outputs are first cut to a window: an event of P-probability w changes delta by at most w.

Floats (numpy) only choose c, h, N and the window; nothing rests on them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np
from flint import acb, acb_mat, arb, arb_poly, ctx, fmpq

Number = float | int | Fraction | arb
Parts = Sequence[tuple["Law", int]]

PRECISION = 110  # bits
ACCURACY = 1e-14  # what each error term that can be chosen may take of delta
LEAST_ACCURACY = 1e-7  # what the cut of the sum may take where the transform decays slowly
NODES = 32  # of the Gauss-Legendre rule on one panel
CELLS = 500  # of one piece, for the lower bounds of its density
MOST_TERMS = 20_000  # of the trapezoid sum; a composition that needs more has no decay to speak of


def ball(x: Number) -> arb:
    """The number as a ball; a float stands for exactly the binary number that it is."""
    return arb(fmpq(x.numerator, x.denominator)) if isinstance(x, Fraction) else arb(x)


def normal(x: arb) -> arb:
    """The standard normal distribution function."""
    if not x.is_finite():
        return arb(int(x > 0))
    return (-x / arb(2).sqrt()).erfc() / 2


def root(increasing: Callable[[arb], arb], lo: Number, hi: Number) -> tuple[arb, arb]:
    """Points on the two sides of a zero, as near as the precision tells; infinite ends are searched for."""
    if math.isinf(lo):
        lo = min(-1.0, hi - 1)
        while not increasing(arb(lo)) < 0:
            lo -= 1 + abs(lo)
    if math.isinf(hi):
        hi = max(1.0, lo + 1)
        while not increasing(arb(hi)) > 0:
            hi += 1 + abs(hi)
    lo, hi = arb(lo), arb(hi)
    for _ in range(ctx.prec):
        mid = ((lo + hi) / 2).mid()
        value = increasing(mid)
        if value > 0:
            hi = mid
        elif value < 0:
            lo = mid
        else:
            break
    return lo, hi


# ------------------------------------------------------------------------------------------- pieces


@dataclass(frozen=True)
class Tilt:
    """The function x -> log of the sum of w exp(a + k x) over one or two terms (w, a, k)."""

    terms: tuple[tuple[arb, arb, arb], ...]

    def _odds(self, x):
        (w, a, k), (v, b, m) = self.terms
        return (v / w).log() + b - a + (m - k) * x

    def log(self, x, *, analytic: bool = False):
        w, a, k = self.terms[0]
        first = w.log() + a + k * x
        if len(self.terms) == 1:
            return first
        both = 1 + self._odds(x).exp()
        return first + (both.log(analytic=analytic) if isinstance(both, acb) else both.log())

    def slope(self, x):
        k = self.terms[0][2]
        return k + 0 * x if len(self.terms) == 1 else k + (self.terms[1][2] - k) / (1 + (-self._odds(x)).exp())


@dataclass(frozen=True)
class Piece:
    """Outputs lo < x < hi with densities base(x) exp(p(x)) under P and base(x) exp(q(x)) under Q; p - q increases.

    The base is weight times exp(-alpha x^2 - beta x): normal noise or exponential noise.
    """

    lo: Number
    hi: Number
    weight: arb
    alpha: arb
    beta: arb
    p: Tilt
    q: Tilt

    def loss(self, x):
        return self.p.log(x) - self.q.log(x)

    def loss_slope(self, x):
        return self.p.slope(x) - self.q.slope(x)

    def exponent(self, x, z, *, analytic: bool = False):
        """The logarithm of (density under P) times exp(z loss)."""
        logs = (1 + z) * self.p.log(x, analytic=analytic) - z * self.q.log(x, analytic=analytic)
        return self.weight.log() + logs - x * (self.alpha * x + self.beta)

    def exponent_slope(self, x, c: arb):
        return (1 + c) * self.p.slope(x) - c * self.q.slope(x) - 2 * self.alpha * x - self.beta

    def mass(self, density: Tilt, lo: arb, hi: arb) -> arb:
        """The mass of (lo, hi) under one of the two densities."""
        total = arb(0)
        for w, a, k in density.terms:
            slope = k - self.beta
            if self.alpha.is_zero():
                total += w * a.exp() * ((slope * hi).exp() - (slope * lo).exp()) / slope
                continue
            sd = 1 / (2 * self.alpha).sqrt()
            left, right = (lo - slope * sd**2) / sd, (hi - slope * sd**2) / sd
            if left > 0:  # the upper tail, not as a difference of numbers near 1
                left, right = -right, -left
            total += w * (a + (slope * sd) ** 2 / 2).exp() * sd * (2 * arb.pi()).sqrt() * (normal(right) - normal(left))
        return self.weight * total

    def window(self, mass: float) -> tuple[Piece, arb]:
        """The piece on a finite interval and the P-mass cut off, about `mass` for each infinite end."""
        lo, hi, minus, plus = self.lo, self.hi, arb.neg_inf(), arb.pos_inf()
        with ctx.workprec(53):
            if math.isinf(lo):
                lo = root(lambda x: self.mass(self.p, minus, x) - mass, -math.inf, min(hi, 0))[0]
            if math.isinf(hi):
                hi = root(lambda x: mass - self.mass(self.p, x, plus), max(self.lo, 0), math.inf)[1]
        cut = arb(0)
        if math.isinf(self.lo):
            cut += self.mass(self.p, minus, lo)
        if math.isinf(self.hi):
            cut += self.mass(self.p, hi, plus)
        return replace(self, lo=lo, hi=hi), cut

    def transform(self, z: acb) -> acb:
        """The integral of exp(exponent), by flint's rigorous integrator; needs finite ends."""
        return acb.integral(lambda x, analytic: self.exponent(x, z, analytic=analytic).exp(), self.lo, self.hi)

    def hockey_stick(self, eps: arb) -> arb:
        """P - exp(eps) Q of the outputs with loss above eps; needs finite ends."""
        start, end = arb(self.lo), arb(self.hi)
        if self.loss(end) <= eps:
            return arb(0)
        if not self.loss(start) >= eps:
            start = arb.union(*root(lambda x: self.loss(x) - eps, start, end))
        return self.mass(self.p, start, end) - eps.exp() * self.mass(self.q, start, end)

    def layers(self, c: arb) -> list[tuple[arb, arb]]:
        """Uniform laws within the tilted law of the loss: (mass, half the length of the interval of losses).

        The density of exp(c L) P over losses is bounded below on cells of x, by the mean value theorem at the middle
        of each; the cells are split into hills, and each hill is a stack of layers, wide ones lying below narrow ones.
        """
        edges = [self.lo + (arb(self.hi) - self.lo) * i / CELLS for i in range(CELLS + 1)]
        losses = [self.loss(x) for x in edges]
        heights = []
        for left, right in itertools.pairwise(edges):
            mid, cell = (left + right) / 2, left.union(right)
            low = self.exponent(mid, c) - abs(self.exponent_slope(cell, c)) * (right - left) / 2
            height = (low.exp() / self.loss_slope(cell)).lower()
            heights.append(height if height > 0 else arb(0))
        return [layer for hill in hills([float(x) for x in heights]) for layer in stack(hill, heights, losses)]

    def rule(self, c: arb, top: arb, tolerance: arb) -> tuple[list[arb], list[arb], arb]:
        """Weights w, losses l and an error e: |integral of exp(exponent) - sum w exp(iu l)| <= e for all |u| <= top.

        Gauss-Legendre with n nodes on panels of half-length r; on the ellipse with semi-axes r (rho +- 1/rho) / 2 the
        integrand is at most S, which gives an error of 64/15 r S rho^(-2n) / (1 - rho^-2) or less.
        """
        weights, losses, error = [], [], arb(0)
        whole = arb(self.hi) - self.lo
        todo = [(arb(self.lo), arb(self.hi))]
        while todo:
            lo, hi = todo.pop()
            mid, half = (lo + hi) / 2, (hi - lo) / 2
            with ctx.workprec(53):
                slack = min((self._panel(mid, half, c, top, rho) for rho in (2, 3, 4, 6, 9)), key=_upper)
            if not slack < tolerance * half / whole:
                if half < whole / 1e6:
                    raise ArithmeticError("no panel is short enough")
                todo += [(mid.mid(), hi), (lo, mid.mid())]
                continue
            error += slack
            for x, w in legendre(ctx.prec):
                at = mid + half * x
                weights.append(half * w * self.exponent(at, c).exp())
                losses.append(self.loss(at))
        return weights, losses, error

    def _panel(self, mid: arb, half: arb, c: arb, top: arb, rho: int) -> arb:
        wide, high = half * (rho + 1 / arb(rho)) / 2, half * (rho - 1 / arb(rho)) / 2
        # A finite slope on the whole rectangle also says that the logarithms are analytic there.
        box = acb(mid + wide * arb(0, 1), high * arb(0, 1))
        size = self.exponent(mid, c) + abs(self.exponent_slope(box, c)) * wide + top * abs(self.loss_slope(box)) * high
        return half * arb(64) / 15 * size.exp() / (arb(rho) ** (2 * NODES) * (1 - arb(rho) ** -2))


def _upper(x: arb) -> float:
    return float(x.upper()) if x.is_finite() else math.inf


@lru_cache(maxsize=4)
def legendre(bits: int) -> list[tuple[arb, arb]]:
    with ctx.workprec(bits):
        return [arb.legendre_p_root(NODES, k, weight=True) for k in range(NODES)]


def hills(heights: list[float]) -> list[range]:
    """The cells cut at the valleys between their highest places."""
    valleys = [i for i in range(1, len(heights) - 1) if heights[i - 1] > heights[i] <= heights[i + 1]]
    return [range(a, b) for a, b in zip([0, *valleys], [*valleys, len(heights)], strict=True) if b > a]


def stack(hill: range, heights: list[arb], losses: list[arb]) -> list[tuple[arb, arb]]:
    """The layers under one hill: intervals grown from its top towards the higher neighbour."""
    peak = max(hill, key=lambda i: float(heights[i]))
    left, right, level, layers = peak, peak + 1, heights[peak], []
    while level > 0:
        a = heights[left - 1] if left > hill.start else arb(0)
        b = heights[right] if right < hill.stop else arb(0)
        below = max(a, b, key=float)
        if below < level:
            length = losses[right] - losses[left]
            layers.append(((level - below) * length, length / 2))
            level = below
        if left == hill.start and right == hill.stop:
            break
        if right == hill.stop or (left > hill.start and float(a) >= float(b)):
            left -= 1
        else:
            right += 1
    return layers


def ripple(v: arb) -> arb:
    """The supremum of |sin(w) / w| over w >= v: sinc falls until pi, and no later hump is above 0.2173."""
    hump = arb("0.2173")
    return v.sinc().max(hump) if v < 3 else hump.min(1 / v)


# --------------------------------------------------------------------------------------------- laws


class Law:
    """A privacy-loss pair: atoms (mass under P, loss), pieces, and the P-mass of infinite loss."""

    atoms: tuple[tuple[arb, arb], ...] = ()
    pieces: tuple[Piece, ...] = ()
    infinite: Number = 0

    def transform(self, z: acb) -> acb:
        """M(z) = E[exp(z L); L < inf]."""
        return sum((m * (z * loss).exp() for m, loss in self.atoms), acb(0)) + sum(x.transform(z) for x in self.pieces)

    def tail(self, c: arb, u: arb) -> arb | None:
        """A closed-form bound of |M(c + iv)| for all v >= u; None where the layers of the pieces give it."""
        return None

    def hockey_stick(self, eps: arb) -> arb:
        """delta(eps) of one use."""
        total = sum(((m * (1 - (eps - loss).exp())).max(arb(0)) for m, loss in self.atoms), ball(self.infinite))
        for piece in self.pieces:
            inside, cut = piece.window(1e-200)
            total += inside.hockey_stick(eps) + cut.union(arb(0))
        return total


def _tilts(*terms: tuple[Number, Number, Number]) -> Tilt:
    return Tilt(tuple((ball(w), ball(a), ball(k)) for w, a, k in terms if w != 0))


def _normal_piece(p: dict, q: dict, sigma: Number, lo=-math.inf, hi=math.inf, weight: Number = 1) -> Piece:
    """P and Q as mixtures {mean: probability} of normal laws of standard deviation sigma."""
    s = ball(sigma)

    def mixture(weights: dict) -> Tilt:
        return _tilts(*((w, -(ball(m) ** 2) / (2 * s**2), ball(m) / s**2) for m, w in weights.items()))

    scale = ball(weight) / (s * (2 * arb.pi()).sqrt())
    return Piece(lo, hi, scale, 1 / (2 * s**2), arb(0), mixture(p), mixture(q))


@dataclass(frozen=True)
class Gaussian(Law):
    """The Gaussian mechanism, mu = sensitivity over standard deviation."""

    mu: Number

    @property
    def pieces(self):
        return (_normal_piece({self.mu: 1}, {0: 1}, 1),)

    def transform(self, z: acb) -> acb:
        return (ball(self.mu) ** 2 * (z * z + z) / 2).exp()

    def tail(self, c: arb, u: arb) -> arb:
        return (ball(self.mu) ** 2 * (c * c + c - u * u) / 2).exp()


@dataclass(frozen=True)
class Laplace(Law):
    """The Laplace mechanism, e0 = sensitivity over scale."""

    e0: Number

    @property
    def atoms(self):
        e0 = ball(self.e0)
        return ((arb(1) / 2, e0), ((-e0).exp() / 2, -e0))

    @property
    def pieces(self):
        e0 = ball(self.e0)
        return (Piece(0, 1, e0 / 2, arb(0), e0, _tilts((1, -e0, 2 * e0)), _tilts((1, 0, 0))),)

    def transform(self, z: acb) -> acb:
        e0 = ball(self.e0)
        return ((1 + z) * (z * e0).exp() + z * (-(1 + z) * e0).exp()) / (1 + 2 * z)

    def tail(self, c: arb, u: arb) -> arb:
        # |1 + z| / |1 + 2z| falls in u, and |z| / |1 + 2z| < 1/2.
        e0, z = ball(self.e0), acb(c, u)
        return (c * e0).exp() * abs(1 + z) / abs(1 + 2 * z) + (-(1 + c) * e0).exp() / 2


@dataclass(frozen=True)
class Response(Law):
    """Randomised response among k answers: the pair (e0, delta0) that dominates all others where k = 2."""

    e0: Number
    k: int = 2
    infinite: Number = 0

    def masses(self) -> list[arb]:
        """Of the losses -e0, 0 and e0."""
        r = (1 - ball(self.infinite)) / (ball(self.e0).exp() + self.k - 1)
        return [r, (self.k - 2) * r, r * ball(self.e0).exp()]

    @property
    def atoms(self):
        return tuple((m, (j - 1) * ball(self.e0)) for j, m in enumerate(self.masses()) if j != 1 or self.k > 2)

    def tail(self, c: arb, u: arb) -> arb:
        return self.transform(acb(c)).real


@dataclass(frozen=True)
class PoissonGaussian(Law):
    """Poisson sampling at rate q, then normal noise of sigma sensitivities; direction remove, add or replace."""

    q: Number
    sigma: Number
    direction: str

    @property
    def pieces(self):
        q, here = ball(self.q), {0: 1}
        with_, below = {0: 1 - q, 1: q}, {0: 1 - q, -1: q}
        p, q = {"remove": (with_, here), "add": (here, below), "replace": (with_, below)}[self.direction]
        return (_normal_piece(p, q, self.sigma),)


@dataclass(frozen=True)
class PoissonLaplace(Law):
    """Poisson sampling at rate q, then Laplace noise of b sensitivities; direction remove or add."""

    q: Number
    b: Number
    direction: str

    @property
    def atoms(self):
        q, e0 = ball(self.q), 1 / ball(self.b)
        low, high = 1 - q + q * (-e0).exp(), 1 - q + q * e0.exp()  # the ratio of densities at the two ends
        bases = ((arb(1) / 2, low), ((-e0).exp() / 2, high))
        if self.direction == "remove":
            return tuple((m * x, x.log()) for m, x in bases)
        return tuple((m, -x.log()) for m, x in bases)

    @property
    def pieces(self):
        q, e0 = ball(self.q), 1 / ball(self.b)
        if self.direction == "remove":
            return (Piece(0, 1, e0 / 2, arb(0), e0, _tilts((1 - q, 0, 0), (q, -e0, 2 * e0)), _tilts((1, 0, 0))),)
        # Mirrored, x -> 1 - x, so that the loss increases.
        mixture = _tilts((1 - q, 0, 0), (q, e0, -2 * e0))
        return (Piece(0, 1, e0 * (-e0).exp() / 2, arb(0), -e0, _tilts((1, 0, 0)), mixture),)


@dataclass(frozen=True)
class TruncatedPoisson(Law):
    """Poisson sampling at rate q from n records, cut to `largest` at random, then normal noise (Ganesh 2025).

    Truncation is taken as public: where it happens the pair is replace-one at twice the sensitivity.
    """

    n: int
    q: Number
    largest: int
    sigma: Number
    direction: str

    def truncated(self) -> tuple[arb, arb]:
        """The probability of truncation given that the record is sampled, and of being used given truncation."""

        def at_least(k: int, n: int) -> arb:
            return ball(self.q).beta_lower(k, n - k + 1, regularized=True) if k <= n else arb(0)

        often, cut = at_least(self.largest, self.n - 1), at_least(self.largest + 1, self.n)
        return often, arb(0) if often.is_zero() else cut * self.largest / (often * self.n)

    @property
    def pieces(self):
        often, rate = self.truncated()
        if often.is_zero():  # the cut is at n or above
            return PoissonGaussian(self.q, self.sigma, self.direction).pieces
        both = [(often, PoissonGaussian(rate, ball(self.sigma) / 2, "replace"))]
        both.append((1 - often, PoissonGaussian(self.q, self.sigma, self.direction)))
        return tuple(replace(piece, weight=w * piece.weight) for w, law in both for piece in law.pieces)


@dataclass(frozen=True)
class FixedSizeGaussian(Law):
    """A fixed share g sampled without replacement, replace-one (Zhu, Dong and Wang 2022).

    Normal noise of sigma times the distance between the two sums that replacement can bring about.
    """

    g: Number
    sigma: Number

    @property
    def atoms(self):
        return (((1 - ball(self.g)) * (1 - 2 * normal(-1 / (2 * ball(self.sigma)))), arb(0)),)

    @property
    def pieces(self):
        g, s = ball(self.g), self.sigma
        above = _normal_piece({0: 1 - g, 1: g}, {0: 1}, s, lo=0.5)
        below = _normal_piece({1: 1}, {1: 1 - g, 0: g}, s, hi=0.5)
        return (below, above)


# ------------------------------------------------------------------------------------------ contour


class Windowed:
    """A law cut to finite outputs, at one place c of the contour."""

    def __init__(self, law: Law, mass: float):
        self.law = law
        self.closed = law.tail(arb(1), arb(1)) is not None
        cuts = [] if self.closed else [piece.window(mass) for piece in law.pieces]
        self.pieces = [piece for piece, _ in cuts]
        self.cut = sum((w for _, w in cuts), arb(0))
        self._grid = [] if self.closed else [self._sample(piece) for piece in self.pieces]

    @staticmethod
    def _sample(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        with ctx.workprec(53):
            step = (arb(piece.hi) - piece.lo) / 600
            xs = [(piece.lo + (i + 0.5) * step).mid() for i in range(600)]
            return tuple(
                np.array([float(f(x)) for x in xs]) for f in (lambda x: piece.exponent(x, 0) + step.log(), piece.loss)
            )

    def log_moment(self, c: float) -> float:
        """log M(c), roughly."""
        if self.closed:
            return float(self.law.transform(acb(c)).real.log())
        atoms = [float(m.log() + c * loss) for m, loss in self.law.atoms]
        return float(np.logaddexp.reduce(np.concatenate([atoms, *(w + c * x for w, x in self._grid)])))

    def transform(self, z: acb) -> acb:
        return self.law.transform(z) if self.closed else Law.transform(self, z)

    @property
    def atoms(self):
        return self.law.atoms

    def line(self, c: arb, h: arb, count: int, tolerance: float) -> list[acb]:
        """M(c + ihk) for k = 0 ... count."""
        if self.closed:
            return [self.law.transform(acb(c, h * k)) for k in range(count + 1)]
        top = h * (count + 1)
        terms = [(m * (c * loss).exp(), loss) for m, loss in self.atoms]
        error, goal = arb(0), arb(tolerance) * arb(self.log_moment(float(c))).exp()
        for piece in self.pieces:
            weights, losses, slack = piece.rule(c, top, goal)
            terms += zip(weights, losses, strict=True)
            error += slack
        # exp(ihk l) = exp(ihj n l) exp(ihi l) with k = jn + i: the sums are the entries of one product of matrices.
        n = math.isqrt(count) + 1
        small = [acb(0, h * loss).exp() for _, loss in terms]
        steps = _powers(small, n)
        giant = _powers([x**n for x in small], n + 1)
        left = acb_mat(n + 1, len(terms), [w * x for row in giant for (w, _), x in zip(terms, row, strict=True)])
        right = acb_mat(len(terms), n, [row[i] for i in range(len(terms)) for row in steps])
        values = (left * right).entries()[: count + 1]
        return [x + acb(arb(0, error), arb(0, error)) for x in values]

    def stacked(self, c: arb) -> Callable[[arb], arb]:
        """The bound of |M(c + iv)| for all v >= u, as a function of u."""
        if self.closed:
            return lambda u: self.law.tail(c, u)
        with ctx.workprec(64):
            layers = [layer for piece in self.pieces for layer in piece.layers(c)]
        whole = self.transform(acb(c)).real
        return lambda u: whole - sum((m * (1 - ripple(half * u)) for m, half in layers), arb(0))


def _powers(xs: list[acb], count: int) -> list[list[acb]]:
    rows = [[acb(1)] * len(xs)]
    for _ in range(count - 1):
        rows.append([a * x for a, x in zip(rows[-1], xs, strict=True)])
    return rows


class Contour:
    """The values of f along one line, good for every eps near the one it was chosen for."""

    def __init__(self, parts: Parts, eps: float, delta: float = 1.0, shift: float = 1.0):
        """`delta` is a guess that sets the window; `shift` moves the line off its best place (tests use that)."""
        self.counts = [count for _, count in parts]
        for _ in range(6):  # a narrower window gives a smaller estimate, and that a better window
            mass = max(ACCURACY * delta / (8 * sum(self.counts)), 1e-300)
            self.laws = [Windowed(law, mass) for law, _ in parts]
            c, guess = self._saddle(eps)
            if guess > 0.5 * delta:
                break
            delta = guess
        self.delta_guess = min(guess, delta)
        self.c = arb(c * shift)
        self.far, self.h = self._step(eps)
        self.infinite = 1 - _product((1 - ball(law.infinite)) ** t for law, t in parts)
        self.cut = sum((w.cut * t for w, t in zip(self.laws, self.counts, strict=True)), arb(0))
        self._tails = [law.stacked(self.c) for law in self.laws]
        self.count = self._terms(eps)
        tolerance = ACCURACY / (1e6 * sum(self.counts))
        lines = [law.line(self.c, self.h, self.count, tolerance) for law in self.laws]
        self.values = [
            _product(x**t for x, t in zip(row, self.counts, strict=True)) for row in zip(*lines, strict=True)
        ]
        self.far_moment = self.moment(self.far)

    def log_moment(self, c: float) -> float:
        return sum(t * law.log_moment(c) for law, t in zip(self.laws, self.counts, strict=True))

    def moment(self, c: arb) -> arb:
        return _product(law.transform(acb(c)).real ** t for law, t in zip(self.laws, self.counts, strict=True))

    def _saddle(self, eps: float) -> tuple[float, float]:
        """The c where f(c) is least, and the saddle-point estimate of delta."""

        def size(t: float) -> float:
            return self.log_moment(math.exp(t)) - math.exp(t) * eps - t - math.log1p(math.exp(t))

        a, b = math.log(1e-2), math.log(1e6)
        for _ in range(60):
            x, y = a + 0.382 * (b - a), a + 0.618 * (b - a)
            a, b = (a, y) if size(x) < size(y) else (x, b)
        d = 1e-2
        curve = max((size(a + d) + size(a - d) - 2 * size(a)) / d**2, 1e-3)  # in log c
        return math.exp(a), math.exp(min(size(a) + a - 0.5 * math.log(2 * math.pi * curve), 0.0))

    def _step(self, eps: float) -> tuple[arb, arb]:
        """A c' > c for Chernoff's bound, and the step that holds both alias sums to their share."""
        c, need = float(self.c), math.log(1 / (ACCURACY * self.delta_guess)) + 1

        def most(far: float) -> float:
            kappa = far * math.log(far) - (1 + far) * math.log1p(far)
            return 2 * math.pi * (far - c) / max(need + kappa + self.log_moment(far) - far * eps, 1.0)

        far = max((c * (1 + 2 ** (k / 2)) for k in range(-8, 11)), key=most)
        return arb(far), arb(min(2 * math.pi * c / need, most(far)))

    def _remainder(self, eps: arb, count: int) -> arb:
        """What the terms after `count` can add up to."""
        most = _product(tail(self.h * count) ** t for tail, t in zip(self._tails, self.counts, strict=True))
        return (-self.c * eps).exp() * most / (arb.pi() * count * self.h)

    def _terms(self, eps: float) -> int:
        count = 8
        while not self._remainder(arb(eps), count) < ACCURACY * self.delta_guess:
            if count + count // 8 > MOST_TERMS:
                if self._remainder(arb(eps), count) < LEAST_ACCURACY * self.delta_guess:
                    break  # the enclosure is wider, and right
                raise ArithmeticError("the transform does not decay: too few continuous parts for the contour")
            count += count // 8
        return count

    def delta(self, eps: Number) -> arb:
        eps = ball(eps)
        total = arb(0)
        for k, value in enumerate(self.values):
            z = acb(self.c, self.h * k)
            term = (value * (-z * eps).exp() / (z * (1 + z))).real
            total += term if k else term / 2
        total *= self.h / arb.pi()
        near = 1 / ((2 * arb.pi() * self.c / self.h).exp() - 1)
        chernoff = self.far**self.far / (1 + self.far) ** (1 + self.far) * self.far_moment * (-self.far * eps).exp()
        far = chernoff / ((2 * arb.pi() * (self.far - self.c) / self.h).exp() - 1)
        rest = self._remainder(eps, self.count)
        # The two ends of the enclosure, then the ball that spans them.
        lower = (total - near - far - rest).max(arb(0))
        return self.infinite + lower.union(total + rest + self.cut)


def _product(factors) -> arb:
    return math.prod(factors, start=arb(1))


# ---------------------------------------------------------------------------------------- questions


def lattice(parts: Parts, eps: arb) -> arb:
    """delta of randomised responses alone: the atoms of the composition, summed."""
    sums: dict[Number, arb_poly] = {}
    counts: dict[Number, int] = {}
    for law, count in parts:
        sums[law.e0] = sums.get(law.e0, arb_poly([1])) * arb_poly(law.masses()) ** count
        counts[law.e0] = counts.get(law.e0, 0) + count
    atoms = [(arb(1), arb(0))]
    for e0, masses in sums.items():
        new = [(m, (j - counts[e0]) * ball(e0)) for j, m in enumerate(masses.coeffs())]
        atoms = [(a * m, x + loss) for a, x in atoms for m, loss in new]
    infinite = 1 - _product((1 - ball(law.infinite)) ** count for law, count in parts)
    return sum(((m * (1 - (eps - loss).exp())).max(arb(0)) for m, loss in atoms), infinite)


def profile(parts: Parts, near: Number, shift: float = 1.0) -> Callable[[Number], arb]:
    """The function eps -> enclosure of delta(eps), sharp for eps near `near` and right for every eps."""
    parts = [(law, count) for law, count in parts if count]
    if all(isinstance(law, Response) for law, _ in parts):
        return lambda eps: lattice(parts, ball(eps))
    if [count for _, count in parts] == [1]:
        return lambda eps: parts[0][0].hockey_stick(ball(eps))
    contour = Contour(parts, float(ball(near)), shift=shift)
    found = contour.delta(near)
    if found.rad() > 1e-12 * found.mid() > 0:  # the estimate of delta was far off: take the value instead
        contour = Contour(parts, float(ball(near)), delta=float(found.mid()), shift=shift)
    return contour.delta


def delta(parts: Parts, eps: Number) -> arb:
    """An enclosure of delta(eps) of the composition of the laws, each used `count` times.

    Raises:
        ArithmeticError: The composition has some continuous part, but too little of it for the contour.
    """
    with ctx.workprec(PRECISION):
        return profile(parts, eps)(eps)


def straddles(parts: Parts, eps_lower: Number, eps_upper: Number, target_delta: Number) -> bool:
    """Whether delta(eps_lower) >= target_delta >= delta(eps_upper) is proved."""
    with ctx.workprec(PRECISION):
        at = profile(parts, (ball(eps_lower) + ball(eps_upper)) / 2)
        return bool(at(eps_lower) >= ball(target_delta)) and bool(at(eps_upper) <= ball(target_delta))
