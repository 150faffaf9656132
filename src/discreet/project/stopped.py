"""What an error says to somebody who writes a file: the release by its name, and where its attempt is written."""

from __future__ import annotations

import re

from discreet.errors import NOTHING_SPENT, DiscreetError

AGAIN = re.compile(r"under (?:a new|the next) attempt|with the next attempt \(attempt = 2, …\)")
GOES_ON = re.compile(r"Call make_private[^:]* again with the same arguments")  # as a training run says it


def named(error: DiscreetError, *, name: str, request: str, again: str) -> DiscreetError:
    """Return the error with the release's name for its request's id, and with how to ask again.

    Args:
        error: What went wrong with one release.
        name: Of the release.
        request: Its id, which says nothing to a person.
        again: How another attempt is asked for, for example "with --attempt 2".
    """
    what = error.what.replace(f"the request {request}", f"the release {name!r}")
    return type(error)(what, state=error.state, remedy=GOES_ON.sub("Run it again", AGAIN.sub(again, error.remedy)))


def stopped(error: DiscreetError, name: str, before: int, total: int) -> DiscreetError:
    """Return the error of a run with the place where it stopped.

    Args:
        error: What went wrong with the release `name`.
        name: Of that release.
        before: How many releases of this run stand before it.
        total: How many there are in this run.
    """
    state = error.state
    if before:  # those before it may have been charged, and their rows read
        state = state.replace(NOTHING_SPENT, f"Nothing was spent on {name!r}, and none of its data was read.")
    if total == 1:
        stand = ""
    elif before == 0:
        stand = "; nothing was released before it"
    else:
        stand = f"; the {before} before it of {total} stand"
    return type(error)(error.what, state=f"{state} The run stopped at {name!r}{stand}.", remedy=error.remedy)
