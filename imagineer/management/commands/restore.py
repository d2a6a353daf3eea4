import json
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from imagineer.backup import BackupError
from imagineer.restore import restore_backup


class Command(BaseCommand):
    requires_migrations_checks = False
    help = (
        "Put a backup into an empty library: every file is checked first, then the database is put in place."
    )

    def add_arguments(self, parser):
        parser.add_argument("path", type=Path, metavar="FILE", help="what `manage.py backup` has written")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, path, **options):
        with tqdm(desc="Files", unit="", disable=True if options["json"] else None) as bar:

            def on_file(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                report = restore_backup(path, on_file=on_file)
            except BackupError as error:
                raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            self.stdout.write(
                f"Restored from {path}: the database and {report.files:,} files, each as it was. Small pictures are "
                "made again when they are asked for. Sign in again; sessions are not kept."
            )
        if not report.is_whole:
            raise CommandError(
                f"{len(report.lost) + len(report.damaged)} files were lost or damaged before the backup was made."
            )
