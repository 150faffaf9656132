"""Report: what was released, who is protected, what could be learned; in words and pictures."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discreet.errors import InvalidInput
from discreet.explain import facts as gathered
from discreet.explain import pages
from discreet.explain.hazards import Hazard
from discreet.explain.registry import registry
from discreet.explain.words import AUDIENCES
from discreet.release import Release

if TYPE_CHECKING:
    from discreet.ledger import Account, Entry


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """One report; every number and word in it comes from `facts`.

    Args:
        facts: Plain data (JSON): the releases with their tables, the account, the budget, the risks.
    """

    facts: dict[str, Any]

    def __repr__(self) -> str:
        return f"Report({self.facts['title']!r}, {len(self.facts['releases'])} releases)"

    @property
    def hazards(self) -> list[Hazard]:
        """What can undermine the protection: (layer, question, answer, how).

        `how` is "evidence" (in the releases or the ledger), "promise" (somebody's word) or "unknown".
        """
        return [Hazard(*row) for row in self.facts["hazards"]]

    def html(self, audience: str | None = None) -> str:
        """Return one self-contained page; for every audience, with tabs, or for one of them.

        Args:
            audience: "person", "policy" or "engineer"; None for all three in one file.

        Raises:
            InvalidInput: no such audience.
            MissingExtra: jinja2 or matplotlib is not installed.
        """
        return pages.html(copy.deepcopy(self.facts), None if audience is None else _audience(audience))

    def markdown(self, audience: str) -> str:
        """Return the report for one audience as Markdown.

        Raises:
            InvalidInput: no such audience.
            MissingExtra: jinja2 is not installed.
        """
        return pages.markdown(copy.deepcopy(self.facts), _audience(audience))

    def registry(self, tier: int = 2) -> dict[str, Any]:
        """Return the record for the registry of deployments, at transparency tier 1, 2 or 3.

        What only a person can know and the project does not say is marked as missing.
        """
        return registry(self.facts, tier=tier)


def explain(
    releases: Release | Sequence[Release],
    *,
    account: Account,
    entries: Sequence[Entry],
    project: Mapping[str, Any] | None = None,
) -> Report:
    """Explain what was released about one population.

    Reads releases and ledger entries alone: no private row, no clock, no network. The same
    arguments give the same report, byte by byte.

    Args:
        releases: One release, or several in the order to show them; none is fine too.
        account: The ledger's account of the population.
        entries: The account's entries, all of them.
        project: Prose that only people can give: name, description, curator, intended_use, region,
            sector, actors, tuning, justification; and fixed_beforehand=True as the promise that all
            parameters were fixed before the first answer was seen.

    Raises:
        InvalidInput: a release belongs to another population; or the account is renewed by period.
    """
    if account.renewals:
        raise InvalidInput(
            f"the budget of {account.population!r} is renewed by {account.unit.per}: what was released and spent stands "
            f"in the accounts of its {len(account.renewals)} periods.",
            state="Nothing was written.",
            remedy=f"Explain each by itself, for example {account.renewals[-1].account!r}; what a person in all of them "
            "keeps is said by discreet ledger show.",
        )
    shown = (releases,) if isinstance(releases, Release) else tuple(releases)
    for release in shown:
        owner = release.entry.get("population", account.population)
        if owner != account.population:
            raise InvalidInput(
                f"the release {release.name!r} was charged to {owner!r}, not to {account.population!r}.",
                state="Nothing was written.",
                remedy="Explain each population by itself.",
            )
    return Report(gathered.gather(shown, account, tuple(entries), dict(project or {})))


def _audience(name: str) -> str:
    if name not in AUDIENCES:
        raise InvalidInput(
            f"an audience is one of {', '.join(AUDIENCES)}, got {name!r}.",
            state="Nothing was written.",
            remedy='For example audience="policy".',
        )
    return name
