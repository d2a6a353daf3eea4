"""What the library asks about pictures and albums that were drawn here (gallery.origins)."""

from django.db.models import Case, CharField, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from gallery.models import SourceType
from gallery.origins import Origin, Step, register_action, register_origin, register_release
from templates_app.limits import MAX_VARIANTS
from templates_app.models import BatchGenerationRun, BatchTemplate, GenerationStep, RunItem

MAX_DEPENDENTS = 24


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

    def steps(self, image, viewer) -> list[Step]:
        """The run with the place in it, then the version of the template with the row."""
        runs = BatchGenerationRun.objects.for_lists().select_related(
            "parent__job", "template_version__template"
        )
        run = runs.filter(pk=image.source_id).first()
        if run is None:
            return []
        # what a re-roll drew stands in the album of the run that it was drawn again for
        if not (run.parent or run).tells_texts_to(viewer):
            return [Step("run", "A run", url=run.get_absolute_url(), is_redacted=True)]
        item = RunItem.objects.filter(image=image).first()
        ordered_at = run.job.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        facts = {"id": run.pk, "theme": run.user_theme, "ordered_at": ordered_at}
        if item:
            facts |= {"position": item.position, "variant": item.variant}
        steps = [Step("run", run.album_name, url=run.get_absolute_url(), facts=_said(facts))]
        if run.parent_id:
            steps.append(Step("parent", f"Drawn again for run {run.parent_id}", url=f"/runs/{run.parent_id}"))
        if viewer.is_admin and (step := GenerationStep.objects.filter(run=run).first()):
            url = f"/sessions/{step.session_id}?step={step.position}"
            steps.append(Step("session", f"Step {step.position} of a session", url=url))
        return steps + _template(run.template_version, item, viewer)

    def pictures(self, images, source_id: int):
        """The run's and those of its re-rolls in row order, whatever was saved first."""
        rerolls = BatchGenerationRun.objects.filter(parent=source_id).values("pk")
        slot = F("run_item__position") * (MAX_VARIANTS + 1) + F("run_item__variant")
        images = images.filter(Q(source_id=source_id) | Q(source_id__in=rerolls))
        return images.annotate(slot=Coalesce(slot, 0))

    def dependents(self, image, viewer) -> list[Origin]:
        """Runs that started from it."""
        runs = BatchGenerationRun.objects.listed().told_to(viewer).filter(reference_image=image)
        named = runs.order_by("-pk").values_list("pk", "album_name")[:MAX_DEPENDENTS]
        return [Origin(name=name, url=f"/runs/{pk}") for pk, name in named]


def _template(version, item: RunItem | None, viewer) -> list[Step]:
    if version is None:
        return []
    if not BatchTemplate.objects.visible_to(viewer).filter(pk=version.template_id).exists():
        return [Step("template", "A template", is_redacted=True)]
    facts = {
        "id": version.template_id,
        "version": version.number,
        "base_prompt": version.base_prompt,
        "prompt_template": version.prompt_template,
        "style_suffix": version.style_suffix,
    }
    if item and item.position <= len(version.rows):
        facts |= {"row": item.position, "values": version.rows[item.position - 1]}
    url = f"/templates/{version.template_id}"
    return [Step("template", version.template.name, url=url, facts=_said(facts))]


def _said(facts: dict) -> dict:
    return {name: value for name, value in facts.items() if value not in (None, "")}


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
