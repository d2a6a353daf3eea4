"""The way a picture came, from the picture back to what it was made from, as one viewer may know it.

The gate decides here as everywhere: of a picture that the viewer may not see clear this tells what its page tells.
"""

from dataclasses import dataclass

from django.urls import reverse

from gallery.models import Image, Lora, SourceType
from gallery.names import readable
from gallery.origins import Origin, Step, dependents_of, describe_all, history_of, provider_of
from gallery.recipes import listed, name_scheduler
from gallery.visibility import Viewer, may_open, may_see_details

TEXT_LENGTH = 2000  # characters of a value; foreign files may claim anything
TIME = "%Y-%m-%dT%H:%M:%SZ"
SOURCES = {
    SourceType.MANUAL: "Uploaded",
    SourceType.BATCH_GENERATION: "Drawn here",
    SourceType.SCRAPE: "Scraped",
}
DRAWING = (
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "scheduler",
    "strength",
    "asked_width",
    "asked_height",
    "truncated",
)


@dataclass(frozen=True)
class Provenance:
    image: Image
    is_clear: bool
    steps: list[Step]
    dependents: list[Origin]


def trace(image: Image, viewer: Viewer) -> Provenance:
    """:param image: one that the viewer may open (``gallery.visibility.check_open``)."""
    is_clear = may_see_details(image, viewer)
    if not is_clear:
        return Provenance(image, False, [_picture(image, viewer, is_clear), *_origin(image, viewer)], [])
    provider = provider_of(image.source_type)
    steps = [
        _picture(image, viewer, is_clear),
        *(provider.steps(image, viewer) if provider else []),
        *_drawing(image),
        *_reference(image, viewer),
        *_model(image, viewer),
        *_loras(image, viewer),
    ]
    return Provenance(image, True, steps, dependents_of(image, viewer))


def _picture(image: Image, viewer: Viewer, is_clear: bool) -> Step:
    facts = {"width": image.width, "height": image.height, "arrived_at": image.created_at.strftime(TIME)}
    is_drawn = image.source_type == SourceType.BATCH_GENERATION
    if viewer.is_admin or (is_clear and is_drawn):
        facts["sha256"] = image.sha256
    if viewer.is_admin:
        facts |= {"file_size": image.file_size, "mime_type": image.mime_type}
    return Step(
        "picture",
        SOURCES.get(image.source_type, "Taken in"),
        url=image.get_absolute_url(),
        facts=facts,
        is_redacted=not is_clear,
    )


def _origin(image: Image, viewer: Viewer) -> list[Step]:
    source = (image.source_type, image.source_id)
    origin = describe_all([source], viewer).get(source)
    return [Step("run", origin.name, url=origin.url, is_redacted=True)] if origin else []


def _drawing(image: Image) -> list[Step]:
    """The recipe; of a picture from elsewhere what its file claims."""
    recipe = image.generation_params
    known = recipe | {"prompt": image.prompt, "negative_prompt": image.negative_prompt}
    facts = {key: _plain(known[key]) for key in DRAWING if _plain(known.get(key)) not in (None, "")}
    if "scheduler" in facts:
        facts["scheduler"] = name_scheduler(facts["scheduler"])
    if image.source_type != SourceType.BATCH_GENERATION:
        return [Step("claim", "What its file says", facts=facts)] if facts else []
    for key in ("backend", "libraries"):
        if isinstance(recipe.get(key), dict):
            facts[key] = {str(name)[:100]: _plain(value) for name, value in recipe[key].items()}
    return [Step("drawing", "The recipe", facts=facts)]


def _reference(image: Image, viewer: Viewer) -> list[Step]:
    digest = image.generation_params.get("reference_sha256")
    reference = image.reference_image
    if reference is None and not isinstance(digest, str):
        return []
    fit = {"fit": _plain(image.generation_params.get("reference_fit"))}
    if reference is None or not may_open(reference, viewer):
        facts = {"sha256": digest} | fit if viewer.is_admin else {}
        return [Step("reference", "A picture that is private or gone", facts=facts, is_redacted=True)]
    is_clear = may_see_details(reference, viewer)
    return [
        Step(
            "reference",
            readable(reference.filename.rpartition(".")[0]) if is_clear else "A picture",
            url=reverse("provenance", args=[reference.pk]),
            facts={"image_id": reference.pk} | fit | ({"sha256": digest} if is_clear else {}),
            is_redacted=not is_clear,
        )
    ]


def _model(image: Image, viewer: Viewer) -> list[Step]:
    recipe = image.generation_params.get("model")
    recipe = recipe if isinstance(recipe, dict) else {"name": recipe} if isinstance(recipe, str) else {}
    name = _plain(recipe.get("name")) or (image.model and image.model.name)
    if not name:
        return []
    url = None
    if viewer.is_admin and image.model_id:
        url = reverse("admin:gallery_diffusionmodel_change", args=[image.model_id])
    facts = {key: _plain(recipe.get(key)) for key in ("family", "hash") if _plain(recipe.get(key))}
    step = Step("model", str(name), url=url, facts=facts)
    return [step, *history_of("model", image.model, viewer)]


def _loras(image: Image, viewer: Viewer) -> list[Step]:
    used = [entry for entry in listed(image.generation_params.get("loras")) if isinstance(entry, dict)]
    hashes = [entry["sha256"] for entry in used if isinstance(entry.get("sha256"), str)]
    rows = {lora.sha256: lora for lora in Lora.objects.enabled().filter(sha256__in=hashes)}
    steps = []
    for entry in used:
        row = rows.get(entry["sha256"]) if isinstance(entry.get("sha256"), str) else None
        facts = {
            key: _plain(entry.get(key)) for key in ("weight", "sha256", "autov3") if _plain(entry.get(key))
        }
        url = f"{reverse('loras')}#lora-{row.pk}" if row else None
        title = readable(str(_plain(entry.get("name")) or "A LoRA"))
        steps += [Step("lora", title, url=url, facts=facts), *history_of("lora", row, viewer)]
    return steps


def _plain(value):
    """A value that is what it looks like, or None."""
    if isinstance(value, str):
        return value[:TEXT_LENGTH]
    return value if isinstance(value, (int, float, bool)) else None
