import json
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from imagineer.backup import BackupError, make_backup


class Command(BaseCommand):
    help = (
        "Copy the database and the originals to a folder (again into the same one: only what is new is copied) or to "
        "one .tar file. Workers may go on meanwhile. Settings and models are not in it; keep .env elsewhere."
    )

    def add_arguments(self, parser):
        parser.add_argument("path", type=Path, metavar="FILE", help="a folder, or a name that ends in .tar")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, path, **options):
        with tqdm(desc="Files", unit="", disable=True if options["json"] else None) as bar:

            def on_file(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                report = make_backup(path, on_file=on_file)
            except BackupError as error:
                raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            how = "are in the bucket and were only looked at" if report.is_listing_only else "are in it"
            self.stdout.write(
                f"Backup written to {path}: the database, and {report.files:,} files ({report.size / 2**20:,.0f} MiB) "
                f"{how}; {report.copied:,} are new."
            )
        if not report.is_whole:
            first = (report.lost + report.damaged)[0]
            raise CommandError(
                f"{len(report.lost)} files are lost and {len(report.damaged)} damaged in the library itself, the first "
                f"is {first}. The backup holds everything else; bring these back from an earlier one."
            )
