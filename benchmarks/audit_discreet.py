"""All of discreet under its own mechanism tester: every mechanism and every SQL aggregate against what it is charged as.

Each mechanism of `discreet.mechanisms.__all__` and all that `discreet.sql` can be asked has settings here, or the
script fails. One chance of a false alarm, alpha, covers the whole run. Exit code 4: something was refuted.

    python benchmarks/audit_discreet.py           # three to ten minutes, by how busy the machine is
    python benchmarks/audit_discreet.py --short   # one line a mechanism
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib.metadata import version
from statistics import median

from audited import Row, tried
from audited_mechanisms import NO_MECHANISM, mechanism_cases
from audited_sql import everything, sql_cases

from discreet import mechanisms

ALPHA = 1e-3
LOW = 0.5  # a share of the claim below which a setting is worth a look


def wanted(public=tuple(mechanisms.__all__)):
    """Return the names of all that has to have settings."""
    return {f"mechanisms.{name}" for name in public if name not in NO_MECHANISM} | everything()


def missing(covered, public=tuple(mechanisms.__all__)):
    """Return what no setting tries, given the names of what some setting tries."""
    return sorted(wanted(public) - set(covered))


def show(case, rows, seconds):
    print(f"{case.name}: {case.setting}; {seconds:.1f} s")
    for row in rows:
        print(f"    {row.pair:56}{row.what:>4}{row.own:9.3f}{row.claimed:9.3f}{row.certified:10.3f}"
              f"{row.tightness:7.0%}  {verdict(row)}")  # fmt: skip
    sys.stdout.flush()


def verdict(row: Row):
    if row.refuted:
        return "REFUTED"
    return "MORE THAN ITS OWN" if row.beyond else "consistent"


def summary(found):
    """Print a line for each mechanism: of each setting, the pair that says most of the claim, and most of its own."""
    print(f"\nleast, median and most of the settings' best pairs:\n{'mechanism':28}{'settings':>9}{'cells':>6}"
          f"{'draws':>11}{'of the claim':>18}{'of its own':>18}  refuted")  # fmt: skip
    for name in dict.fromkeys(case.name for case, _, _ in found):
        ours = [(audit, rows) for case, audit, rows in found if case.name == name]
        cells = [row for _, rows in ours for row in rows]
        claimed = spread([max(row.tightness for row in rows) for _, rows in ours])
        own = spread([max(row.certified / row.own for row in rows if row.own) for _, rows in ours])
        draws = sum(audit.draws for audit, _ in ours)
        bad = sum(row.refuted or row.beyond for row in cells)
        print(f"{name:28}{len(ours):>9}{len(cells):>6}{draws:>11,}{claimed:>18}{own:>18}  {bad}")


def spread(shares):
    return f"{min(shares):.0%}  {median(shares):.0%}  {max(shares):.0%}"


def low(found):
    """Print the settings of which little was certified, beside what their best pair shows by the exact law."""
    for case, _, rows in found:
        best = max(rows, key=lambda row: row.tightness)
        if best.tightness < LOW:
            reach = max(row.own for row in rows) / best.claimed
            print(
                f"  {best.tightness:.0%} certified, {reach:.0%} by the exact law of its pairs: {case.name}: {case.setting}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one line a mechanism, without the pairs")
    short = parser.parse_args().short
    names = ("discreet", "duckdb", "numpy", "scipy", "scikit-learn")
    print(", ".join(f"{name} {version(name)}" for name in names) + f", Python {platform.python_version()}, "
          f"{platform.machine()}, {os.cpu_count()} cores")  # fmt: skip
    start = time.perf_counter(), time.process_time()
    cases = [*mechanism_cases(), *sql_cases()]
    left = missing(name for case in cases for name in case.covers)
    if left:
        sys.exit(f"nothing here tries {', '.join(left)}: add settings.")
    print(
        f"{sum(len(case.trials) for case in cases)} cells, one level for all: alpha = {ALPHA:g} over {len(cases)} calls\n"
    )
    print(f"{'':60}{'':4}{'its own':>9}{'claimed':>9}{'certified':>10}{'share':>7}")
    found = []
    for case in cases:
        since = time.perf_counter()
        audit, rows = tried(case, ALPHA / len(cases))
        found.append((case, audit, rows))
        if not short:
            show(case, rows, time.perf_counter() - since)
        if audit.refuted:
            print(audit)
    summary(found)
    rows = [row for _, _, one in found for row in one]
    refuted, beyond = sum(row.refuted for row in rows), sum(row.beyond for row in rows)
    same = sum(row.own == 0 for row in rows)
    weak = sum(audit.verdict == "underpowered" for _, audit, _ in found)
    print(f"\n{len(rows)} cells, {refuted} refuted, {beyond} more than the pair's own, {weak} settings underpowered; "
          f"in {same} cells the two answers have one law; "
          f"{sum(audit.draws for _, audit, _ in found):,} draws; "
          f"{time.perf_counter() - start[0]:.0f} s, {time.process_time() - start[1]:.0f} s of processor")  # fmt: skip
    print(f"less than {LOW:.0%} of the claim certified at the best pair:")
    low(found)
    sys.exit(4 if refuted or beyond else 0)


if __name__ == "__main__":
    main()
