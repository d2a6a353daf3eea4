"""`make upgrade` in a clone of its own, whose workers are at work."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from imagineer import upgrade
from imagineer.jobs import processes
from imagineer.jobs.models import Job, JobStatus, Worker
from tests.clusters import ROOT, the_database, wait_until, with_no_complaint
from tests.jobs_app.models import Result
from tests.jobs_app.tasks import submit_items

NEW_MIGRATION = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("jobs", "{before}")]
    operations = [migrations.RunSQL("CREATE TABLE of_the_new_release (id integer)")]
"""


class Clone:
    """An installation as `make setup` leaves one, but for its packages, which are those of the tests."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.programs = []
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
            if name and not name.startswith("docs/screenshots/") and (ROOT / name).exists():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, directory / name)
        venv = directory / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        paths = {"base": str(venv), "platbase": str(venv)}
        packages = Path(sysconfig.get_path("purelib", vars=paths))
        (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
        self.python = venv / "bin" / "python"
        for marker in (".torch", ".installed"):
            (venv / marker).touch()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(
                ("IMAGINEER_", "DJANGO_", "PYTEST_", "Q_CLUSTER", "REDIS_", "DATABASE_", "MAKE")
            )
        } | {
            "DJANGO_SETTINGS_MODULE": "tests.cluster_settings",
            "DJANGO_SECRET_KEY": settings.SECRET_KEY,
            "PYTHONWARNINGS": "ignore",
        }

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def release(self) -> None:
        """What `git pull` brings: a migration that this database has not seen."""
        folder = self.directory / "imagineer" / "jobs" / "migrations"
        before = max(path.stem for path in folder.glob("0*.py"))
        (folder / "9999_new.py").write_text(NEW_MIGRATION.format(before=before))

    def run(self, *command) -> subprocess.CompletedProcess:
        return subprocess.run(command, **self._options(), capture_output=True, text=True, timeout=240)

    def start(self, *command, stdout=None) -> subprocess.Popen:
        program = subprocess.Popen(
            command, **self._options(), stdout=stdout, start_new_session=True, text=True
        )
        self.programs.append(program)
        return program

    def _options(self) -> dict:
        return {"cwd": self.directory, "env": self.environment, "stdin": subprocess.DEVNULL}

    def keep_working(self, queue: str) -> subprocess.Popen:
        """A worker that is started again whenever it ends, as by a service manager."""
        loop = 'while true; do "$0" manage.py work "$1" >>"work-$1.log" 2>&1; sleep 0.2; done'
        return self.start("bash", "-c", loop, str(self.python), queue)

    def log(self, queue: str) -> str:
        return (self.directory / f"work-{queue}.log").read_text()

    def stop(self) -> None:
        for program in self.programs:
            below = psutil.Process(program.pid).children(recursive=True) if program.poll() is None else []
            for process in [program, *below]:
                with_no_complaint(process.kill)
            program.wait()


@pytest.fixture
def clone(tmp_path):
    clone = Clone(tmp_path / "clone")
    yield clone
    clone.stop()


def done(job: Job) -> int:
    return Result.objects.filter(item__job=job).count()


def assert_every_item_once(job: Job) -> None:
    def is_completed():
        job.refresh_from_db()
        return job.status == JobStatus.COMPLETED

    wait_until(is_completed, "the job is completed")
    results = Result.objects.filter(item__job=job).values_list("item__position", flat=True)
    assert sorted(results) == list(range(1, job.total + 1))
    assert (job.done, job.failed) == (job.total, 0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_upgrade_stops_the_workers_migrates_and_their_jobs_go_on(clone, django_db_blocker):
    first = clone.run("make", "upgrade")
    assert first.returncode == 0, first.stderr
    assert "Copying" not in first.stdout, "there was nothing to lose yet"
    with django_db_blocker.unblock(), the_database(f"sqlite:///{clone.data}/imagineer.sqlite3"):
        clone.keep_working("gpu")
        clone.start(clone.python, "manage.py", "work", "default")
        job = submit_items(60, kind="drawing", seconds=0.1)
        wait_until(lambda: done(job) > 3 and Worker.objects.count() == 2, "both are at work")
        clone.release()

        second = clone.run("make", "upgrade")
        assert second.returncode == 0, second.stderr
        assert "Stopping `work" in second.stdout
        assert "Migrating the database: 1 steps" in second.stdout
        assert f"Start it again: {clone.python} manage.py work default" in second.stdout
        assert "work gpu\n" not in second.stdout, "its manager has started it again"
        assert "of_the_new_release" in connection.introspection.table_names()
        assert "is killed" not in clone.log("gpu")
        assert_every_item_once(job)
        assert job.crashes == 0
        (backup,) = (clone.data / "backups").iterdir()
        assert backup.suffix == ".tar"

        third = clone.run("make", "upgrade")
        assert third.returncode == 0, third.stderr
        assert "The database needs no migration" in third.stdout
        assert list((clone.data / "backups").iterdir()) == [backup]
        assert_every_item_once(submit_items(2, kind="drawing"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_upgrade_that_is_killed_at_any_step_is_run_again_and_loses_nothing(clone, django_db_blocker):
    assert clone.run("make", "upgrade").returncode == 0
    with django_db_blocker.unblock(), the_database(f"sqlite:///{clone.data}/imagineer.sqlite3"):
        clone.keep_working("gpu")
        job = submit_items(300, kind="drawing", seconds=0.1)
        wait_until(lambda: done(job) > 3, "somebody works")
        clone.release()
        for step in ("Stopping", "Installing", "Copying", "Migrating"):
            program = clone.start("make", "upgrade", stdout=subprocess.PIPE)
            line = next(line for line in program.stdout if line.startswith((step, "make:")))
            assert line.startswith(step)
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        seen = clone.log("gpu").count("was broken off")
        wait_until(
            lambda: clone.log("gpu").count("was broken off") > seen, "a worker says why it does not start"
        )
        assert Worker.objects.count() == 0
        last = clone.run("make", "upgrade")
        assert last.returncode == 0, last.stderr
        assert not list((clone.data / "backups").glob(".part-*"))
        Job.objects.filter(pk=job.pk).update(params={})  # the rest without its pauses
        assert_every_item_once(job)
        assert job.crashes == 0


@pytest.fixture
def mark(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(upgrade, "MARK", tmp_path / "mark")
    return upgrade.MARK


@contextlib.contextmanager
def broken_off_after_its_first_change(*workers):
    with pytest.raises(ZeroDivisionError), upgrade._alone() as mark:
        yield upgrade._remember(mark, list(workers))
        raise ZeroDivisionError


def test_a_worker_waits_for_the_end_of_an_upgrade(mark):
    assert upgrade.wait_for_upgrade() is False
    ended = []
    with ThreadPoolExecutor(1) as pool:
        with upgrade._alone() as held:
            upgrade._remember(held, [])
            waiting = pool.submit(lambda: (upgrade.wait_for_upgrade(), list(ended)))
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            ended.append("the upgrade")
        assert waiting.result(timeout=60) == (True, ["the upgrade"])


def test_no_worker_starts_after_an_upgrade_that_broke_off_until_one_got_through(mark):
    with broken_off_after_its_first_change():
        pass
    with pytest.raises(upgrade.UpgradeError, match="was broken off"):
        upgrade.wait_for_upgrade()
    with upgrade._alone():
        pass
    assert upgrade.wait_for_upgrade() is False


def test_of_two_upgrades_at_once_one_is_told_of_the_other(mark):
    with upgrade._alone():
        with pytest.raises(upgrade.UpgradeError, match="Another upgrade of this"), upgrade._alone():
            pass
        assert mark.exists()
    assert not mark.exists()


@pytest.mark.parametrize(
    "error", [upgrade.UpgradeError("A backup runs here."), KeyboardInterrupt(), ValueError()]
)
def test_an_upgrade_that_changed_nothing_locks_nobody_out(mark, error):
    with pytest.raises(type(error)), upgrade._alone():
        raise error
    assert not mark.exists()
    mark.touch()  # as one that was killed at this point leaves it
    assert upgrade.describe_upgrade() == ""
    upgrade.wait_for_upgrade()


def test_what_an_earlier_upgrade_has_changed_is_not_forgotten_by_one_that_changes_nothing(mark):
    with broken_off_after_its_first_change():
        pass
    with pytest.raises(upgrade.UpgradeError), upgrade._alone():
        raise upgrade.UpgradeError("A backup runs here.")
    assert upgrade.describe_upgrade() == upgrade.BROKEN_OFF


def test_a_mark_of_another_user_is_told(mark, as_nobody):
    mark.parent.chmod(0o700)
    mark.write_text("work gpu\n")
    mark.chmod(0o600)
    with as_nobody():
        assert upgrade.describe_upgrade() == upgrade.SOMEBODY_ELSES
        with pytest.raises(upgrade.UpgradeError, match="as that user"):
            upgrade.wait_for_upgrade()
        with (
            pytest.raises(upgrade.UpgradeError, match=r"cannot be written .*Permission denied"),
            upgrade._alone(),
        ):
            pass


@pytest.mark.django_db
def test_health_and_doctor_tell_of_an_upgrade(mark, client, capsys):
    def told() -> list[str]:
        with contextlib.suppress(CommandError):
            call_command("doctor", "--json")
        checks = {check["name"]: check["message"] for check in json.loads(capsys.readouterr().out)["checks"]}
        return [
            checks["upgrade"],
            *(p for p in client.get("/api/health").json()["problems"] if "upgrade" in p),
        ]

    assert told() == ["fine"]
    with broken_off_after_its_first_change():
        under_way = told()
    assert under_way == 2 * ["An upgrade of this installation is under way; workers wait for its end."]
    assert told() == 2 * [upgrade.BROKEN_OFF]


def test_an_upgrade_that_is_run_again_knows_whom_the_first_has_stopped(mark, program):
    worker = upgrade.Program(psutil.Process(program("work", "gpu").pid), ("work", "gpu"))
    with broken_off_after_its_first_change(worker) as stopped:
        assert stopped == {("work", "gpu"): 1}
    with broken_off_after_its_first_change(worker) as stopped:
        assert stopped == {("work", "gpu"): 1}, "its manager had started it again"
    with upgrade._alone() as held:
        assert upgrade._remember(held, []) == {("work", "gpu"): 1}


@pytest.fixture
def program():
    """Something that looks like a program of this clone."""
    started = []

    def start(*command, script="manage.py", cwd=ROOT, body="input()", **environment):
        line = [sys.executable, "-c", f"print('here', flush=True); {body}", script, *command]
        process = subprocess.Popen(
            line, cwd=cwd, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def found(process: subprocess.Popen) -> list[upgrade.Program]:
    return [program for program in upgrade.running_programs() if program.process.pid == process.pid]


def test_a_program_is_found_by_where_its_code_lies_wherever_it_was_started(program, tmp_path):
    from_elsewhere = program("work", "gpu", script=f"{ROOT}/manage.py", cwd=tmp_path)
    from_below = program("work", "gpu", script="../manage.py", cwd=ROOT / "imagineer")
    served = program("imagineer.wsgi", script="gunicorn")
    of_another_clone = program("work", "gpu", cwd=tmp_path)
    for process in (from_elsewhere, from_below):
        assert [mine.command for mine in found(process)] == [("work", "gpu")]
    assert [mine.command for mine in found(served)] == [("gunicorn",)]
    assert found(of_another_clone) == []


def test_programs_of_others_that_hide_what_they_run_are_no_matter(program, monkeypatch):
    """As all of other users' do on macOS, or under Linux' hidepid."""
    mine = program("work", "gpu")
    read = psutil.Process.cmdline

    def cmdline(process):
        if process.pid != mine.pid:
            raise psutil.AccessDenied(process.pid)
        return read(process)

    monkeypatch.setattr(psutil.Process, "cmdline", cmdline)
    assert [str(theirs) for theirs in upgrade.running_programs()] == [f"`work gpu` (process {mine.pid})"]


def test_a_worker_of_another_user_is_named(program, tmp_path, as_nobody):
    process = program("work", "gpu", script=f"{ROOT}/manage.py", cwd=tmp_path)
    with as_nobody():
        with pytest.raises(psutil.AccessDenied):
            psutil.Process(process.pid).cwd()
        with pytest.raises(upgrade.UpgradeError, match=r"`work gpu` .* belongs to another user"):
            upgrade._refuse_what_is_in_the_way(found(process))


def test_a_worker_that_ends_while_it_is_looked_at_is_in_nobodys_way(program):
    process = program("work", "gpu")
    programs = found(process)
    process.kill()
    process.wait()
    upgrade._refuse_what_is_in_the_way(programs)
    upgrade._stop(programs)


def test_a_worker_that_does_not_stop_is_killed_and_gone(program, monkeypatch):
    monkeypatch.setattr(upgrade, "STOP_TIME", 0.5)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); input()"
    process = program("work", "gpu", body=deaf)
    process.stdout.readline()
    upgrade._stop(found(process))
    assert not psutil.pid_exists(process.pid)


def test_ctrl_c_when_all_is_done_ends_the_waiting_for_the_workers(mark, monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(upgrade.psutil, "process_iter", interrupt)
    upgrade._say_what_to_start(Counter({("work", "gpu"): 1}))
    assert f"Start it again: {sys.executable} manage.py work gpu" in capsys.readouterr().out
    assert upgrade.main([]) == 1
    assert "broken off" not in capsys.readouterr().err
    assert not mark.exists()


@pytest.mark.parametrize(
    ("command", "environment", "sentence"),
    [
        (["backup", "x.tar"], {}, "`backup x.tar` .* Wait for its end"),
        (
            ["work", "gpu"],
            {"IMAGINEER_DATA_DIR": "/srv/other"},
            "has another IMAGINEER_DATA_DIR .*: /srv/other, here",
        ),
        (
            ["work", "gpu"],
            {"DATABASE_URL": "postgres://u:secret@h/n"},
            "has another DATABASE_URL than this command. W",
        ),
        (
            ["work", "gpu"],
            {"DJANGO_SECRET_KEY": "a secret of its service"},
            "has another DJANGO_SECRET_KEY than this command. W",
        ),
    ],
)
def test_what_an_upgrade_would_break_is_named(program, command, environment, sentence):
    process = program(*command, **environment)
    with pytest.raises(upgrade.UpgradeError, match=sentence) as error:
        upgrade._refuse_what_is_in_the_way(found(process))
    assert "secret" not in str(error.value)


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError("no route"), InterfaceError("connection already closed")])
def test_an_upgrade_without_its_database_is_a_sentence(error):
    def away(*_):
        raise error

    with connection.execute_wrapper(away), pytest.raises(CommandError, match="Look at DATABASE_URL"):
        call_command("upgrade", stdout=io.StringIO(), stderr=io.StringIO())


@pytest.mark.django_db
def test_nothing_is_migrated_while_another_host_works_with_the_old_code():
    recorder = MigrationRecorder(connection)
    recorder.migration_qs.filter(app="templates_app").latest("id").delete()
    Worker.objects.create(host="elsewhere", queue="gpu", pid=1, boot="b", process_started=1)
    with pytest.raises(CommandError, match="`work gpu` on elsewhere is at work on it"):
        call_command("upgrade", stdout=io.StringIO(), stderr=io.StringIO())


@pytest.mark.django_db
def test_a_worker_of_this_host_that_was_just_killed_is_in_no_upgrades_way(tmp_path):
    recorder = MigrationRecorder(connection)
    newest = recorder.migration_qs.filter(app="templates_app").latest("id")
    newest.delete()
    with subprocess.Popen(["sleep", "600"]) as process:
        here = {"host": processes.host_name(), "boot": processes.boot_id(), "pid": process.pid}
        Worker.objects.create(queue="gpu", process_started=processes.start_time(process.pid), **here)
        with pytest.raises(CommandError, match="is at work on it"):
            call_command("upgrade", stdout=io.StringIO(), stderr=io.StringIO())
        process.kill()
    nowhere = tmp_path / "file" / "copy.tar"
    nowhere.parent.touch()
    with pytest.raises(CommandError, match="Without a copy nothing is migrated"):
        call_command("upgrade", backup=nowhere, stdout=io.StringIO(), stderr=io.StringIO())


def test_the_copies_from_before_the_latest_upgrades_are_kept(site):
    folder = site.directory / "backups"
    folder.mkdir()
    copies = [folder / f"upgrade-2025010{day}T000000.tar" for day in (1, 2, 3, 4)]
    mine = folder / "by-hand.tar"
    for path in [*copies, mine]:
        path.touch()
    recorder = MigrationRecorder(connection)
    recorder.migration_qs.filter(app="jobs", name="0002_log_index").delete()
    with connection.schema_editor() as editor:
        editor.remove_index(Job, next(index for index in Job._meta.indexes if index.name == "job_log"))
    upgraded = site.manage("upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    [new] = set(folder.iterdir()) - {*copies, mine}
    assert sorted(folder.iterdir()) == sorted([mine, *copies[2:], new])


def test_a_worker_does_not_start_on_a_database_of_another_release(site):
    recorder = MigrationRecorder(connection)
    recorder.migration_qs.filter(app="templates_app").latest("id").delete()
    cluster = site.start(wait=False)
    assert cluster.wait() == 1
    assert "1 migrations wait. Run `make upgrade`" in cluster.log
