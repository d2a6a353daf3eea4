"""Real clusters as subprocesses, on a database of their own, with leases of seconds; and ways to hurt them.

``site`` gives a ``Site`` whose database is also the test process's own for the time of the test, so that services
and QuerySets are called as anywhere else. It stops what it started, and fails a test that leaves a process behind.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection, connections

ROOT = Path(__file__).resolve().parent.parent
POSTGRES = os.environ.get("IMAGINEER_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/postgres")
MARK = "IMAGINEER_TEST_SITE"  # an environment variable that every process of a site can be found by


def do_without(service: str) -> None:
    """Skip the test by name of the service it lacks; where all services must answer, as in CI, fail it."""
    if os.environ.get("IMAGINEER_TEST_SERVICES") == "required":
        pytest.fail(service)
    pytest.skip(service)


def wait_until(condition, what: str, *, timeout: float = 90):
    """The first true value of ``condition()``. The timeout only ends a hang; it is no promise."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {timeout} s in vain until {what}"
        time.sleep(0.05)
    return value


class Cluster:
    """One ``manage.py work``, leader of its own process group."""

    def __init__(self, site: "Site", queue: str, environment: dict):
        self.site, self.queue = site, queue
        self.log_path = site.directory / f"work-{queue}-{uuid.uuid4().hex[:6]}.log"
        with self.log_path.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "manage.py", "work", queue],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.worker_count = 1 if queue == "gpu" else 2
        self.main = psutil.Process(self.popen.pid)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_until_ready(self) -> "Cluster":
        def is_ready():
            assert self.popen.poll() is None, f"the cluster ended early:\n{self.log}"
            return " working " in self.log and len(self._parts()) == self.worker_count + 2

        wait_until(is_ready, "the cluster is up")
        return self

    @property
    def sentinel(self) -> psutil.Process:
        return self.main.children()[0]

    def _parts(self) -> list[psutil.Process]:
        """Workers, monitor and pusher, in the order in which the sentinel forks them."""
        children = self.main.children()
        parts = children[0].children() if children else []
        return sorted(parts, key=lambda process: (process.create_time(), process.pid))

    @property
    def workers(self) -> list[psutil.Process]:
        return self._parts()[: self.worker_count]

    @property
    def monitor(self) -> psutil.Process:
        return self._parts()[self.worker_count]

    @property
    def pusher(self) -> psutil.Process:
        return self._parts()[self.worker_count + 1]

    def processes(self) -> list[psutil.Process]:
        return [self.main, *self.main.children(recursive=True)]

    def wait(self, timeout: float = 60) -> int:
        """The exit status."""
        return self.popen.wait(timeout)

    def terminate(self) -> int:
        self.popen.terminate()
        return self.wait()


