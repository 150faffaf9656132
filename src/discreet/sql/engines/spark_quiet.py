"""What Spark prints by itself: silent while a private query runs.

Spark shows the number of tasks in a progress bar, and quotes the value of a cell in the messages of
errors: on the driver through log4j, and in Python through loggers of its own. A cluster's own logs,
its web page and its event log are its owner's, and stay as they are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from discreet.errors import InvalidInput

# They print errors with the values in them, also of errors that somebody catches.
_TALKERS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
_ROOMS = ("pyspark", "py4j")


class _Mute(logging.Filter):
    """Drops what this thread says while it is inside."""

    def __init__(self) -> None:
        super().__init__()
        self._inside = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - whatever it says
        return not getattr(self._inside, "depth", 0)

    @contextmanager
    def on(self) -> Iterator[None]:
        for name in _TALKERS:
            _talker(name).addFilter(self)
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if name.split(".")[0] in _ROOMS and isinstance(logger, logging.Logger):
                logger.addFilter(self)
        self._inside.depth = getattr(self._inside, "depth", 0) + 1
        try:
            yield
        finally:
            self._inside.depth -= 1


class _Log4j:
    """Switches the driver's log off. It is the process's: the first to enter does so, the last to leave puts it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, Any]] = []

    @contextmanager
    def off(self, jvm: Any) -> Iterator[None]:
        log4j = jvm.org.apache.logging.log4j
        context = log4j.LogManager.getContext(False)
        with self._lock:
            if self._inside == 0:
                loggers = list(context.getConfiguration().getLoggers().values())
                self._before = [(logger, logger.getLevel()) for logger in loggers]
                for logger in loggers:
                    logger.setLevel(log4j.Level.OFF)
                context.updateLoggers()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    for logger, level in self._before:
                        logger.setLevel(level)
                    context.updateLoggers()


_MUTE, _LOG4J = _Mute(), _Log4j()


def _talker(name: str) -> logging.Logger:
    from pyspark.logger import PySparkLogger

    return PySparkLogger.getLogger(name)


@contextmanager
def quiet(session: Any) -> Iterator[None]:
    """Silence Spark while a private query runs.

    Its progress bar is stopped for good: Spark has no way to start one again.

    Args:
        session: The caller's session.
    """
    with _MUTE.on():
        if connected(session):  # another machine's driver
            yield
            return
        bar = session.sparkContext._jsc.sc().progressBar()  # noqa: SLF001 - nothing public says that there is one
        if bar.isDefined():
            bar.get().stop()
        with _LOG4J.off(session._jvm):  # noqa: SLF001 - the same
            yield


def connected(session: Any) -> bool:
    """Return whether a session is one of Spark Connect."""
    return type(session).__module__.startswith("pyspark.sql.connect.")


def check(session: Any) -> None:
    """Refuse a session that cannot be silenced.

    Raises:
        InvalidInput: see above.
    """
    if connected(session):
        from pyspark.sql.connect.shell import progress_bar_enabled

        if progress_bar_enabled():
            raise InvalidInput(
                "Spark Connect's progress bar is on: it prints how much of the private data is read.",
                remedy="Take SPARK_CONNECT_PROGRESS_BAR_ENABLED out of the environment.",
            )
        return
    failed = False
    try:
        with quiet(session):
            pass
    except Exception:  # noqa: BLE001 - whatever kind of driver this is
        failed = True
    if failed:
        raise InvalidInput(
            "the log of this Spark driver cannot be switched off, and Spark quotes private values there.",
            remedy="Use a session of PySpark's own, or one of Spark Connect.",
        )
