"""A small Spark cluster on loopback: a driver and two executors, each a process of its own, one for a whole test run.

Tests that use it stand in files that one worker runs (`USERS`), and have `pytestmark = SPARK`.
Nothing of it is left behind: its files lie in a folder of their own, and it ends with the session.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Starting takes half a minute on an idle machine with two cores, and minutes on a busy one.
SPARK = pytest.mark.timeout(900)
PAGE = "ask-on-spark"  # of the documentation; its blocks run
USERS = ("/test_spark", "/contract/test_engines", PAGE)
MASTER = "local-cluster[2,1,512]"  # executors, cores and MB of each
# Short queries: the second compiler costs more than it saves, and one thread collects little garbage best.
_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """Give all of Spark's tests to one worker, and any other to whoever is free.

    xdist's own groups (--dist loadgroup) put nothing together under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "spark" if any(part in nodeid for part in USERS) else nodeid

    return Scheduling(config, log)


def _settings(folder: Path, port: int) -> dict[str, str]:
    java = f"{_JAVA} -Djava.io.tmpdir={folder}"
    return {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "768m",
        "spark.executor.memory": "512m",
        "spark.driver.extraJavaOptions": java,
        "spark.executor.extraJavaOptions": java,
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        # what a caller's session may well have, and what our queries must not notice
        "spark.sql.ansi.enabled": "false",
        "spark.sql.session.timeZone": "America/New_York",
        # the same cluster by way of Spark Connect
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
    }


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """Set what Java reads when it starts, and where it writes: what the driver says goes into a file of its own.

    Executors write below Spark's home, so that is a folder of links.
    """
    import pyspark

    home = folder / "home"
    home.mkdir()
    for part in ("bin", "jars"):
        (home / part).symlink_to(Path(pyspark.__file__).parent / part)
    ours = {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    said = [os.dup(1), os.dup(2)]
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        os.dup2(said[0], 1)
        os.dup2(said[1], 2)
        for end in (*said, log):
            os.close(end)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def spark_log() -> Iterator[Path]:
    """Where the driver writes what it says."""
    folder = Path(tempfile.mkdtemp(prefix="discreet-spark-"))
    yield folder / "log"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def spark(spark_log: Path) -> Iterator[Any]:
    """A session as a caller has one."""
    if shutil.which("java") is None:
        pytest.fail("no Java was found: install the package 'openjdk-17-jre-headless' (scripts/test does).")
    from pyspark.sql import SparkSession

    folder = spark_log.parent
    builder = SparkSession.builder.master(MASTER).appName("tests")
    for name, value in _settings(folder, _free_port()).items():
        builder = builder.config(name, value)
    listens = signal.getsignal(signal.SIGINT)
    with _environment(folder):
        session = builder.getOrCreate()
    signal.signal(signal.SIGINT, listens)  # Spark's own would answer in tests that know nothing of Spark
    yield session
    process = session.sparkContext._gateway.proc
    session.stop()
    session.sparkContext._gateway.shutdown()
    process.stdin.close()
    process.wait(60)


@pytest.fixture(scope="session")
def connect(spark: Any) -> Iterator[Any]:
    """A session of Spark Connect on the same cluster."""
    from pyspark.sql.connect.session import SparkSession

    port = spark.conf.get("spark.connect.grpc.binding.port")
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
    yield session
    session.client.close()
