import json
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from imagineer.backup import BackupError, Report


class BackupCommand(BaseCommand, ABC):
    """What `backup` and `restore` have in common: a path, a bar, and a report as words or JSON."""

    path_help = ""

    @abstractmethod
    def act(self, path: Path, *, on_file) -> Report: ...

    @abstractmethod
    def describe(self, report: Report) -> str: ...

    @abstractmethod
    def complain(self, report: Report) -> str:
        """The one-line reason where the report is not whole."""

    def add_arguments(self, parser):
        parser.add_argument("path", type=Path, metavar="FILE", help=self.path_help)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, path, **options):
        with tqdm(desc="Files", unit="", disable=True if options["json"] else None) as bar:

            def on_file(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                report = self.act(path, on_file=on_file)
            except BackupError as error:
                raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(asdict(report)) if options["json"] else self.describe(report))
        if not report.is_whole:
            raise CommandError(self.complain(report))
