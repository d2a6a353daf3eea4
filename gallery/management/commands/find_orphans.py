import json

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from gallery.orphans import SHARDS, are_pictures_here, find_lost_loras, find_orphans, is_held, sweep


class Command(BaseCommand):
    help = "Find files without a row (older than an hour), and rows whose file is lost or damaged."

    def add_arguments(self, parser):
        parser.add_argument("--fix", action="store_true", help="Delete the files that have no row.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, **options):
        fix = options["fix"]
        look = sweep if fix else find_orphans
        without_row, without_file, damaged = [], [], []
        try:
            if fix:
                self.refuse_to_fix()
            without_file += find_lost_loras()
            for shard in tqdm(SHARDS, desc="Looking", unit="shard", leave=False, disable=None):
                found = look([shard])
                without_row += found.without_row
                without_file += found.without_file
                damaged += found.damaged
        except OSError as error:
            raise CommandError(
                f"{error.strerror or error}. Is its disk mounted, or does its bucket answer? Until then nothing counts "
                "as lost."
            ) from error
        self.report(without_row, without_file, damaged, fix, options["json"])
        if without_file or damaged:
            self.stderr.write(
                f"{len(without_file)} rows have lost their file, and the files of {len(damaged)} are damaged. Restore "
                "them from a backup, or upload the pictures again."
            )
            raise SystemExit(1)

    def refuse_to_fix(self):
        if is_held():
            raise CommandError(
                "A backup or a restore is copying files; nothing is deleted until it has ended."
            )
        if not are_pictures_here():
            raise CommandError(
                "The pictures of this database do not lie here, so these files may be another library's: nothing was "
                "deleted. Look at DATABASE_URL and IMAGINEER_DATA_DIR; without --fix this names the files."
            )

    def report(self, without_row, without_file, damaged, fix, as_json):
        if as_json:
            found = {"without_row": without_row, "deleted": len(without_row) if fix else 0}
            self.stdout.write(json.dumps(found | {"without_file": without_file, "damaged": damaged}))
            return
        for key in without_row:
            self.stdout.write(f"{'deleted' if fix else 'without a row'}: {key}")
        for key in without_file:
            self.stdout.write(f"lost: {key}")
        for key in damaged:
            self.stdout.write(f"damaged: {key}")
        if not without_row and not without_file and not damaged:
            self.stdout.write("Every file has its row, and every row its file.")
