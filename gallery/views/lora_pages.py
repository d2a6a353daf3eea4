"""The LoRAs that may be used here."""

from django.views.decorators.http import require_safe

from gallery.models import Image, Lora, SourceType
from gallery.paging import page_links
from gallery.recipes import listed
from gallery.tiles import Tile, tile
from gallery.views.answers import cut, page
from gallery.visibility import Viewer, may_see_details

LOOKED_AT = 300  # newest drawn pictures; what was drawn with a LoRA is told by their recipes alone
PREVIEWS = 4
FAMILIES = {"sd15": "Stable Diffusion 1.5", "sdxl": "Stable Diffusion XL"}


@require_safe
def loras(request):
    viewer = Viewer.from_request(request)
    found = cut(request, Lora.objects.enabled().with_sort_name(), ("sort_name", "pk"))
    previews = find_previews(found.rows, viewer)
    return page(
        request,
        "gallery/loras.html",
        viewer,
        loras=[
            {
                "lora": lora,
                "family": FAMILIES.get(lora.family, lora.family),
                "trigger_words": [str(word) for word in listed(lora.trigger_words)],
                "previews": previews.get(lora.pk, []),
            }
            for lora in found.rows
        ],
        pages=page_links(request, found),
    )


def find_previews(loras: list[Lora], viewer: Viewer) -> dict[int, list[Tile]]:
    """The newest pictures drawn with each LoRA, of those whose recipe the viewer may know.

    Two queries, and they look at a bounded number of pictures.
    """
    if not loras:
        return {}
    drawn = Image.objects.listed_for(viewer).filter(source_type=SourceType.BATCH_GENERATION)
    recipes = drawn.order_by("-pk").values_list("pk", "generation_params__loras")[:LOOKED_AT]
    known = {lora.sha256: lora.pk for lora in loras}
    chosen: dict[int, list[int]] = {}
    for image_id, stack in recipes:
        for used in listed(stack):
            lora_id = known.get(str(used.get("sha256"))) if isinstance(used, dict) else None
            if lora_id:
                chosen.setdefault(lora_id, []).append(image_id)
    wanted = {pk for pks in chosen.values() for pk in pks}
    images = {image.pk: image for image in drawn.filter(pk__in=wanted) if may_see_details(image, viewer)}
    return {
        lora_id: [tile(images[pk], viewer) for pk in pks if pk in images][:PREVIEWS]
        for lora_id, pks in chosen.items()
    }
