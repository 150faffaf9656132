"""discreet: differential privacy from end to end.

Data enters through a `Dataset`; a value leaves only inside a `Release`; between them the `Ledger`
is charged with an `Event` before the data is read. `import discreet as dp` loads the nouns; the
verticals (`dp.sql`, `dp.explain`, `dp.project`, …) load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discreet import accounting, audit, errors, events, explain, ledger, mechanisms, profiles, project, sql, train
    from discreet.dataset import Dataset
    from discreet.domains import Column, Domain
    from discreet.errors import (
        BudgetExceeded,
        DataFailure,
        DiscreetError,
        InvalidInput,
        LedgerDamaged,
        LedgerUnavailable,
        MissingExtra,
        UnsupportedEvent,
        UnsupportedQuery,
    )
    from discreet.events import Relation
    from discreet.ledger import Ledger, OwnerKey
    from discreet.profiles import Guarantee, PrivacyProfile
    from discreet.project import Project
    from discreet.release import Release
    from discreet.tables import Table
    from discreet.units import PrivacyUnit

_HOMES = {
    "BudgetExceeded": "errors",
    "Column": "domains",
    "DataFailure": "errors",
    "Dataset": "dataset",
    "DiscreetError": "errors",
    "Domain": "domains",
    "Guarantee": "profiles",
    "InvalidInput": "errors",
    "Ledger": "ledger",
    "LedgerDamaged": "errors",
    "LedgerUnavailable": "errors",
    "MissingExtra": "errors",
    "OwnerKey": "ledger",
    "PrivacyProfile": "profiles",
    "PrivacyUnit": "units",
    "Project": "project",
    "Relation": "events",
    "Release": "release",
    "Table": "tables",
    "UnsupportedEvent": "errors",
    "UnsupportedQuery": "errors",
}

__all__ = [
    "BudgetExceeded",
    "Column",
    "DataFailure",
    "Dataset",
    "DiscreetError",
    "Domain",
    "Guarantee",
    "InvalidInput",
    "Ledger",
    "LedgerDamaged",
    "LedgerUnavailable",
    "MissingExtra",
    "OwnerKey",
    "PrivacyProfile",
    "PrivacyUnit",
    "Project",
    "Relation",
    "Release",
    "Table",
    "UnsupportedEvent",
    "UnsupportedQuery",
    "accounting",
    "audit",
    "errors",
    "events",
    "explain",
    "ledger",
    "mechanisms",
    "profiles",
    "project",
    "sql",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"discreet.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"discreet.{name}")
    raise AttributeError(f"module 'discreet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
