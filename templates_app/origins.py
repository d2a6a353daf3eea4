"""What the library asks about pictures and albums that were drawn here (gallery.origins)."""

from gallery.models import SourceType
from gallery.origins import Origin, register_origin
from templates_app.models import BatchGenerationRun


class GenerationOrigin:
    def describe(self, source_ids, viewer) -> dict[int, Origin]:
        """The template's name, or that it was a single picture, with a link to the run's page."""
        runs = BatchGenerationRun.objects.filter(pk__in=source_ids)
        names = runs.values_list("pk", "template_version__template__name")
        return {pk: Origin(name=name or "Single picture", url=f"/runs/{pk}") for pk, name in names}

    def steps(self, image) -> list[dict]:
        run = BatchGenerationRun.objects.for_lists().filter(pk=image.source_id).first()
        if run is None:
            return []
        version = run.template_version
        return [
            {"kind": "run", "id": run.pk, "url": run.get_absolute_url(), "theme": run.user_theme},
            *(
                [{"kind": "template", "id": version.template_id, "version": version.number}]
                if version
                else []
            ),
        ]

    def dependents(self, image) -> list[Origin]:
        return []


def register():
    register_origin(SourceType.BATCH_GENERATION, GenerationOrigin())
