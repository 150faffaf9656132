"""What hostile statements call things and write out: names that are ours, numbers that few engines agree on."""

from __future__ import annotations

CLASHING = [  # what the engine's statements are made of
    "u0", "u1", "c0", "c1", "k0", "k1", "k", "v0", "d0", "n", "n0", "s0", "b", "b0", "z0", "t0", "h0", "l0", "w", "v", "x", "f", "p", "g",
    "a", "l", "r", "m", "one", "place", "nth", "cell", "kept", "typed", "person", "bounded", "total", "counted", "ranked", "weighed",
    "pairs", "apart", "open", "numbered", "source", "answer", "discreet_kept", "discreet_found", "count", "sum", "select",
]  # fmt: skip
HIDDEN = (  # what a subquery's columns are called that its text does not name, and what looks like it
    "key 0", "key 1", "key 2", "key 7", "having 0", "having 1", "having 2", "value 0", "value 1", "GROUP BY", "query",
    "discreet_bounded", "discreet_chosen", "discreet_offered", "discreet_open", "source_1",
)  # fmt: skip
OURS = (*CLASHING, *HIDDEN, *HIDDEN[:7], *HIDDEN[:7])
ODD = (
    "1e30", "-1e30", "1e38", "1e39", "1e308", "1e-300", "-1e-300", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9223372036854775809", "18446744073709551616", "2000000000000", "1099511627775", "1099511627776", "1099511627777", "-0.0", "0.0", "0.1",
    "0.99999999999999999999", "3.0000000001", "170141183460469231731687303715884105728", "NULL", "''", "TRUE",
)  # fmt: skip
HUGE = (*ODD[:5], *ODD[7:12], "2000000000000", "0.99999999999999999999", "1e39", "1e39")
PAIRS = (
    ("yes", "no"),
    ("A", "a"),
    ("B", "b"),
    ("e", "é"),
    ("", "A"),
    ("a", "a "),
    ("it''s", "IT''S"),
)  # alike to some collation
# What a session may set before it lends its connection: no answer may depend on it.
SETTINGS = {
    "default_collation": ("nocase", "noaccent", "nocase.noaccent", "nfc"),
    "default_null_order": ("NULLS_FIRST", "NULLS_FIRST_ON_ASC_LAST_ON_DESC"),
    "default_order": ("DESC",),
    "integer_division": ("true",),
    "ieee_floating_point_ops": ("false",),
    "error_on_division_by_zero": ("false",),
    "scalar_subquery_error_on_multiple_rows": ("false",),
    "preserve_identifier_case": ("lowercase",),
    "preserve_insertion_order": ("false", "true"),
    "TimeZone": ("Pacific/Kiritimati", "America/St_Johns"),
}


def quoted(name: str) -> str:
    """Return a name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def session(dice) -> dict[str, str]:
    """Return what somebody has set: mostly little."""
    few = [name for name in SETTINGS if dice.random() < (0.4 if name == "default_collation" else 0.15)]
    return {name: dice.choice(SETTINGS[name]) for name in few}
