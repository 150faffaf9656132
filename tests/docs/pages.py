"""The pages of the documentation, and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of its first line."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    source = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(source):
        indent = len(match["indent"])
        text = "".join(
            line[indent:] if line[:indent].isspace() else line for line in match["text"].splitlines(keepends=True)
        )
        found.append(Block(match["language"], text, source.count("\n", 0, match.start("text")) + 1))
    return found


def headings(page: Path) -> list[str]:
    """Return the headings of a page, without the blocks."""
    return _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def name(page: Path) -> str:
    """Return a page's path inside of the repository, for test ids."""
    return page.relative_to(ROOT).as_posix()


def words(text: str) -> set[str]:
    """Return the words of a heading, with dotted names also in their parts: `ledger.raise_budget(…)` has both."""
    dotted = set(re.findall(r"[A-Za-z_][\w.-]*", text))
    return {word.strip(".-") for word in dotted} | {part for word in dotted for part in word.split(".")}
