"""Errors in the words of somebody at a terminal, who writes a discreet.toml and commands but no Python."""

from __future__ import annotations

import re

from discreet.errors import DiscreetError

PHRASES = (
    (re.compile(r"discreet ledger open, or ledger\.open\(…\)|ledger\.open\(…\)"), "discreet ledger open PROJECT"),
    (re.compile(r"ledger\.share\(…\)"), "discreet ledger share PROJECT POPULATION ANALYST"),
    (re.compile(r", in Python Domain\(.*?\)(?=[;.]|$)"), ""),
)
ASKED = re.compile(r"\b(epsilon|delta)=(?=\d)")
COMMANDS = ("query", "cost")  # which are given on the command line what a file gives with " = "


def spoken(error: DiscreetError, command: str) -> DiscreetError:
    """Return the error with commands and lines of the file for what one would write in Python."""
    remedy = error.remedy
    for python, words in PHRASES:
        remedy = python.sub(words, remedy)
    remedy = ASKED.sub(r"--\1=" if command in COMMANDS else r"\1 = ", remedy)
    return type(error)(error.what, state=error.state, remedy=remedy)
