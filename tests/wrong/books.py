"""What can be wrong with the data, the ledger, its keys, or the disk."""

import shutil
import sqlite3

import pyarrow
import pyarrow.parquet

from discreet.cli.app import run
from discreet.ledger import OwnerKey
from tests.clinic import SECRET
from tests.wrong.case import PLAN, RUN, Wrong, ask, reopen, spend, toml, without_ledger


def edit_ledger(place):
    """Change the budget in the stored text, as someone with a SQL shell would."""
    with sqlite3.connect(place.ledger) as book:
        for (name,) in book.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            book.execute(f"DROP TRIGGER {name}")
        table = next(name for (name,) in book.execute("SELECT name FROM sqlite_master WHERE name LIKE '%entries'"))
        assert book.execute(f"UPDATE {table} SET body = replace(body, '\"epsilon\":2.0', '\"epsilon\":9.0')").rowcount
    book.close()


def other_key(place):
    (place.folder / "owner.key").unlink()
    OwnerKey.create(place.folder / "owner.key")


def second_account(place):
    declared = place.toml.read_text().partition("[population.people]")[2].partition("[table")[0]
    place.change("[table.visits]", f"[population.staff]{declared}[table.visits]")


def lost(place):
    """Release, and lose the folder."""
    assert run([*(item.replace("{folder}", str(place.folder)) for item in RUN)]) == 0
    shutil.rmtree(place.folder / "releases" / "people")


def without_column(place):
    table = pyarrow.parquet.read_table(place.data)
    pyarrow.parquet.write_table(table.drop_columns(["age"]), place.data)


def folder_instead(place):
    place.data.unlink()
    place.data.mkdir()


def no_releases(place):
    (place.folder / "releases").write_text("a file where the folder should be")


DATA = [
    Wrong("no such file", RUN, "{data} does not exist.", lambda place: place.data.unlink()),
    Wrong(
        "a folder",
        RUN,
        "{toml}: [[release]] people: the source 'visits.parquet' is a folder, or its path holds",
        folder_instead,
    ),
    Wrong(
        "another format",
        RUN,
        "{toml}: [[release]] people: the source 'visits.xlsx' is neither .parquet nor .csv.",
        lambda place: (
            shutil.move(place.data, place.folder / "visits.xlsx"),
            place.change("visits.parquet", "visits.xlsx"),
        ),
    ),
    Wrong(
        "no Parquet file at all",
        RUN,
        "the work on the private rows failed",
        lambda place: place.data.write_bytes(SECRET.encode() * 99),
        "DataFailure",
        spends=1,
    ),
    Wrong(
        "an empty file",
        RUN,
        "the work on the private rows failed",
        lambda place: place.data.write_bytes(b""),
        "DataFailure",
        spends=1,
    ),
    Wrong(
        "a declared column that is not there",
        ask("SELECT AVG(age) AS a FROM visits"),
        "the source of 'visits' has no column 'age'.",
        without_column,
    ),
]


