"""What guards the rows in PostgreSQL: its statements, and how to see that nothing of it was changed.

Tables, columns, indexes, constraints and triggers are read from the server's catalog and compared with
what we make. A trigger of the same name that does less, or an index that is gone, is damage.
"""

from __future__ import annotations

from typing import Any

from discreet.ledger.entries import GENESIS
from discreet.ledger.rows import ENTRIES, KEPT, POPULATIONS, SCHEMA, Execute

APPEND_ONLY, EXTENDS = "discreet_append_only", "discreet_extends"
REFUSE = "RAISE EXCEPTION 'the ledger is append-only'"
# Read by name from where the trigger stands, so that no search_path can put another table in its place.
BODIES = {
    APPEND_ONLY: f" BEGIN {REFUSE}; END ",
    EXTENDS: f"""
DECLARE
    told jsonb := NEW.body::jsonb;
    last record;
    own bigint;
    before bigint;
BEGIN
    EXECUTE format('SELECT sequence, hash, body::jsonb AS body FROM %I.%I WHERE population = $1 '
                   'ORDER BY sequence DESC LIMIT 1', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO last USING NEW.population;
    IF NEW.sequence IS DISTINCT FROM COALESCE(last.sequence + 1, 0)
       OR told->>'previous' IS DISTINCT FROM COALESCE(last.hash, '{GENESIS}')
       OR NEW.hash IS DISTINCT FROM encode(sha256(convert_to(NEW.body, 'UTF8')), 'hex')
       OR NEW.population IS DISTINCT FROM told->>'population'
       OR NEW.sequence IS DISTINCT FROM (told->>'sequence')::bigint
       OR NEW.kind IS DISTINCT FROM told->>'kind'
       OR NEW.request IS DISTINCT FROM told->>'request'
       OR NEW.analyst IS DISTINCT FROM told->>'analyst'
    THEN {REFUSE}; END IF;
    FOR i IN 0..1 LOOP
        own := COALESCE((told->'cost'->>i)::bigint, 0);
        before := COALESCE((last.body->'spent'->>i)::bigint, 0);
        IF own < 0 OR (told->'spent'->>i)::bigint IS DISTINCT FROM before + own THEN {REFUSE}; END IF;
    END LOOP;
    RETURN NEW;
END
""",
}
TRIGGERS = (
    *((table, APPEND_ONLY, "UPDATE OR DELETE OR TRUNCATE", "STATEMENT") for table in KEPT),
    (ENTRIES, EXTENDS, "INSERT", "ROW"),
)
GUARD = (
    *(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $discreet${body}$discreet$"
        for name, body in BODIES.items()
    ),
    *(
        statement
        for table, name, verbs, level in TRIGGERS
        for statement in (
            f"CREATE TRIGGER {name} BEFORE {verbs} ON {table} FOR EACH {level} EXECUTE FUNCTION {name}()",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
        )
    ),
)

# Each query, and what it has to find. None needs a right beyond reading the tables.
_MINE = "c.relname = ANY(?) AND pg_table_is_visible(c.oid)"
_KINDS = {APPEND_ONLY: 2 + 8 + 16 + 32, EXTENDS: 1 + 2 + 4}  # BEFORE, DELETE, UPDATE, TRUNCATE; ROW, BEFORE, INSERT
_PLAIN = (
    "tgqual IS NULL AND tgattr = '' AND tgnargs = 0 AND lanname = 'plpgsql' AND proconfig IS NULL AND NOT prosecdef"
)
FOUND: dict[str, tuple[str, set[tuple[Any, ...]]]] = {
    "triggers": (
        f"""SELECT c.relname, tgname, tgtype, tgenabled::text, {_PLAIN}, prosrc FROM pg_trigger
            JOIN pg_class c ON c.oid = tgrelid JOIN pg_proc p ON p.oid = tgfoid JOIN pg_language l ON l.oid = prolang
            WHERE {_MINE} AND NOT tgisinternal""",
        {(table, name, _KINDS[name], "A", True, BODIES[name]) for table, name, _, _ in TRIGGERS},
    ),
    "tables": (
        f"""SELECT c.relname, relkind::text, relpersistence::text, relhasrules, relrowsecurity, relhassubclass
            FROM pg_class c WHERE {_MINE}""",
        {(table, "r", "p", False, False, False) for table in KEPT},
    ),
    "columns": (
        f"""SELECT c.relname, attname, format_type(atttypid, atttypmod), attnotnull, atthasdef
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE {_MINE} AND attnum > 0 AND NOT attisdropped""",
        {
            (SCHEMA, "version", "integer", True, False),
            (POPULATIONS, "name", "text", True, False),
            (ENTRIES, "sequence", "bigint", True, False),
            *((ENTRIES, name, "text", True, False) for name in ("population", "kind", "body", "hash")),
            *((ENTRIES, name, "text", False, False) for name in ("request", "analyst", "signature")),
        },
    ),
    "indexes": (
        f"""SELECT c.relname, indisunique, indisprimary, indisvalid AND indpred IS NULL AND indexprs IS NULL,
            ARRAY(SELECT attname::text FROM unnest(indkey) WITH ORDINALITY AS k(number, place)
                  JOIN pg_attribute ON attrelid = indrelid AND attnum = number ORDER BY place)
            FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE {_MINE}""",
        {
            (POPULATIONS, True, True, True, ("name",)),
            (ENTRIES, True, True, True, ("population", "sequence")),
            (ENTRIES, True, False, True, ("population", "request", "kind")),
            (ENTRIES, False, False, True, ("population", "kind", "sequence")),
            (ENTRIES, False, False, True, ("population", "analyst", "sequence")),
        },
    ),
    "constraints": (  # primary keys, a foreign key, and (in later versions) NOT NULL are named above or harmless
        f"""SELECT c.relname, contype::text FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
            WHERE {_MINE} AND contype NOT IN ('p', 'f', 'n')""",
        set(),
    ),
}


def changed(execute: Execute) -> str | None:
    """Return what of the guard is not as we make it, or None."""
    for what, (query, expected) in FOUND.items():
        rows = execute(query, (list(KEPT),))
        found = {tuple(tuple(item) if isinstance(item, list) else item for item in row) for row in rows}
        if found != expected:
            return what
    return None
