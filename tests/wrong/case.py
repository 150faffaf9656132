"""One wrong use, and the commands and changes that many share."""

import dataclasses
from collections.abc import Callable

from tests.clinic import Clinic

PLAN = ("plan", "{folder}")
RUN = ("run", "{folder}", "--yes")
SUM = "SELECT SUM(cost) AS s FROM visits"
BY_WARD = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"


@dataclasses.dataclass(frozen=True)
class Wrong:
    """One wrong use.

    Args:
        name: What is wrong.
        command: What is run; {folder} is the clinic.
        says: How the message begins, after the place in the file.
        change: What is done to the clinic before.
        kind: The error.
        code: The exit code.
        spends: How many charges it makes: failures on the rows come after the charge.
    """

    name: str
    command: tuple[str, ...]
    says: str
    change: Callable[[Clinic], object] = lambda place: None
    kind: str = "InvalidInput"
    code: int = 1
    spends: int = 0


def ask(sql, *more):
    return ("query", "{folder}", sql, "--epsilon", "0.5", "--delta", "1e-7", "--yes", *more)


def spend(epsilon="0.5", delta="1e-7", *more, sql="SELECT COUNT(*) AS n FROM visits"):
    return ("query", "{folder}", sql, f"--epsilon={epsilon}", f"--delta={delta}", "--yes", *more)


def toml(old, new):
    return lambda place: place.change(old, new)


def without_ledger(place):
    """Remove the ledger: its file, its journal and its lock belong together."""
    assert place.ledger.is_file()
    for file in place.folder.glob("ledger.db*"):
        file.unlink()


def reopen(change):
    """Change the file, and open its account anew."""

    def made(place):
        change(place)
        without_ledger(place)
        (place.folder / "owner.key").unlink()

    return made
