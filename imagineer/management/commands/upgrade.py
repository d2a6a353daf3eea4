from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.utils import timezone

from gallery.models import Image
from imagineer.backup import PART, BackupError, make_backup
from imagineer.jobs import workers
from imagineer.jobs.models import Worker


class Command(BaseCommand):
    requires_system_checks = []  # they are its first step
    help = (
        "Bring the library to this release: look at the settings, copy the database if it is going to change, migrate it, "
        "collect static files. `make upgrade` stops the workers before and installs packages."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--backup",
            type=Path,
            metavar="FILE",
            help="where to copy the database to before it is migrated; default: backups/ in the data directory",
        )
        parser.add_argument("--no-backup", action="store_true", help="you have one already")

    def handle(self, *args, backup, no_backup, **options):
        call_command("check", deploy=not settings.DEBUG, stdout=self.stdout, stderr=self.stderr)
        try:
            waiting = workers.waiting_migrations()
        except DatabaseError as error:
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
        since = timezone.now() - timedelta(seconds=3 * workers.PULSE)
        try:
            # columns of the release before: only what has been there from the first
            rows = list(Worker.objects.seen_since(since).values_list("queue", "host").order_by("host"))
        except DatabaseError:
            return  # no tables yet
        if rows:
            who = ", ".join(f"`work {queue}` on {host}" for queue, host in rows)
            raise CommandError(
                f"The database has to be migrated, and {who} is at work on it. Stop what works there "
                "(its jobs go back to the queue), upgrade it too, and then try again."
            )

    def _copy_database(self, path: Path | None) -> None:
        moment = datetime.now(UTC)
        if path is None:
            folder = Path(settings.DATA_DIR) / "backups"
            for broken_off in folder.glob(f"{PART}upgrade-*"):
                broken_off.unlink()
            path = folder / f"upgrade-{moment:%Y%m%dT%H%M%S}.tar"
        self.stdout.write(f"Copying the database to {path}.")
        try:
            report = make_backup(path, is_listing_only=True)
        except BackupError as error:
            raise CommandError(
                f"{error} Without a copy nothing is migrated; --no-backup if you have one."
            ) from error
        if not report.is_whole:
            self.stderr.write(f"{len(report.lost)} pictures have lost their files. The upgrade goes on.")
