"""``make upgrade``: after new code has come into a clone, make an installation of it again, while nobody works there.

::

    stop the workers      SIGTERM: their jobs go back to the queue; what starts again meanwhile waits for the end
    make setup            packages
    manage.py upgrade     settings, a copy of the database, migrations, static files: all that needs Django
    gunicorn              hears SIGHUP and loads the new code; the workers go on

Every step may be broken off and the whole begun again. The mark tells workers that the code, the packages and the
database do not fit each other yet: it lies there from the first step to the last, is locked while somebody is at it,
and is empty as long as nothing was changed.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import environ
import psutil

ROOT = Path(__file__).resolve().parent.parent
MARK = Path(sys.prefix, ".upgrading")  # with the packages, as it is them that change
STOP_TIME = 30  # seconds that a worker has to put its job back; it takes ten of them at most
RETURN_TIME = 6  # seconds in which a service manager has started it again
BROKEN_OFF = "An upgrade of this installation was broken off, and no worker starts. Run `make upgrade` again."
SOMEBODY_ELSES = (
    "Another user upgrades this installation, or has broken that off, and no worker starts. "
    "Run `make upgrade` again as that user."
)
# What has to be the same for all that runs here, with the defaults. These may be secrets: only the folder is told.
WHERE = {"DATABASE_URL": "", "DJANGO_SECRET_KEY": "", "IMAGINEER_DATA_DIR": str(ROOT / "data")}


class UpgradeError(Exception):
    """A sentence for the user: what is in the way and what to do."""


# ---- The mark


def wait_for_upgrade() -> bool:
    """Called by whatever is about to work here. Waits while an upgrade lives; whether there was one.

    :raises UpgradeError: one was broken off, so nothing may be started.
    """
    try:
        mark = MARK.open()
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise UpgradeError(SOMEBODY_ELSES) from error
    with mark:
        fcntl.flock(mark, fcntl.LOCK_SH)
        if _has_changes(mark):
            raise UpgradeError(BROKEN_OFF)
    return True


def describe_upgrade() -> str:
    """A sentence while no worker can start here, else ""."""
    try:
        mark = MARK.open()
    except FileNotFoundError:
        return ""
    except PermissionError:
        return SOMEBODY_ELSES
    with mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return "An upgrade of this installation is under way; workers wait for its end."
        return BROKEN_OFF if _has_changes(mark) else ""


def _has_changes(mark: IO[str]) -> bool:
    """Whether the upgrade has changed something and has not come to its end, at which the file is no more."""
    status = os.fstat(mark.fileno())
    return status.st_nlink > 0 and status.st_size > 0


@contextmanager
def _alone() -> Iterator[IO[str]]:
    """Hold the mark, open for reading and writing.

    It stays behind unless the block ends well, or has not yet written into it: then nothing was changed.
    """
    end = time.monotonic() + 2  # a worker that starts looks at the lock for an instant
    while True:
        try:
            mark = MARK.open("a+")
        except OSError as error:
            raise UpgradeError(
                f"The mark of the upgrade, {MARK}, cannot be written ({error.strerror}). Run `make upgrade` as the "
                "user that this installation belongs to."
            ) from error
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(mark.fileno()).st_nlink:  # the upgrade before may have taken it away since
                break
        except BlockingIOError:
            if time.monotonic() > end:
                mark.close()
                raise UpgradeError("Another upgrade of this installation is under way.") from None
        mark.close()
        time.sleep(0.05)
    with mark:
        is_done = False
        try:
            yield mark
            is_done = True
        finally:
            mark.flush()
            if is_done or not _has_changes(mark):
                MARK.unlink()


# ---- What runs from this clone


@dataclass(frozen=True)
class Program:
    process: psutil.Process
    command: tuple[str, ...]  # ("work", "gpu"), ("gunicorn",)

    def __str__(self):
        return f"`{' '.join(self.command)}` (process {self.process.pid})"


def running_programs() -> list[Program]:
    """What runs from this clone, each by its topmost process, but for this one and those above it."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = {}
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if (ours := _read(line)) is None or process.pid in mine:
                continue
            folder, command = ours
            if process.status() != psutil.STATUS_ZOMBIE and _is_here(process, line, folder):
                found[process.pid] = Program(process, command), process.ppid()
        except psutil.Error:  # it has ended, or is a stranger's who hides it
            continue
    return [program for program, parent in found.values() if parent not in found]


def _read(line: list[str]) -> tuple[Path, tuple[str, ...]] | None:
    """What of ours a command line starts: the folder of the code as it is named there, and the command."""
    for number, word in enumerate(line[:4]):
        if word.endswith("manage.py") and "python" in Path(line[0]).name:
            return Path(word).parent, tuple(line[number + 1 :])
        if word.endswith("gunicorn") and any(part.startswith("imagineer.wsgi") for part in line):
            return Path(), ("gunicorn",)
    return None


