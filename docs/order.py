"""A mkdocs hook: the sections in the order in which a reader needs them, not in that of the alphabet."""

from typing import Any

ORDER = (
    "index",
    "tutorials",
    "how to",
    "reference",
    "explanation",
    "promise",
    "known-holes",
    "proofs",
    "decisions",
    "contributing",
)


def on_nav(nav: Any, **_: Any) -> Any:
    """Sort the top level; whatever is not in ORDER comes last."""

    def place(item: Any) -> int:
        name = item.file.name if getattr(item, "file", None) else (item.title or "").casefold()
        return ORDER.index(name) if name in ORDER else len(ORDER)

    nav.items.sort(key=place)
    return nav
