"""Canaries: records made for an audit, each put into the training data or left out by a fair coin.

The coins come from the operating system and are fixed, by a hash that can be shown before the training, until the
scores are in. They are the whole of the design: whoever trains, in whatever framework, asks `Flip.included` which
canaries go in, scores all of them by the model, and hands the scores to `Flip.audit`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from discreet.audit.claims import Claim, check_claim
from discreet.audit.membership.roc import MemberRoc, Roc, curve
from discreet.audit.membership.signals import finite
from discreet.audit.statistics import betting, one_run
from discreet.audit.statistics.bound import check_alpha, check_delta
from discreet.audit.statistics.coins import check_coins
from discreet.audit.statistics.rates import check_whole
from discreet.audit.verdict import Finding
from discreet.errors import InvalidInput
from discreet.events import Relation
from discreet.mechanisms import Rng
from discreet.profiles import show_delta

VERSION = 1
SALT = 32  # bytes: the commitment to a handful of coins must not be guessed

OURS = "drawn by discreet from the operating system's randomness"
THEIRS = "given from outside"


class Estimator(str, Enum):
    """How the scores of one run become a bound.

    betting: bets on canary after canary from the highest score down; tries every threshold and pays for none.
    guesses: guesses that the highest scores were included, for several numbers of guesses; pays for their number.
    curve: the same guesses against the claim's whole trade-off curve: the strongest for Gaussian noise.
    """

    BETTING = "betting"
    GUESSES = "guesses"
    CURVE = "curve"


_WHERE = {  # what "left out" has to mean under the claim
    Relation.REPLACE_ONE: (
        "The claim is about replacing a record: this stands only if another record stood in for each that was left out.",
    ),
    Relation.ZERO_OUT: (
        "The claim is about blanking a record: this stands only if a blank stood in for each that was left out.",
    ),
}
_BOUNDS = {Estimator.BETTING: betting.epsilon_bound, Estimator.GUESSES: one_run.epsilon_bound}


@dataclass(frozen=True, slots=True, eq=False)
class Flip:
    """Which canaries go into the training data: one fair coin for each. Made by `flip`, or by `Flip.given`.

    Args:
        included: Whether each canary is to be trained on.
        salt: Random bytes that keep the commitment from being guessed.
        source: Where the coins came from, in words.
        real: Whether they decide over real records; then every curve of their scores is internal.

    Assumes: nobody who chooses the scores' formula has seen the coins, and the trainer uses them for nothing but
        including and leaving out.
    """

    included: NDArray[np.bool_]
    salt: bytes
    source: str
    real: bool = False

    @classmethod
    def given(cls, included: ArrayLike) -> Flip:
        """Return coins that somebody else threw, in the order of the canaries, if they can be fair ones.

        Raises:
            InvalidInput: they are not all true or false, one side is missing, or there are more or fewer of a side,
                or more or fewer that equal the one before, than fair coins show once in a million times.

        Not protected: a test sees what is grossly wrong, and no more. Coins of 52 %, or a list of which exactly
            half was drawn, pass it, and the bounds of an audit are not proved for them.
        """
        return cls(_frozen(check_coins(included)), Rng().bytes(SALT), THEIRS)

    @property
    def commitment(self) -> str:
        """The hash that fixes the coins without showing them: publish or log it before the training."""
        return _commitment(self.included, self.salt)

    def audit(
        self,
        scores: ArrayLike,
        *,
        claim: Claim,
        delta: float | None = None,
        alpha: float = 0.05,
        estimator: Estimator = Estimator.BETTING,
    ) -> Finding:
        """Hold the canaries' scores, all of one training, against a claim.

        Args:
            scores: One for each canary in the order of the coins, higher says "was included"; computed from what the
                training gave out and the canary, never from its coin.
            claim: What is to be broken.
            delta: The δ at which ε is bounded; by default 0, which the claim must then promise an ε at.
            alpha: The chance of a false alarm.
            estimator: How scores become a bound.

        Raises:
            InvalidInput: scores and coins do not fit together, a score is not finite, all scores or all coins are
                the same, the claim promises no ε at this δ, or this δ leaves the estimator nothing to bet with.

        Guarantee: if the claim holds when one canary is included or left out, it is refuted with a chance of at most
            alpha. Under replace_one another record has to stand in for one that is left out, under zero_out a blank.
        Evidence: proven, docs/proofs/betting.md and docs/proofs/one_run.md.
        Assumes: fair coins, independent of each other and of all else; scores that do not depend on them but
            through the training's output.
        Not protected: whatever these canaries do not see. A finding that refutes nothing proves nothing.
        """
        check_claim(claim)
        found, kind = self.checked(scores), _estimator(estimator)
        at = self._delta(claim, delta, alpha, kind)
        if kind is Estimator.CURVE:
            return self._curve(found, claim, alpha)
        bound = _BOUNDS[kind](found, self.included, delta=at, alpha=alpha)
        return Finding.judge(
            claim, [bound], estimator=bound.estimator, alpha=alpha, trials=bound.trials, notes=self._notes(claim)
        )

    def _delta(self, claim: Claim, delta: float | None, alpha: float, estimator: Estimator) -> float:
        """Return the δ at which to bound ε.

        Raises:
            InvalidInput: the claim promises nothing there, or betting has nothing left.
        """
        at = check_delta(0.0 if delta is None else delta)
        if estimator is Estimator.CURVE:
            return at
        if not math.isfinite(claim.epsilon(at)):
            raise InvalidInput(
                f"{claim} promises no ε at δ = {show_delta(at)}, so that no bound there can refute it.",
                remedy="Name the δ at which it promises one, or test its whole curve (estimator 'curve').",
            )
        spent = self.included.size * at / 2
        if estimator is Estimator.BETTING and spent >= check_alpha(alpha):
            raise InvalidInput(
                f"betting on {self.included.size} canaries at δ = {show_delta(at)} costs {spent:.3g} of the "
                f"{alpha:g} that may go wrong, and leaves nothing.",
                remedy="Choose a smaller δ, fewer canaries, or the estimator 'guesses'.",
            )
        return at

    def _curve(self, scores: NDArray[np.float64], claim: Claim, alpha: float) -> Finding:
        """Test the claim's whole curve, and bound μ, each at half of alpha."""
        each = check_alpha(alpha) / 2
        test = one_run.curve_test(scores, self.included, claim.profile, alpha=each)
        bound = one_run.mu_bound(scores, self.included, alpha=each)
        return Finding.judge(
            claim,
            [bound],
            curve=test,
            estimator=test.estimator,
            alpha=alpha,
            trials=test.trials,
            notes=self._notes(claim),
        )

    def _notes(self, claim: Claim) -> list[str]:
        kind, inside = "records" if self.real else "canaries", int(self.included.sum())
        fixed = f"; commitment {self.commitment}" if self.source == OURS else ""
        thrown = f"{inside:,} of {self.included.size:,} {kind} included by coins {self.source}{fixed}"
        return [thrown, *_WHERE.get(claim.relation, ())]

    def roc(self, scores: ArrayLike, *, confidence: float = 0.95) -> Roc:
        """Return the curve of the canaries' scores; internal if they are real records."""
        found = self.checked(scores)
        kind = MemberRoc if self.real else Roc
        return curve(kind, found[self.included], found[~self.included], confidence=confidence)

    def checked(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the scores as an array, one for each canary.

        Raises:
            InvalidInput: there are more or fewer, one is not finite, or all canaries were on one side.
        """
        found = finite("scores", scores, 1)
        if found.size != self.included.size:
            raise InvalidInput(
                f"{self.included.size} coins need as many scores, got {found.size}.",
                remedy="Score every canary, those that were left out too, in the order of the coins.",
            )
        if self.included.all() or not self.included.any():
            raise InvalidInput(
                f"all {found.size} canaries are on one side.", remedy="Throw coins for more canaries: audit.flip."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return coins, salt and commitment as plain data. Keep it from whoever makes the scores."""
        return {
            "v": VERSION,
            "commitment": self.commitment,
            "source": self.source,
            "real": self.real,
            "salt": self.salt.hex(),
            "included": "".join("1" if coin else "0" for coin in self.included.tolist()),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Flip:
        """Read coins that `to_dict` wrote.

        Raises:
            InvalidInput: they are not whole, or not those that were committed to.
        """
        try:
            version, text, commitment = data["v"], data["included"], data["commitment"]
            salt, source, real = bytes.fromhex(data["salt"]), str(data["source"]), bool(data["real"])
            coins = np.array([{"0": False, "1": True}[mark] for mark in text], dtype=np.bool_)
        except (KeyError, TypeError, ValueError):
            raise InvalidInput("these are no recorded coins.", remedy="Read what Flip.write has written.") from None
        if version != VERSION:
            raise InvalidInput(f"coins of version {version!r} are not known.", remedy="Upgrade discreet.")
        if not isinstance(commitment, str) or not hmac.compare_digest(_commitment(coins, salt), commitment):
            raise InvalidInput(
                f"the {coins.size} coins are not those of their commitment.",
                remedy="Use the file as it was written before the training.",
            )
        return cls(_frozen(coins), salt, source, real)

    def write(self, path: Path) -> None:
        """Write the coins into a new file that only its owner can read.

        Raises:
            InvalidInput: the file is there already, or cannot be written.
        """
        write_private(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Flip:
        """Read coins that `write` wrote.

        Raises:
            InvalidInput: the file cannot be read, or does not hold the coins that were committed to.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_bytes()))
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.", remedy="Name another file.") from None
        except (ValueError, RecursionError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{path} is no valid JSON.", remedy="Name a file that Flip.write wrote.") from None


def flip(count: int) -> Flip:
    """Throw one fair coin for each of `count` canaries.

    Raises:
        InvalidInput: count is not a whole number of at least 2.
    """
    check_whole("count", count, least=2)
    rng = Rng()
    bits = np.unpackbits(np.frombuffer(rng.bytes((count + 7) // 8), dtype=np.uint8))[:count]
    return Flip(_frozen(bits.astype(np.bool_)), rng.bytes(SALT), OURS)


def directions(count: int, dimension: int) -> NDArray[np.float64]:
    """Return `count` gradients of norm 1 and random direction: canaries for whoever sees every step.

    The canary enters a batch's sum in place of a record's clipped gradient, times the clipping norm. In far more
    dimensions than there are canaries they hardly disturb each other.
    """
    check_whole("count", count, least=1)
    check_whole("dimension", dimension, least=1)
    uniform = (Rng().words(2 * count * dimension) >> np.uint64(11)).astype(np.float64).reshape(2, count, dimension)
    radius = np.sqrt(-2 * np.log((uniform[0] + 0.5) * 2.0**-53))
    normal = radius * np.cos(2 * np.pi * uniform[1] * 2.0**-53)  # Box and Muller: no noise, only directions
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    found: NDArray[np.float64] = normal / np.where(length > 0, length, 1.0)
    return found


def step_scores(sums: Iterable[ArrayLike], canaries: ArrayLike) -> NDArray[np.float64]:
    """Return each canary's score from the noisy sums of all steps: Σ over steps of ⟨noisy sum, canary⟩.

    Args:
        sums: The noisy sum of gradients of each step, in any order; they are read one by one.
        canaries: A row for each canary: its gradient, or any vector that points along it.

    Raises:
        InvalidInput: a number is not finite, there is no step, or the dimensions differ.
    """
    rows = np.asarray(canaries, dtype=np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise InvalidInput(
            f"canaries must be rows of finite numbers, got an array of shape {rows.shape}.",
            remedy="Give one row of as many numbers as the model has parameters for each canary.",
        )
    total, steps = np.zeros(rows.shape[1]), 0
    for step in sums:
        noisy = np.asarray(step, dtype=np.float64)
        if noisy.shape != total.shape or not np.isfinite(noisy).all():
            raise InvalidInput(
                f"step {steps} must have {total.size} finite numbers, got an array of shape {noisy.shape}.",
                remedy="Give the noisy sum of each step, flattened like the canaries.",
            )
        total, steps = total + noisy, steps + 1
    if not steps:
        raise InvalidInput("there is no step to score by.", remedy="Record the noisy sum of every step.")
    found: NDArray[np.float64] = rows @ total
    return found


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read.

    Raises:
        InvalidInput: the file is there already, or cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidInput(f"{path} exists already.", remedy="Name a new file: what was recorded stays.") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", remedy="Choose another folder.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _estimator(name: object) -> Estimator:
    try:
        return Estimator(name)
    except ValueError:
        known = ", ".join(item.value for item in Estimator)
        raise InvalidInput(f"an estimator is one of {known}, got {name!r}.", remedy="Name one of them.") from None


def _frozen(coins: NDArray[np.bool_]) -> NDArray[np.bool_]:
    coins = coins.copy()
    coins.flags.writeable = False
    return coins


def _commitment(coins: NDArray[np.bool_], salt: bytes) -> str:
    text = b"discreet canaries 1\n%d\n" % coins.size
    return hashlib.sha256(text + salt + np.packbits(coins).tobytes()).hexdigest()
