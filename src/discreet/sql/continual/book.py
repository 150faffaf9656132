"""What the ledger knows of a series: that it was charged, and which steps were drawn.

A step has one entry of its own, at no cost, that it was drawn and saved. It is made before the answer is shown, and
the ledger holds each request once: so of several draws one at most can ever be shown, and a copy of what was kept
that does not hold that one is found out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from discreet import events
from discreet.dataset import Dataset
from discreet.errors import InvalidInput
from discreet.ledger import Entry

NOTHING = events.Composed(())  # what a step costs beyond the series, which was charged when it was opened
UNTOUCHED = "No row was read, and nothing was drawn. The releases of the series stand."


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """The ledger's entries of one series.

    Args:
        dataset: The dataset of the series.
        name: The name of the series.
        request: The id that it is charged under.
        path: Where it is kept, for messages.
        steps: How many steps it has.
    """

    dataset: Dataset
    name: str
    request: str
    path: Path
    steps: int

    def entry(self, request: str) -> Entry | None:
        """Return what the ledger holds of a request: its release, else its charge, else nothing."""
        return self.dataset.ledger.request(self.dataset.population, request)

    def show(self, step: int, token: str) -> None:
        """Enter that a draw of a step was saved, before it is shown: of all its draws, only the first.

        Raises:
            InvalidInput: another draw was entered.
        """
        request, purpose = self._mark(step), self._purpose(step, token)
        drawn = self.entry(request)
        if drawn is None:
            drawn, _ = self.dataset.ledger.charge(
                self.dataset.population, NOTHING, purpose=purpose, request=request, analyst=self.dataset.analyst
            )
        if drawn.purpose != purpose:
            raise self._another(step)

    def check(self, step: int, token: str, *, begun: bool) -> None:
        """Refuse to go on from a saved step that is not the one that was shown, or that this ledger never saw begin.

        Args:
            step: The last step that was kept.
            token: Of its draw.
            begun: Whether the ledger knows that the step was begun.

        Raises:
            InvalidInput: see above.
        """
        drawn = self.entry(self._mark(step))
        if drawn is None and not begun:
            raise self.older(step)
        if drawn is not None and drawn.purpose != self._purpose(step, token):
            raise self._another(step)

    def refuse_after(self, steps: int) -> None:
        """Refuse to go on from so many steps if the ledger knows that more were drawn.

        Raises:
            InvalidInput: it does.
        """
        last = steps
        while last < self.steps and self.entry(self._mark(last + 1)) is not None:
            last += 1
        if last > steps:
            raise InvalidInput(
                f"{self.path} holds {steps} steps of the series {self.name!r}, and the ledger knows that {last} were drawn.",
                state=UNTOUCHED,
                remedy="Restore the newest copy of that file. Without it the series cannot go on: "
                "open another under a new name, which is a new charge.",
            )

    def older(self, steps: int) -> InvalidInput:
        """Return the refusal of a ledger that knows less than what was kept."""
        return InvalidInput(
            f"{self.path} holds {steps} steps of the series {self.name!r}, and this ledger does not know all of them.",
            state=UNTOUCHED,
            remedy="The ledger may be an old copy, or another one: find the one that the series was charged to.",
        )

    def _another(self, step: int) -> InvalidInput:
        return InvalidInput(
            f"step {step} of the series {self.name!r} as kept in {self.path} is not the one that was shown: "
            "another copy of the series went on.",
            state=UNTOUCHED,
            remedy="Go on with that copy, or open another series under a new name, which is a new charge.",
        )

    def _mark(self, step: int) -> str:
        return hashlib.sha256(f"{self.request} drawn {step}".encode()).hexdigest()[:32]

    def _purpose(self, step: int, token: str) -> str:
        return f"step {step} of the series {self.name!r} was drawn and saved: {token}"
