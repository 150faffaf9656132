"""A throw-away PostgreSQL server on loopback, one for a whole pytest session, however many workers it has.

Nothing of it is left behind: its cluster lies in a folder of its own, and the last worker to leave stops it.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "timezone": "UTC",
}


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; the newest installed one."""
    found = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    if found:
        return max(found, key=lambda path: int(Path(path).parents[1].name))
    inside = shutil.which(name)
    if inside is None:
        pytest.fail(f"PostgreSQL's {name} was not found: install the package 'postgresql' (scripts/test does).")
    return inside


class Server:
    """A running server. PostgreSQL refuses to run as root: then an unprivileged user owns it.

    Its cluster lies in a folder of its own outside of pytest's: those are 0700, and every other session makes them so again.
    """

    def __init__(self) -> None:
        folder = self.folder = Path(tempfile.mkdtemp(prefix="discreet-postgres-"))
        folder.chmod(0o755)
        self.user = _nobody() if os.getuid() == 0 else None
        data = folder / "data"
        data.mkdir(mode=0o700)
        if self.user is not None:
            shutil.chown(data, self.user, None)
        self.port = _free_port()
        self._run(
            "initdb",
            "--no-sync",
            "--pgdata",
            data,
            "--username=tester",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        )
        self.log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": ""}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.command = [program("postgres"), "-D", str(data), *flags]
        self.start()

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, user=self.user, cwd="/")
        self._wait()

    def stop(self) -> None:
        """Stop it at once, as a crash would, and wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)

    def close(self) -> None:
        """Stop it and remove what it kept."""
        self.stop()
        os.close(self.log)
        shutil.rmtree(self.folder)

    def _run(self, name: str, *arguments: object) -> None:
        command = [program(name), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, user=self.user, cwd="/")

    def _wait(self) -> None:
        import psycopg

        until = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:  # not yet
                if time.monotonic() > until or self.process.poll() is not None:
                    pytest.fail("PostgreSQL did not start:\n" + (self.folder / "log").read_text())
                time.sleep(0.05)
            else:
                return


def _nobody() -> str:
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_database(server: str) -> str:
    """Make an empty database on the server and return its URL."""
    import psycopg

    name = f"book_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return server.rpartition("/")[0] + "/" + name


def new_schema(server: str) -> str:
    """Make an empty schema on the server and return a URL that works inside of it; cheaper than a database."""
    import psycopg

    name = f"book_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{server}?options=-c%20search_path%3D{name}"


@contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """Yield the URL of the server that everybody with this folder shares; the last one out stops it."""
    note, lock = folder / "postgres.json", folder / "postgres.lock"
    server: Server | None = None

    def change(by: int) -> dict[str, object]:
        facts = json.loads(note.read_text())
        note.write_text(json.dumps(facts | {"users": facts["users"] + by}))
        return facts

    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not note.exists():
            server = Server()
            note.write_text(json.dumps({"url": server.url, "users": 0}))
        url = str(change(+1)["url"])
    try:
        yield url
    finally:
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            change(-1)
        while server is not None:  # who started it stops it, after the others
            with lock.open("w") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                if json.loads(note.read_text())["users"] == 0:
                    note.unlink()
                    break
            time.sleep(0.05)
        if server is not None:
            server.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """The URL of a PostgreSQL server on loopback that this session started."""
    own = tmp_path_factory.getbasetemp()
    with shared_server(own if worker_id == "master" else own.parent) as url:
        yield url


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database of its own."""
    return new_database(postgres_server)
