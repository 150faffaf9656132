"""Draft: the ledger as it would be once the file's accounts were open. Opening is for ever, so one plans before it."""

from __future__ import annotations

from collections.abc import Iterable

from discreet.ledger import Account, Entry, Ledger
from discreet.project.read import Population


class Draft(Ledger):
    """A project's ledger, in which an account that is not open yet has the terms of the file.

    It is good to plan with, and charges no more than the ledger does: an account that is not open is
    refused by `charge`, which looks into the ledger alone.

    Args:
        ledger: The project's.
        populations: Those whose accounts are not open.
    """

    def __init__(self, ledger: Ledger, populations: Iterable[Population]) -> None:
        super().__init__(ledger.url)
        self._drafted = {population.name: _account(population) for population in populations}

    @property
    def drafted(self) -> frozenset[str]:
        """The accounts that are not open."""
        return frozenset(self._drafted)

    def account(self, population: str) -> Account:
        """Return the state of an account, open or not."""
        return self._drafted[population] if population in self._drafted else super().account(population)

    def request(self, population: str, request: str) -> Entry | None:
        """Return the release of a request, else its charge, else None."""
        return None if population in self._drafted else super().request(population, request)


def _account(population: Population) -> Account:
    return Account(
        population=population.name,
        unit=population.unit,
        measure=population.measure,
        opened_epsilon=population.epsilon,
        epsilon=population.epsilon,
        delta=population.delta,
        delta_atoms=population.atoms,
        ceiling=population.ceiling,
        capacity=population.room(),
        opened="",
        public_key=population.owner or "",
    )
