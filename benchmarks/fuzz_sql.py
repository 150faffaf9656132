"""Statements by the ten thousand: each is answered within its plan or refused, and nothing private is seen on the way.

Statements of our own grammar and of sqlglot's, mutations of their words and of their trees, hostile texts; over
hostile worlds. What must not be: any error but a refusal; a refusal that was charged; a look at rows before the
charge; a run that fails; columns that were not announced; a secret in a message, a log, a release or the ledger; two
questions that are written alike.

    python benchmarks/fuzz_sql.py                     # 50,000 mutations: about an hour
    python benchmarks/fuzz_sql.py --mutations 500
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import random  # noqa: TID251 - no noise comes from here
import resource
import secrets
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

import duckdb
import sqlglot
from fuzz_mutations import hostile, in_tree, in_words
from fuzz_site import Failure, Site, shown
from fuzz_speaker import Speaker
from fuzz_trade import TRADE
from fuzz_trees import PLACES, classes, placed
from fuzz_worlds import SECRETS, worlds

SLOW = 60.0  # seconds of processor that a statement may take


class Quiet:
    """Notes all that is printed or logged while statements are asked: there must be nothing."""

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self.file, self.kept = tempfile.TemporaryFile(), [os.dup(1), os.dup(2)]
        for number in (1, 2):
            os.dup2(self.file.fileno(), number)
        self.streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = os.fdopen(os.dup(self.file.fileno()), "w", buffering=1)
        self.size, self.lines = 0, []
        self.handler = logging.Handler()
        self.handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]
        self.before = logging.root.level
        logging.root.addHandler(self.handler)
        logging.root.setLevel(1)
        self.caught = warnings.catch_warnings(record=True)
        self.warned = self.caught.__enter__()
        warnings.simplefilter("always")
        return self

    def __exit__(self, *_: object) -> None:
        self.caught.__exit__(None, None, None)
        logging.root.removeHandler(self.handler)
        logging.root.setLevel(self.before)
        sys.stdout.close()
        sys.stdout, sys.stderr = self.streams
        for number, kept in zip((1, 2), self.kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)
        self.file.close()

    def check(self) -> None:
        """Raise if anything was said since the last time."""
        said = [*self.lines, *(str(one.message) for one in self.warned or ())]
        size = os.fstat(self.file.fileno()).st_size
        if size > self.size:
            self.file.seek(self.size)
            said.append(self.file.read().decode(errors="replace"))
        self.size = size
        self.lines.clear()
        (self.warned or []).clear()
        if said:
            shown(said, "in a log")
            raise Failure(f"something was printed: {said[0][:300]}")


@dataclass
class Tally:
    """What became of the statements."""

    report: Callable[[str], Any]
    last: Any = None
    became: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def note(self, site: Site, quiet: Quiet, what: str, text: Any, ask: Callable[[], str]) -> bool:
        """Ask, and note what became of it. Returns whether it was answered."""
        start = time.process_time()
        if self.last is not None:  # what was asked, should the process die of it
            self.last.seek(0)
            self.last.write(f"{site.world.name}: {text!r}\n".encode(errors="replace"))
            self.last.truncate()
        try:
            found = ask()
            quiet.check()
        except Failure as failure:
            found = "FAILED"
            self.fail(site.world.name, str(failure), text)
        spent = time.process_time() - start
        if spent > SLOW:
            self.fail(site.world.name, f"took {spent:.0f} seconds", text)
        self.slowest = sorted([*self.slowest, (spent, repr(text)[:160])], reverse=True)[:5]
        self.became[what, found] += 1
        return found in ("answered", "known")

    def fail(self, world: str, why: str, text: Any) -> None:
        """Note a failure."""
        self.failures.append((world, why, repr(text)))
        self.report(f"FAILED in {world}: {why}\n    {text!r}")


def arguments(dice) -> dict[str, Any]:
    """Return arguments beside the statement, some of which are nonsense."""
    odd = (None, 0, -1, 0.5, 1, 1e-9, 1e9, float("nan"), float("inf"), True, "1", Decimal("0.5"), 10**400, [], {})
    found: dict[str, Any] = {}
    if dice.random() < 0.5:
        found["guess"] = dice.choice(
            (
                {"o0": 10.0},
                {"o0": 0},
                {"o0": float("nan")},
                {"COUNT(*)": 300, "o0": -5},
                {"nobody": 1},
                {},
                {"o0": 1e300},
            )
        )
    if dice.random() < 0.4:
        found["weights"] = dice.choice(
            ({"o0": 1.0}, {"o0": 0}, {"o0": -1}, {"GROUP BY": 2.0}, {"o0": True}, {"o0": 1e30, "o1": 1e-30}, {})
        )
    if dice.random() < 0.4:
        found["consistent"] = dice.choice(
            (
                ["totals"],
                ["non_negative"],
                ["whole", "non_negative"],
                ["totals", "whole", "non_negative"],
                "totals",
                ["x"],
                [],
            )
        )
    if dice.random() < 0.2:
        found |= {
            "epsilon": None,
            "target_error": dice.choice((50.0, 0.0, {"o0": 9.0}, {"x": 1}, float("inf"), 1e-9, 1e6)),
        }
    elif dice.random() < 0.2:
        found["epsilon"] = dice.choice((1e-9, 1e-3, 0.5, 100.0))
    return found if dice.random() < 0.9 else found | {dice.choice(("epsilon", "delta")): dice.choice(odd)}


class Fuzz:
    """One run.

    Args:
        seed: Of the statements; the noise is fresh in any case.
        mutations: How many.
        variants: Sets of sources of each world.
        share: Of the statements that go through the ledger.
        report: Prints a line.
        names: Of the worlds; all by default.
    """

    def __init__(
        self,
        seed: int,
        mutations: int,
        variants: int,
        share: float,
        report: Callable[[str], Any],
        names: tuple[str, ...] = (),
    ) -> None:
        self.dice, self.mutations, self.variants, self.share = random.Random(seed), mutations, variants, share
        self.names = names
        self.tally = Tally(report)

    def run(self, quiet: Quiet) -> None:
        """Go through all worlds."""
        every = [world for world in worlds() if not self.names or world.name in self.names]
        for world in every:
            site = Site(self.dice, world, self.variants)
            self._world(site, quiet, self.mutations // len(every))
            try:
                site.scan()
            except Failure as failure:
                self.tally.fail(world.name, str(failure), "all that was written")
            site.close()

    def _ask(self, site: Site, quiet: Quiet, what: str, text: Any, **more: Any) -> bool:
        paid = self.dice.random() < self.share and "epsilon" not in more
        about = (text, more) if more else text
        return self.tally.note(site, quiet, what, about, lambda: site.ask(text, paid=paid, **more))

    def _world(self, site: Site, quiet: Quiet, mutations: int) -> None:
        seeds = self._seeds(site, quiet, max(8, mutations // 40))
        texts = hostile(site.world)
        for text in (
            (*texts, None, 7, b"SELECT 1", ["SELECT"])
            if mutations > 1000
            else self.dice.sample(texts, min(len(texts), 6))
        ):
            self._ask(site, quiet, "hostile", text)
        kinds = classes() if mutations > 1000 else self.dice.sample(classes(), 30)
        for kind in kinds:
            for place in self.dice.sample(PLACES, 3 if mutations > 1000 else 1):
                text = placed(self.dice, kind, place, site.world)
                if text is not None:
                    self._ask(site, quiet, "of sqlglot", text)
        for _ in range(mutations // 20):
            self.tally.note(site, quiet, "beside", seeds, lambda: site.beside(seeds))
            self.tally.note(site, quiet, "elsewhere", seeds, lambda: site.elsewhere(seeds))
        done = 0
        while done < mutations:
            text = self.dice.choice(seeds)
            for _ in range(self.dice.choice((1, 1, 2))):
                words = self.dice.random() < 0.5
                changed = (
                    in_words(self.dice, text, seeds, site.world)
                    if words
                    else in_tree(self.dice, text, seeds, site.world)
                )
                if changed is None:
                    break
                done += 1
                what = "words changed" if words else "tree changed"
                more = arguments(self.dice) if self.dice.random() < 0.1 else {}
                if not self._ask(site, quiet, what, changed, **more):
                    break
                text = changed
            if done % 500 < 2:
                self.tally.report(
                    f"{time.strftime('%H:%M')} {site.world.name}: {done} mutations, {len(self.tally.failures)} failures"
                )

    def _seeds(self, site: Site, quiet: Quiet, wanted: int) -> list[str]:
        """Return statements that are answered."""
        speaker, seeds = Speaker(self.dice, site.world), []
        if site.world.name == "trade":
            seeds += [text for text in TRADE if self._ask(site, quiet, "written", text)]
        for _ in range(20 * wanted):
            text = speaker.question()
            more = arguments(self.dice) if self.dice.random() < 0.2 else {}
            if self._ask(site, quiet, "of our grammar", text, **more):
                seeds.append(text)
            if len(seeds) >= wanted:
                break
        return seeds


def written(tally: Tally) -> list[str]:
    """Return the report."""
    outcomes = ("answered", "known", "refused", "no budget", "FAILED")
    kinds = list(dict.fromkeys(what for what, _ in tally.became))
    lines = [f"{'statements':16}" + "".join(f"{one:>12}" for one in outcomes)]
    lines += [f"{what:16}" + "".join(f"{tally.became[what, one]:>12,}" for one in outcomes) for what in kinds]
    lines.append(f"memory: at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB")
    lines.append("slowest: " + "; ".join(f"{spent:.1f} s {text}" for spent, text in tally.slowest[:3]))
    for world, why, text in tally.failures:
        lines += [f"FAILED in {world}: {why}", f"    {text[:600]}"]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=50_000)
    parser.add_argument("--variants", type=int, default=24, help="sets of sources of each world")
    parser.add_argument("--share", type=float, default=0.15, help="of the statements that go through the ledger")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--worlds", nargs="*", default=[], help="names of worlds, by default all")
    given = parser.parse_args()
    print(
        f"duckdb {duckdb.__version__}, sqlglot {sqlglot.__version__}; seed {given.seed}; secrets {len(SECRETS)}",
        flush=True,
    )
    out = os.fdopen(os.dup(1), "w", buffering=1)
    last = tempfile.NamedTemporaryFile(prefix="fuzz-last-", delete=False, buffering=0)  # noqa: SIM115 - outlives this
    print(f"what is asked stands in {last.name}", flush=True)
    faulthandler.enable(os.dup(2))
    fuzz = Fuzz(
        given.seed,
        given.mutations,
        given.variants,
        given.share,
        lambda line: out.write(line + "\n"),
        tuple(given.worlds),
    )
    fuzz.tally.last = last
    with Quiet() as quiet:
        fuzz.run(quiet)
    os.unlink(last.name)
    print("\n".join(written(fuzz.tally)))
    return 1 if fuzz.tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
