import json

from django.core.management.base import BaseCommand
from tqdm import tqdm

from gallery.models import Image
from gallery.renditions import expected, rebuild
from gallery.storage import is_whole


class Command(BaseCommand):
    help = "Make the smaller copies of pictures that lack them, from the stored originals."

    def add_arguments(self, parser):
        parser.add_argument("--all", action="store_true", help="Make all of them again.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, **options):
        made, failed = 0, []
        images = Image.objects.only("id", "sha256", "file", "file_size", "width", "height").order_by("pk")
        for image in tqdm(images.iterator(500), total=images.count(), unit="picture", disable=None):
            specs = expected(image.width, image.height)
            try:
                if not options["all"]:
                    specs = [spec for spec in specs if not is_whole(spec.key(image.sha256))]
                if not specs:
                    continue
                rebuild(image, specs)
            except Exception as error:  # noqa: BLE001  one broken original must not stop the others
                failed.append({"id": image.pk, "reason": f"{type(error).__name__}: {error}"})
            else:
                made += 1
        self.report(made, failed, options["json"])
        if failed:
            self.stderr.write(f"{len(failed)} pictures could not be read.")
            raise SystemExit(1)

    def report(self, made, failed, as_json):
        if as_json:
            self.stdout.write(json.dumps({"made": made, "failed": failed}))
            return
        for failure in failed:
            self.stdout.write(f"picture {failure['id']}: {failure['reason']}")
        self.stdout.write(f"{made} pictures have new smaller copies.")
