"""Fill the templates: one HTML page or one Markdown text from the same facts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from discreet.errors import missing_extra
from discreet.explain import attacker, charts, pictures, registry, svg, words
from discreet.explain.words import AUDIENCES
from discreet.release import shown

if TYPE_CHECKING:
    from jinja2 import Environment

LONG_TABLE = 40  # rows beyond which a table is folded away at first


def html(facts: dict[str, Any], audience: str | None) -> str:
    """Return one self-contained page."""
    from_us = _pictures(facts)  # drawn by svg.py, which escapes every text that it is given
    template = environment(escape=True).get_template("report.html.j2")
    return template.render(_names(facts, audience), svg=trusted(from_us), LONG_TABLE=LONG_TABLE) + "\n"


def markdown(facts: dict[str, Any], audience: str) -> str:
    """Return the Markdown for one audience."""
    return filled("report.md.j2", **_names(facts, audience))


def filled(template: str, **names: Any) -> str:
    """Return a Markdown template, filled."""
    text = environment(escape=False).get_template(template).render(names)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _names(facts: dict[str, Any], audience: str | None) -> dict[str, Any]:
    return {
        "f": facts,
        "audience": audience,
        "audiences": AUDIENCES,
        "views": {view["name"]: view for view in facts["attacker"]["views"]},
        "record": registry.flat(registry.registry(facts, tier=2)),
        "record_missing": registry.missing(registry.registry(facts, tier=2)),
        "w": words,
        "comparison": attacker.comparison,
        "beyond": attacker.beyond(facts["account"]["delta"]),
        "colours": svg.CYCLE,
    }


def _pictures(facts: Mapping[str, Any]) -> dict[str, str]:
    drawn = {
        "beliefs": pictures.beliefs("beliefs", facts["attacker"]),
        "rates": pictures.rates("rates", facts["attacker"]),
        "budget": pictures.budget("budget", facts["budget"]),
    }
    for release in facts["releases"]:
        drawn[release["id"]] = "\n".join(charts.values(f"chart-{release['id']}", release["title"], release["table"]))
    return drawn


def trusted(pieces: Mapping[str, str]) -> dict[str, Any]:
    """Return our own markup, which is not to be escaped again."""
    from markupsafe import Markup

    return {name: Markup(piece) for name, piece in pieces.items()}  # noqa: S704 - our own drawing, escaped there


def environment(*, escape: bool) -> Environment:
    """Return the templates' environment: escaped, for HTML, or not, for Markdown whose templates escape by themselves."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise missing_extra("report", "jinja2") from None
    made = Environment(
        loader=PackageLoader("discreet.explain"),
        autoescape=escape,  # noqa: S701 - off for Markdown alone, whose templates escape with the filter md
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.filters |= {"md": _md, "clean": shown.clean, "pretty": _pretty, "fence": _fence}
    return made


def _md(value: Any) -> str:
    """Return untrusted text that Markdown takes literally, on one line."""
    text = re.sub(r"\s+", " ", shown.clean(value)).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~$])", r"\\\1", text)


def _fence(value: Any) -> str:
    """Return untrusted text as a Markdown code block that it cannot leave."""
    text = shown.clean(value)
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{ticks}\n{text}\n{ticks}"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
