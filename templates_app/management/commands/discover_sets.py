import json

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from templates_app.sets_folder import UNREADABLE, find_sets, sets_folder, take_in


class Command(BaseCommand):
    help = (
        "Take the sets of the data directory's sets folder into the library: each CSV file, with the TOML beside it. "
        "What is there as it is stays; what was edited here is only covered with --overwrite."
    )

    def add_arguments(self, parser):
        parser.add_argument("--dry-run", action="store_true", help="say what is there, and change nothing")
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="also where a template was edited here or has the name of a file: as its next version",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, **options):
        answer = {"found": 0, "added": [], "updated": [], "unchanged": [], "left": [], "unreadable": {}}
        for found in find_sets():
            answer["found"] += 1
            self._settle(found, answer, options)
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        else:
            self._tell(answer, options)
        if answer["unreadable"]:
            raise CommandError(f"{len(answer['unreadable'])} of them cannot be read.")

    def _settle(self, found, answer, options):
        if found.is_wanted or (options["overwrite"] and found.may_be_taken):
            kind = "updated" if found.template else "added"
            try:
                if not options["dry_run"]:
                    take_in(found)
                answer[kind].append(found.name)
                return
            except ValidationError as error:
                found.state, found.problems = UNREADABLE, error.messages
        if found.state == UNREADABLE:
            answer["unreadable"][found.file] = found.problems
        else:
            answer["left" if found.may_be_taken else "unchanged"].append(found.name)

    def _tell(self, answer, options):
        if not answer["found"]:
            self.stdout.write(f"There is no CSV file in {sets_folder()}.")
        would = "Would be " if options["dry_run"] else ""
        for kind in ("added", "updated", "unchanged"):
            for name in answer[kind]:
                self.stdout.write(f"{f'{would}{kind}'.capitalize()}: {name}")
        for name in answer["left"]:
            self.stdout.write(
                f"Left as it is: {name}, which was edited here or came from elsewhere (--overwrite)."
            )
        for file, problems in answer["unreadable"].items():
            for problem in problems[:5]:
                self.stderr.write(f"{file}: {problem}")
