import json

from django.core.management.base import BaseCommand

from imagineer.jobs.reaper import tick


class Command(BaseCommand):
    help = "Put stranded work right once, as every cluster does each minute: dead workers, lost doorbells, old files."

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, **options):
        report = tick()
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            lines = [f"{name}: {count}" for name, count in report.items()]
            self.stdout.write("\n".join(lines) or "Nothing was stranded.")
