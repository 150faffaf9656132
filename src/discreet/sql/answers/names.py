"""Names of the tables that an engine keeps while it answers: nobody can guess them, and each plan has its own.

On a connection that the caller lends they stand beside the caller's tables, and beside those of other plans.
They name no question: no request depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from discreet.mechanisms.rng import Rng

MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one plan.

    Args:
        mark: What tells them from all others.
    """

    mark: str

    @classmethod
    def fresh(cls) -> Names:
        """Return names that nobody has used: of the operating system's bits, whatever draws a plan's noise."""
        return cls(Rng().bytes(MARK_BYTES).hex())

    @property
    def kept(self) -> str:
        """The kept rows."""
        return f"discreet_kept_{self.mark}"

    @property
    def offered(self) -> str:
        """People's groups."""
        return f"discreet_offered_{self.mark}"

    @property
    def open(self) -> str:
        """The groups that are still open in a round of the selection."""
        return f"discreet_open_{self.mark}"

    @property
    def found(self) -> str:
        """The groups that were found."""
        return f"discreet_found_{self.mark}"

    @property
    def chosen(self) -> str:
        """The kept rows of the groups found."""
        return f"discreet_chosen_{self.mark}"

    @property
    def blocked(self) -> str:
        """The people who may not take part in a step of a series."""
        return f"discreet_blocked_{self.mark}"
