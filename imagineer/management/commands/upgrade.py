from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection

from gallery.models import Image
from imagineer.backup import PART, BackupError, make_backup
from imagineer.jobs import workers
from imagineer.jobs.models import Worker

COPIES_KEPT = 3  # of the database, from before the latest upgrades that migrated it


class Command(BaseCommand):
    requires_system_checks = []  # they are its first step
    help = (
        "Bring the library to this release: look at the settings, copy the database if it is going to change, migrate "
        "it, collect static files. `make upgrade` stops the workers before and installs packages."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--backup",
            type=Path,
            metavar="FILE",
            help="where to copy the database to before it is migrated; default: backups/ in the data directory, which "
            "keeps the newest three",
        )
        parser.add_argument("--no-backup", action="store_true", help="you have one already")

    def handle(self, *args, backup, no_backup, **options):
        call_command("check", deploy=not settings.DEBUG, stdout=self.stdout, stderr=self.stderr)
        try:
            waiting = workers.waiting_migrations()
        except Error as error:
            raise CommandError(f"The database does not answer ({error}). Look at DATABASE_URL.") from error
        if waiting:
            self._refuse_while_others_work()
            if not no_backup and Image._meta.db_table in connection.introspection.table_names():
                self._copy_database(backup)
            self.stdout.write(f"Migrating the database: {len(waiting)} steps.")
            call_command("migrate", interactive=False, verbosity=0)
        else:
            self.stdout.write("The database needs no migration.")
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        call_command("seed_templates", verbosity=0, stdout=self.stdout)

    def _refuse_while_others_work(self) -> None:
        since = workers.silent_since()
        # columns of the release before: only what has been there from the first
        columns = ("queue", "host", "boot", "pid", "process_started", "seen_at")
        try:
            seen = list(Worker.objects.seen_since(since).only(*columns).order_by("host"))
        except Error:
            return  # no tables yet
        living = [worker for worker in seen if not worker.is_gone(silent_since=since)]
        if living:
            who = ", ".join(f"`work {worker.queue}` on {worker.host}" for worker in living)
            raise CommandError(
                f"The database has to be migrated, and {who} is at work on it. Stop what works there "
                "(its jobs go back to the queue), upgrade it too, and then try again."
            )

    def _copy_database(self, path: Path | None) -> None:
        is_ours = path is None
        if is_ours:
            folder = Path(settings.DATA_DIR) / "backups"
            for broken_off in folder.glob(f"{PART}upgrade-*"):
                broken_off.unlink()
            path = folder / f"upgrade-{datetime.now(UTC):%Y%m%dT%H%M%S}.tar"
        self.stdout.write(f"Copying the database to {path}.")
        try:
            report = make_backup(path, is_listing_only=True)
        except BackupError as error:
            raise CommandError(
                f"{error} Without a copy nothing is migrated; --no-backup if you have one."
            ) from error
        if not report.is_whole:
            self.stderr.write(
                f"{len(report.lost)} files are lost and {len(report.damaged)} damaged: `manage.py find_orphans` names "
                "them. The upgrade goes on."
            )
        if is_ours:
            for older in sorted(path.parent.glob("upgrade-*.tar"))[:-COPIES_KEPT]:
                older.unlink()