def _is_here(process: psutil.Process, line: list[str], folder: Path) -> bool:
    """Whether it runs this clone's code. Where another user's program stands is hidden; its command line is not."""
    try:
        return Path(process.cwd(), folder).resolve() == ROOT
    except psutil.AccessDenied:
        return (folder.is_absolute() and folder.resolve() == ROOT) or Path(line[0]).is_relative_to(sys.prefix)


def _refuse_what_is_in_the_way(programs: list[Program]) -> None:
    ours = settings_of(os.environ)
    for program in programs:
        if program.command[:1] not in (("work",), ("runserver",), ("gunicorn",)):
            raise UpgradeError(f"{program} runs here. Wait for its end, or stop it; then try again.")
        try:
            theirs = settings_of(program.process.environ())
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise UpgradeError(
                f"{program} belongs to another user. Run `make upgrade` as that user."
            ) from error
        for name in (name for name in WHERE if ours[name] != theirs[name]):
            which = f": {theirs[name]}, here {ours[name]}" if name == "IMAGINEER_DATA_DIR" else ""
            raise UpgradeError(f"{program} has another {name} than this command{which}. Write it to .env.")


def settings_of(environment) -> dict[str, str]:
    """What a program of this clone that was started in this environment reads."""

    class File(environ.Env):
        ENVIRON = {}

    if (ROOT / ".env").is_file():
        File.read_env(ROOT / ".env")
    read = WHERE | File.ENVIRON | {name: value for name, value in environment.items() if value}
    return read | {"IMAGINEER_DATA_DIR": str(ROOT / Path(read["IMAGINEER_DATA_DIR"]).expanduser())}


def _stop(workers: list[Program]) -> None:
    for worker in workers:
        _signal(worker, signal.SIGTERM)
    hung = psutil.wait_procs([worker.process for worker in workers], timeout=STOP_TIME)[1]
    for worker in hung:  # a killed one loses nothing and takes its children along
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    psutil.wait_procs(hung, timeout=STOP_TIME)


def _signal(program: Program, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        program.process.send_signal(number)


# ---- The steps


def main(arguments: list[str]) -> int:
    again = "No worker starts until `make upgrade` has got through; it may be run again and again."
    try:
        upgrade(arguments)
        return 0
    except UpgradeError as problem:
        print(problem, file=sys.stderr)
    except subprocess.CalledProcessError as problem:
        print(f"The upgrade was broken off in `{' '.join(problem.cmd[1:])}`. {again}", file=sys.stderr)
    except KeyboardInterrupt:
        before_or_after = "Stopped, before the first change or after the last one; workers start."
        print(f"The upgrade was broken off. {again}" if MARK.exists() else before_or_after, file=sys.stderr)
    return 1


def upgrade(arguments: list[str]) -> None:
    """:param arguments: options for ``manage.py upgrade``."""
    with _alone() as mark:
        programs = running_programs()
        _refuse_what_is_in_the_way(programs)
        workers = [program for program in programs if program.command[0] == "work"]
        stopped = _remember(mark, workers)
        if workers:
            _say(f"Stopping {', '.join(map(str, workers))}; what they do goes back to the queue.")
        _stop(workers)
        _say("Installing packages, if others are needed.")
        subprocess.run([os.environ.get("MAKE", "make"), "-s", "setup"], cwd=ROOT, check=True)
        environment = settings_of(os.environ)
        debug = {} if environment.get("DJANGO_SECRET_KEY") else {"DJANGO_DEBUG": "1"}  # as `make run`
        command = [sys.executable, "manage.py", "upgrade", *arguments]
        subprocess.run(command, cwd=ROOT, check=True, env=debug | os.environ | {"PYTHONUNBUFFERED": "1"})
    for program in programs:
        if program.command[0] == "gunicorn":
            _say(f"Reloading {program}.")
            _signal(program, signal.SIGHUP)
    _say("This installation is up to date.")
    if stopped or programs:
        _say_what_to_start(stopped)
    else:
        _say("Nothing of it runs. Start it as you did before: `make demo`, or the services of docs/deploy.")


def _remember(mark: IO[str], workers: list[Program]) -> Counter[tuple[str, ...]]:
    """The commands that are stopped by now, with those that an upgrade stopped that was broken off.

    Written into the mark: the first change.
    """
    mark.seek(0)
    before = Counter(tuple(line.split()) for line in mark if not line.startswith("#"))
    stopped = before | Counter(worker.command for worker in workers)
    mark.write("# What was stopped for an upgrade; `make upgrade` tells what of it to start again.\n")
    mark.writelines(f"{' '.join(command)}\n" for command in (stopped - before).elements())
    mark.flush()
    return stopped


def _say_what_to_start(stopped: Counter[tuple[str, ...]]) -> None:
    """Whatever no service manager has started again."""
    end = time.monotonic() + RETURN_TIME
    missing = stopped
    with contextlib.suppress(KeyboardInterrupt):  # who does not want to wait is told of more than is missing
        while missing := stopped - Counter(program.command for program in running_programs()):
            if time.monotonic() > end:
                break
            time.sleep(0.2)
    for command in missing.elements():
        _say(f"Start it again: {sys.executable} manage.py {' '.join(command)}")


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
