"""Sessions of Spark: the caller's, one of ours beside it, and one on this machine where nobody has any."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from discreet.errors import InvalidInput, missing_extra
from discreet.sql.engines import spark_quiet

T = TypeVar("T")

OLDEST = 4  # major version
# What a plan's meaning depends on; a session of our own starts with whatever the cluster was started with.
SETTINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.ansi.enforceReservedKeywords": "false",
    "spark.sql.caseSensitive": "false",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.variable.substitute": "false",  # else '${env:HOME}' in a literal of the analyst's is looked up
}
# No part of the meaning: the caller knows their cluster.
KEPT_SETTINGS = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled")
# Of a session on this machine: nobody else can reach it, and it shows nothing.
LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def version() -> str:
    """Return PySpark's version; loads it.

    Raises:
        MissingExtra: PySpark is not installed.
    """
    return str(_pyspark().__version__)


@contextmanager
def beside(lender: Any) -> Iterator[Any]:
    """Open a session of our own on the caller's cluster: its own settings, functions and temporary views."""
    session = lender.newSession()
    try:
        for setting in KEPT_SETTINGS:
            session.conf.set(setting, lender.conf.get(setting))
        for setting, value in SETTINGS.items():
            if session.conf.get(setting) != value:  # setting an old one again makes Spark warn of it
                session.conf.set(setting, value)
        yield session
    finally:
        if spark_quiet.connected(session):  # a classic one is nothing but a handle
            with suppress(Exception):
                session.client.release_session()
            with suppress(Exception):
                session.client.close()


def active() -> Any:
    """Return the process's session, or else a new one on this machine alone.

    Raises:
        MissingExtra: PySpark is not installed.
        InvalidInput: there is no Java, or it cannot run Spark.
    """
    _pyspark()
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    try:
        return SparkSession.active()
    except PySparkRuntimeError:
        pass
    home = os.environ.get("JAVA_HOME")
    if not (Path(home, "bin", "java").exists() if home else shutil.which("java")):
        raise InvalidInput(
            f"Spark needs Java, and there is none {f'in JAVA_HOME = {home}' if home else 'on the PATH'}.",
            remedy="Install Java 17 or later, or start a session of your own and lend its DataFrames.",
        )
    builder = SparkSession.builder.master("local[*]").appName("discreet")
    for setting, value in LOCAL.items():
        builder = builder.config(setting, value)
    failed = False
    try:
        with _still_heard():
            return builder.getOrCreate()
    except Exception:  # noqa: BLE001 - what it says depends on Java and the shell, and is printed by them anyway
        failed = True
    assert failed
    raise InvalidInput(
        "Spark did not start on this machine.",
        remedy=f"PySpark {version()} needs Java 17 or later: see what Java printed, and which one JAVA_HOME names.",
    )


def check(session: Any) -> None:
    """Refuse a session that is too old, has ended, cannot be silenced, or can make no session beside it.

    Raises:
        InvalidInput: see above.
    """
    for what, found in (("PySpark", version()), ("the Spark that it speaks to", ask(lambda: str(session.version)))):
        major = re.match("[0-9]+", found)
        if major is None or int(major[0]) < OLDEST:
            raise InvalidInput(f"{what} has the version {found}; {OLDEST}.0 or later is needed.", remedy="Upgrade it.")
    if spark_quiet.connected(session) and not hasattr(session, "newSession"):
        raise InvalidInput(
            f"PySpark {version()} can make no session beside one of Spark Connect.",
            remedy="Upgrade it to 4.3 or later.",
        )
    spark_quiet.check(session)


def ask(question: Callable[[], T]) -> T:
    """Return what a session or a DataFrame says of itself.

    Raises:
        InvalidInput: it cannot say.
    """
    try:
        return question()
    except Exception:  # noqa: BLE001, S110 - Spark's message may show what the source holds
        pass
    raise InvalidInput(
        "the Spark session cannot be used: it has ended, or its cluster does not answer.",
        remedy="Make the DataFrame anew, in a session that runs.",
    )


@contextmanager
def _still_heard() -> Iterator[None]:
    """Let whoever listened to Ctrl-C before hear it still: Spark puts a handler of its own in the place."""
    before = signal.getsignal(signal.SIGINT)
    yield
    sparks = signal.getsignal(signal.SIGINT)
    if sparks is before or not callable(before) or not callable(sparks):
        return

    def both(number: int, frame: FrameType | None) -> None:
        try:
            sparks(number, frame)  # stops the jobs that run
        finally:
            before(number, frame)

    signal.signal(signal.SIGINT, both)


@functools.cache
def _pyspark() -> Any:
    try:
        import pyspark
    except ImportError:
        raise missing_extra("spark", "pyspark") from None
    return pyspark