LEDGER = [
    Wrong(
        "none",
        RUN,
        "the account 'people' is not open in the ledger of {toml}.",
        without_ledger,
    ),
    Wrong(
        "a server that is not there",
        ("ledger", "show", f"postgresql://bo:{SECRET.split()[0]}@127.0.0.1:1/book"),
        "the ledger at postgresql://127.0.0.1:1/book could not be used: ",
        kind="LedgerUnavailable",
    ),
    Wrong("none to show", ("ledger", "show", "{folder}/nowhere.db"), "there is no ledger at {folder}/nowhere.db."),
    Wrong(
        "none to verify",
        ("ledger", "verify", "{folder}"),
        "there is no ledger at {folder}/ledger.db.",
        without_ledger,
    ),
    Wrong("edited", ("ledger", "verify", "{folder}"), "the ledger is damaged: ", edit_ledger, "LedgerDamaged"),
    Wrong("edited, then spent from", spend(), "the ledger is damaged: ", edit_ledger, "LedgerDamaged"),
    Wrong(
        "no database",
        ("ledger", "show", "{folder}"),
        "the ledger is damaged: {folder}/ledger.db is no SQLite database (never a ledger, or",
        lambda place: place.ledger.write_bytes(b"not a database" * 99),
        "LedgerDamaged",
    ),
    Wrong(
        "an unknown account",
        ("ledger", "show", "{folder}", "--population", "peple"),
        "the ledger has no account 'peple'. Did you mean 'people'?",
    ),
    Wrong(
        "a raise of an unknown account",
        ("ledger", "raise", "{folder}", "peple", "--epsilon=3"),
        "the ledger has no account 'peple'. Did you mean 'people'?",
    ),
    Wrong(
        "an account that is not open",
        RUN,
        "the account 'others' is not open in the ledger of {toml}.",
        lambda place: place.toml.write_text(
            place.toml.read_text().replace("people]", "others]").replace('"people"\nmax', '"others"\nmax')
        ),
    ),
    Wrong(
        "a raise that lowers",
        ("ledger", "raise", "{folder}", "people", "--epsilon=1"),
        "the budget is ε = 2; a raise must be larger",
    ),
    Wrong(
        "a raise above the ceiling",
        ("ledger", "raise", "{folder}", "people", "--epsilon=9"),
        "the ceiling fixed at opening is ε = 3; got 9.0.",
        lambda place: (
            reopen(toml("epsilon = 2.0", "epsilon = 2.0\nceiling = 3.0"))(place),
            run(["ledger", "open", str(place.folder)]),
        ),
    ),
    Wrong(
        "a raise to nan",
        ("ledger", "raise", "{folder}", "people", "--epsilon=nan"),
        "epsilon must lie in (0, 1000], got nan.",
    ),
    Wrong(
        "somebody else's key",
        ("ledger", "raise", "{folder}", "people", "--epsilon=3"),
        "this is not the key that opened 'people'.",
        other_key,
    ),
    Wrong(
        "a key that is none",
        ("ledger", "raise", "{folder}", "people", "--epsilon=3", "--key", "{toml}"),
        "{toml} holds no owner's key.",
    ),
    Wrong(
        "no key",
        ("ledger", "raise", "{folder}", "people", "--epsilon=3"),
        "the owner's key {folder}/owner.key does not exist.",
        lambda place: (place.folder / "owner.key").unlink(),
    ),
    Wrong(
        "a share of nothing",
        ("ledger", "share", "{folder}", "people", "bo", "--epsilon=0"),
        "epsilon must lie in (0, 1000], got 0.0.",
    ),
    Wrong(
        "a key that is a folder",
        ("ledger", "raise", "{folder}", "people", "--epsilon=3", "--key", "{folder}"),
        "the owner's key {folder} cannot be read: Is a directory.",
    ),
    *(
        Wrong(
            f"another owner than the file names: {command[0]}",
            command,
            "the owner of 'people' has the key ",
            toml("epsilon = 2.0", f'epsilon = 2.0\nowner = "{"0" * 64}"'),
            "LedgerDamaged",
        )
        for command in (PLAN, RUN, ("ledger", "verify", "{folder}"))
    ),
    Wrong(
        "a second account under a second key",
        ("ledger", "open", "{folder}"),
        "'people' was opened with the key ",
        lambda place: (second_account(place), (place.folder / "owner.key").unlink()),
    ),
    Wrong(
        "a second account under somebody else's key",
        ("ledger", "open", "{folder}"),
        "'people' was opened with the key ",
        lambda place: (second_account(place), other_key(place)),
    ),
]


DISK = [
    Wrong("a release that is gone", RUN, "the release 'people' was made and charged, but {folder}/releases", lost),
    Wrong("releases cannot be written", RUN, "releases cannot be written to", no_releases),
    Wrong(
        "a report cannot be written",
        ("explain", "{folder}", "--out", "{toml}/out"),
        "{toml}/out/report.html cannot be written: Not a directory.",
    ),
    Wrong(
        "a project cannot be written",
        ("init", "/proc/new"),
        "/proc/new/discreet.toml cannot be written: No such file or directory.",
    ),
    Wrong(
        "a ledger cannot be written",
        ("ledger", "open", "{folder}"),
        "the folder {toml} does not exist.",
        lambda place: place.change('url = "ledger.db"', 'url = "discreet.toml/ledger.db"'),
    ),
    Wrong(
        "a key cannot be written",
        ("ledger", "open", "{folder}", "--key", "{toml}/key"),
        "no key can be written to {toml}/key: Not a directory.",
        without_ledger,
    ),
]
