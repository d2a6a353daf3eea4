from django.core.management.base import CommandError

from templates_app import ordering
from templates_app.management.run_command import RunCommand
from templates_app.models import BatchTemplate


class Command(RunCommand):
    help = "Draw a batch template's rows into an album of their own."

    def add_arguments(self, parser):
        parser.add_argument("template", help="id or name")
        parser.add_argument("--album", required=True, metavar="NAME")
        parser.add_argument("--theme", required=True, metavar="TEXT")
        parser.add_argument("--rows", default="", help="such as 1,17-20; all rows if not given")
        super().add_arguments(parser)

    def start(self, options):
        wanted = options["template"]
        templates = BatchTemplate.objects.select_related("current")
        template = templates.filter(name=wanted).first()
        if template is None and wanted.isascii() and wanted.isdigit():
            template = templates.filter(pk=wanted).first()
        if template is None:
            known = (
                ", ".join(templates.values_list("name", flat=True)) or "none; run `manage.py seed_templates`"
            )
            raise CommandError(f"There is no template {wanted!r}. Known: {known}.")
        return ordering.start_run(
            template,
            album_name=options["album"],
            user_theme=options["theme"],
            row_selection=options["rows"],
            **self.run_options(options),
        )

    def as_json(self, run, images):
        return {
            "run_id": run.pk,
            "status": run.job.status,
            "total": run.job.total,
            "completed": run.job.done,
            "failed": run.job.failed,
            "album_id": run.album_id,
            "images": images,
        }
