"""Everything discreet raises on purpose, and the seal that keeps private values out of errors.

    DiscreetError
    ├── InvalidInput (ValueError)     a value from the caller is wrong; nothing was spent
    ├── UnsupportedQuery              SQL that has no private answer here; nothing was spent
    ├── UnsupportedEvent              an accountant cannot bound this event; nothing was spent
    ├── BudgetExceeded                the account does not hold the cost; nothing was spent
    ├── LedgerDamaged                 the ledger contradicts itself; it refuses to go on
    ├── LedgerUnavailable             the ledger could not be reached; says whether a charge may stand
    ├── DataFailure                   work on private rows failed; the charge stands, the cause is withheld
    └── MissingExtra (ImportError)    an optional dependency is not installed

A message is an output channel: it holds public facts only, in three parts (what happened, what
state we are in, what to do).
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

NOTHING_SPENT = "Nothing was spent and no data was read."


class DiscreetError(Exception):
    """Root of the tree: a message in three parts.

    Args:
        what: What happened, with its numbers.
        state: What state we are in, above all what was spent.
        remedy: What to do.
    """

    def __init__(self, what: str, *, state: str = NOTHING_SPENT, remedy: str = "") -> None:
        self.what = what
        self.state = state
        self.remedy = remedy
        super().__init__("\n  ".join(part for part in (what, state, remedy) if part))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries (multiprocessing, pytest-xdist); keep all three parts.
        return (_rebuild, (type(self), self.what, self.state, self.remedy))


def _rebuild(kind: type[DiscreetError], what: str, state: str, remedy: str) -> DiscreetError:
    return kind(what, state=state, remedy=remedy)


class InvalidInput(DiscreetError, ValueError):
    """A value given by the caller is wrong; raised before anything is spent."""


class UnsupportedQuery(DiscreetError):
    """A SQL construct has no private answer here; names the construct and what to write instead."""


class UnsupportedEvent(DiscreetError):
    """An accountant cannot bound this event in the measure asked for."""


class BudgetExceeded(DiscreetError):
    """The account (or the analyst's share of it) does not hold the cost of the event."""


class LedgerDamaged(DiscreetError):
    """The ledger's chain, signatures or sums contradict each other."""


class LedgerUnavailable(DiscreetError):
    """The ledger could not be reached; the message says whether a charge may have landed."""


class DataFailure(DiscreetError):
    """Work on private rows failed after its charge; the cause is withheld on purpose."""


class MissingExtra(DiscreetError, ImportError):
    """An optional dependency is missing; the message holds the one command to type."""


def missing_extra(extra: str, package: str) -> MissingExtra:
    """Return the error for an optional dependency that is not installed."""
    return MissingExtra(
        f"this needs the package {package!r}, which is not installed.",
        remedy=f'Type: pip install "discreet[{extra}]"',
    )


class _Hush:
    """Silences warnings, and errors that Python can only print, while any thread is at work on private rows.

    Filters and hooks belong to the process, so the first to enter sets them and the last to leave puts
    them back: one thread that left would otherwise switch them on again under another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: tuple[Any, ...] = ()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                filters = warnings.catch_warnings()
                self._before = (filters, sys.unraisablehook, threading.excepthook, warnings._showwarnmsg)  # type: ignore[attr-defined]  # noqa: SLF001
                filters.__enter__()
                warnings.simplefilter("ignore")
                sys.unraisablehook = threading.excepthook = _nothing
                # What shows a warning in the end. Filters alone would not do: a thread that entered
                # catch_warnings before us may leave it while we are inside, and puts its own back.
                warnings._showwarnmsg = _nothing  # type: ignore[attr-defined]  # noqa: SLF001
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                filters, sys.unraisablehook, threading.excepthook, warnings._showwarnmsg = self._before  # type: ignore[attr-defined]  # noqa: SLF001
                filters.__exit__(None, None, None)


def _nothing(_: object) -> None:
    """Print nothing."""


_HUSH = _Hush()


def sealed(work: Callable[..., T], *args: object) -> T:
    """Run `work(*args)` on private rows; let no private byte out through a failure or a warning.

    Nor through what Python prints by itself: errors in `__del__` and in threads that `work` starts.

    Whatever goes wrong is replaced by a `DataFailure` with a constant text. The new exception is
    raised after the handler has been left, so that it carries neither `__cause__` nor `__context__`
    nor a traceback whose frames hold rows. `raise ... from None` would not do: the private message
    would stay in `__context__`.

    Raises:
        DataFailure: anything at all went wrong in `work`.
        KeyboardInterrupt: the user interrupted; a new, empty one, for the same reason.

    Not protected: that the work failed, and how long it took.
    """
    interrupted = False
    try:
        with _HUSH:
            return work(*args)
    except KeyboardInterrupt:
        interrupted = True
    except BaseException:  # noqa: BLE001, S110 - SystemExit carries a message too; the cause is withheld
        pass
    del work, args  # this frame stays in the traceback; its locals must hold nothing
    if interrupted:
        raise KeyboardInterrupt
    raise DataFailure(
        "the work on the private rows failed; its cause is withheld because it may show private values.",
        state="The charge stands: the rows may have been read. Nothing was released.",
        remedy=(
            "Check that the source exists, is readable and has the declared columns; "
            "then ask again under a new attempt, which is a new charge."
        ),
    )
