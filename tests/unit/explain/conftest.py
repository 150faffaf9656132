"""Hand-made releases, accounts and entries: explain needs nothing else."""

import hashlib
import math
from fractions import Fraction
from types import SimpleNamespace

import pyarrow
import pytest

from discreet import accounting, events
from discreet.explain import explain
from discreet.profiles import Guarantee
from discreet.release import Release
from discreet.units import PrivacyUnit

UNIT = PrivacyUnit(column="id")
EVENT = events.DiscreteGaussian(Fraction(1), Fraction(200))


def sha(text):
    return hashlib.sha256(str(text).encode()).hexdigest()


def column(name, values, half):
    return {
        name: values,
        f"{name}_se": [half / 1.96] * len(values),
        f"{name}_low": [value - half for value in values],
        f"{name}_high": [value + half for value in values],
    }


def release(
    name="by_ward", *, number=1, table=None, accuracy=None, facts=None, event=EVENT, epsilon=0.4, unit=UNIT, **changed
):
    table = {"ward": ["A", "B"], **column("people", [1234.0, 56.0], 28.5)} if table is None else table
    given = {
        "name": name,
        "value": pyarrow.table(table),
        "event": event,
        "guarantee": Guarantee(unit, epsilon, 1e-7, "zCDP"),
        "accuracy": {"people": {"level": 0.95}} if accuracy is None else accuracy,
        "facts": {"title": "People by ward", "sentence": "How many people.", "sql": "SELECT 1"}
        if facts is None
        else facts,
        "provenance": {
            "made": f"2026-01-0{number}T10:00:00+00:00",
            "version": "1",
            "table": "visits",
            "discreet": "0.1.0",
        },
        "entry": {"population": "patients", "sequence": 2 * number, "hash": sha(number), "request": sha(name)[:32]},
    }
    return Release(**(given | changed))


def entry(sequence, kind, *, loss=0, delta=0, **changed):
    given = {
        "population": "patients",
        "sequence": sequence,
        "kind": kind,
        "when": f"2026-01-01T09:00:{sequence:02d}Z",
        "who": "anna",
        "purpose": None,
        "request": None,
        "event": None,
        "cost": accounting.Cost(loss, delta),
        "digest": None,
        "hash": sha(("entry", sequence)),
        "previous": sha(("entry", sequence - 1)),
        "analyst": None,
    }
    return SimpleNamespace(**(given | changed))


def charged(*releases):
    """Return the entries that a ledger would hold for these releases."""
    rows = [entry(1, "open", who="owner", purpose="open")]
    for item in releases:
        sequence, request = item.entry["sequence"], item.entry["request"]
        cost = accounting.cost(item.event, accounting.Measure.parse("zcdp"))
        rows.append(entry(sequence, "charge", loss=cost.loss, delta=cost.delta, event=item.event, request=request))
        rows.append(entry(sequence + 1, "release", request=request, digest=sha((request, "record"))))
    return rows


def account(**changed):
    given = {
        "population": "patients",
        "unit": UNIT,
        "measure": accounting.Measure.parse("zcdp"),
        "epsilon": 2.0,
        "opened_epsilon": changed.get("epsilon", 2.0),
        "ceiling": None,
        "delta": 1e-6,
        "delta_atoms": 5e-7,
        "capacity": accounting.Cost(2**37, 2**40),
        "opened": "2026-01-01T09:00:01Z",
        "raises": (),
        "renewals": (),
        "shares": {},
        "head": sha("head"),
    }
    return SimpleNamespace(**(given | changed))


@pytest.fixture
def make():
    """Builders, and `make.report(releases, ...)` that fills in what a test does not care about."""

    def report(releases=None, *, entries=None, project=None, **changed):
        releases = [release()] if releases is None else releases
        entries = charged(*releases) if entries is None else entries
        return explain(releases, account=account(**changed), entries=entries, project=project)

    return SimpleNamespace(
        release=release,
        entry=entry,
        charged=charged,
        account=account,
        column=column,
        report=report,
        sha=sha,
        inf=math.inf,
    )
