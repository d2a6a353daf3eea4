from templates_app import ordering
from templates_app.management.run_command import RunCommand


class Command(RunCommand):
    help = "Draw one prompt."

    def add_arguments(self, parser):
        parser.add_argument("prompt")
        parser.add_argument(
            "--album", default="", metavar="NAME", help="name of its album; the prompt if not given"
        )
        super().add_arguments(parser)

    def start(self, options):
        return ordering.start_single(
            options["prompt"], album_name=options["album"], **self.run_options(options)
        )

    def as_json(self, run, images):
        first = images[0] if images else {"id": None, "sha256": None}
        return {
            "job_id": run.pk,
            "status": run.job.status,
            "image_id": first["id"],
            "sha256": first["sha256"],
            "images": images,
        }
