"""How many rows of a person a relation can have at most, by its shape: a subquery per person has one for each of its keys.

A question over such a relation is asked within tighter bounds than the unit's, so with less noise. The
engine keeps to these as to any other bounds, so that no guarantee rests on what is worked out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from discreet.sql.statements.relations import Catalog, Filter, Join, PerPerson, Project, Relation, owners, private
from discreet.sql.statements.rows import Ref, Row
from discreet.units import PrivacyUnit


def tightened(unit: PrivacyUnit, relation: Relation, keys: Sequence[Row], catalog: Catalog) -> PrivacyUnit:
    """Return the unit with the bounds that a question of its people's rows by these keys needs at most."""
    told_apart = _told_apart(relation, catalog)
    if told_apart is None or not unit.enforced:
        return unit
    if not told_apart:  # one row of each person, so one group
        return replace(unit, max_rows=1, max_groups=1)
    return replace(unit, max_rows=1) if told_apart <= set(keys) else unit


def _told_apart(relation: Relation, catalog: Catalog) -> frozenset[Ref] | None:
    """Return the columns in which any two rows of one person differ; None if there are none that do."""
    if isinstance(relation, Filter):
        return _told_apart(relation.relation, catalog)
    if isinstance(relation, PerPerson):
        own = owners(relation, catalog) | owners(relation, catalog, 1)
        return frozenset(Ref(name, relation.alias) for name, _ in relation.keys) - own
    if isinstance(relation, Project):
        below = _told_apart(relation.relation, catalog)
        kept = {row: Ref(name, relation.alias) for name, row in relation.columns if isinstance(row, Ref)}
        return frozenset(kept[ref] for ref in below) if below is not None and below <= set(kept) else None
    if isinstance(relation, Join) and private(relation.left, catalog) and private(relation.right, catalog):
        sides = [_told_apart(side, catalog) for side in (relation.left, relation.right)]
        return None if None in sides else frozenset().union(*(side for side in sides if side is not None))
    return None