class Site:
    """A database, a data directory, and the clusters that work on them."""

    def __init__(self, directory: Path, database_url: str, *, lease: int, redis_url: str = ""):
        self.directory, self.lease = directory, lease
        self.mark = uuid.uuid4().hex
        self.clusters: list[Cluster] = []
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("IMAGINEER_", "DJANGO_", "PYTEST_", "Q_CLUSTER", "REDIS_"))
        } | {
            "DJANGO_SETTINGS_MODULE": "tests.cluster_settings",
            "DJANGO_SECRET_KEY": django_settings.SECRET_KEY,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "IMAGINEER_DATA_DIR": str(directory),
            "IMAGINEER_JOB_LEASE": str(lease),
            "IMAGINEER_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            MARK: self.mark,
        }

    def start(self, queue: str = "default", *, wait: bool = True, **environment) -> Cluster:
        cluster = Cluster(self, queue, self.environment | environment)
        self.clusters.append(cluster)
        return cluster.wait_until_ready() if wait else cluster

    def manage(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to this site, whoever its parent is by now."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        """Kill what is left, frozen processes too."""
        for process in self.processes():
            with_no_complaint(process.kill)
        for cluster in self.clusters:
            cluster.wait()
        wait_until(lambda: not self.processes(), "everything that was killed is gone")

    @property
    def logs(self) -> str:
        return "\n".join(f"== {cluster.log_path.name}\n{cluster.log}" for cluster in self.clusters)


def with_no_complaint(action) -> None:
    """For what may already be gone."""
    try:
        action()
    except (psutil.NoSuchProcess, ProcessLookupError):
        return


def kill_group(cluster: Cluster, number: int) -> None:
    """Signal the whole process group, as service managers and terminals do."""
    os.killpg(cluster.popen.pid, number)


def freeze(process: psutil.Process) -> None:
    process.send_signal(signal.SIGSTOP)


def thaw(process: psutil.Process) -> None:
    process.send_signal(signal.SIGCONT)


# ---- Databases


@contextmanager
def the_database(url: str):
    """Make a database the test process's own."""
    import environ
    from django.contrib.contenttypes.models import ContentType

    before = connections.settings["default"]
    config = {**before, **environ.Env.db_url_config(url), "TEST": before["TEST"]}
    # those of the tests' own database may be another kind's
    config["OPTIONS"] = django_settings.SQLITE_OPTIONS if url.startswith("sqlite") else {}
    connection.close()
    old = connections["default"]
    connections.settings["default"] = config
    del connections["default"]
    ContentType.objects.clear_cache()  # their ids are the other database's
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = before
        connections["default"] = old
        ContentType.objects.clear_cache()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("migrated")
    path = directory / "template.sqlite3"
    _migrate(Site(directory, f"sqlite:///{path}", lease=9))
    return path


@pytest.fixture(scope="session")
def postgres():
    """``query(sql)`` on the server, or the reason why there is none, as a skip."""
    import psycopg

    try:
        server = psycopg.connect(POSTGRES, connect_timeout=3, autocommit=True)
    except psycopg.OperationalError as error:
        do_without(f"PostgreSQL does not answer at {POSTGRES}: {error}")
    yield server.execute
    server.close()


@pytest.fixture(scope="session")
def migrated_postgres(postgres, tmp_path_factory):
    name = f"imagineer_test_{uuid.uuid4().hex[:8]}"
    postgres(f'CREATE DATABASE "{name}"')
    try:
        _migrate(Site(tmp_path_factory.mktemp("migrated"), _postgres_url(name), lease=9))
        yield name
    finally:
        postgres(f'DROP DATABASE "{name}" WITH (FORCE)')


def _postgres_url(name: str) -> str:
    return POSTGRES.rpartition("/")[0] + f"/{name}"


def _migrate(site: Site) -> None:
    result = site.manage("migrate", "--verbosity=0")
    assert result.returncode == 0, result.stderr


class RedisServer:
    """A Redis that keeps nothing on disk, on a port of its own."""

    def __init__(self, program: str, directory: Path):
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.command = [
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(directory),
        ]
        self.client = redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        self.popen = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "Redis answers")

    def stop(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def freeze(self) -> None:
        self.popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.popen.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False


class PostgresServer:
    """A PostgreSQL on a port of its own, which may be stopped; ``remove()`` it in the end."""

    def __init__(self, programs: Path):
        self.programs, self.port = programs, free_port()
        self.data = Path(tempfile.mkdtemp(prefix="imagineer-postgres-"))
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self.as_user = []
        if os.geteuid() == 0:  # it refuses to run as root
            self.as_user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(self.data, "postgres")
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data} -F"
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.data / "log", "-o", options, "start")

    def stop(self) -> None:
        """As a crash, without a word to its clients."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.data)

    def _run(self, program: str, *arguments) -> None:
        command = [*self.as_user, str(self.programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def postgres_programs() -> Path | None:
    """Where initdb and pg_ctl lie, which Debian keeps out of the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = folders[0] if folders else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def redis_server(tmp_path):
    program = shutil.which("redis-server")
    if not program:
        do_without("redis-server is not installed")
    server = RedisServer(program, tmp_path)
    yield server
    server.stop()


@pytest.fixture
def site_on(request, tmp_path, settings, monkeypatch, django_db_blocker):
    """``site_on("sqlite" | "postgresql" | "redis")`` makes the site (Redis: as broker beside SQLite)."""
    undo = []

    def make(kind: str, *, lease: int = 3) -> Site:
        redis_url = ""
        if kind == "postgresql":
            template, postgres = (
                request.getfixturevalue("migrated_postgres"),
                request.getfixturevalue("postgres"),
            )
            name = f"{template}_{uuid.uuid4().hex[:6]}"
            postgres(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            undo.append(lambda: postgres(f'DROP DATABASE "{name}" WITH (FORCE)'))
            url = _postgres_url(name)
        else:
            path = tmp_path / "site.sqlite3"
            shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
            url = f"sqlite:///{path}"
        if kind == "redis":
            from django_q.conf import Conf

            redis_url = request.getfixturevalue("redis_server").url
            monkeypatch.setattr(Conf, "ORM", None)
            monkeypatch.setattr(Conf, "REDIS", redis_url)
        site = Site(tmp_path, url, lease=lease, redis_url=redis_url)
        settings.JOB_LEASE = lease
        settings.DATA_DIR = tmp_path
        for context in (django_db_blocker.unblock(), the_database(url)):
            context.__enter__()
            undo.append(lambda context=context: context.__exit__(None, None, None))
        undo.append(site.stop)
        request.node.site = site
        return site

    yield make
    for action in reversed(undo):
        action()


@pytest.fixture
def site(site_on) -> Site:
    return site_on("sqlite")
