"""What the library asks about pictures and albums that were drawn here (gallery.origins)."""

from django.db.models import Case, CharField, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from gallery.models import SourceType
from gallery.origins import Origin, register_action, register_origin, register_release
from templates_app.limits import MAX_VARIANTS
from templates_app.models import BatchGenerationRun, RunItem


class GenerationOrigin:
    def describe(self, source_ids, viewer) -> dict[int, Origin]:
        """The template's name, or that it was a single picture, with a link to the run's page; no name of a run whose
        texts are not for the viewer. To admins, the step of a session that it was."""
        runs = BatchGenerationRun.objects.filter(pk__in=source_ids)
        told = runs.told_to(viewer).values("pk")
        rows = runs.annotate(
            origin_name=Case(
                When(~Q(pk__in=told), then=Value("A run")),
                default=Coalesce("template_version__template__name", Value("Single picture")),
                output_field=CharField(),
            )
        ).values_list("pk", "origin_name", "session_step__session", "session_step__position")
        return {
            pk: Origin(name=f"Step {position} of a session", url=f"/sessions/{session}?step={position}")
            if session and viewer.is_admin
            else Origin(name=name, url=f"/runs/{pk}")
            for pk, name, session, position in rows
        }

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

    def pictures(self, images, source_id: int):
        """The run's and those of its re-rolls in row order, whatever was saved first."""
        rerolls = BatchGenerationRun.objects.filter(parent=source_id).values("pk")
        slot = F("run_item__position") * (MAX_VARIANTS + 1) + F("run_item__variant")
        images = images.filter(Q(source_id=source_id) | Q(source_id__in=rerolls))
        return images.annotate(slot=Coalesce(slot, 0))

    def dependents(self, image) -> list[Origin]:
        return []


def offer_refinement(image, viewer) -> Origin | None:
    if viewer.is_admin and not image.is_gone:
        return Origin(name="Refine …", url=f"/sessions/new?source={image.pk}")
    return None


def offer_redrawing(image, viewer) -> Origin | None:
    if viewer.is_admin and image.prompt and not image.is_gone:
        return Origin(name="Draw again …", url=f"/generate?image={image.pk}")
    return None


def let_go(image_ids: list[int]) -> None:
    """Items of deleted pictures stay completed, so that no retry draws them again."""
    RunItem.objects.filter(image__in=image_ids).update(image=None, purged_at=timezone.now())
    RunItem.objects.filter(chosen_image__in=image_ids).update(chosen_image=None)


def register():
    register_origin(SourceType.BATCH_GENERATION, GenerationOrigin())
    register_action(offer_refinement)
    register_action(offer_redrawing)
    register_release(let_go)
