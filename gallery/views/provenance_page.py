"""The page that tells the whole way a picture came."""

from django.views.decorators.http import require_safe

from gallery.models import Image
from gallery.provenance import trace
from gallery.tiles import tile
from gallery.views.answers import page
from gallery.visibility import Gone, Viewer, check_open


@require_safe
def provenance(request, pk: int):
    viewer = Viewer.from_request(request)
    images = Image.objects.select_related("model", "reference_image")
    try:
        image = check_open(images.filter(pk=pk).first(), viewer)
    except Gone as gone:
        return page(request, "error.html", viewer, status=410, title="Withdrawn", sentence=gone.detail)
    found = trace(image, viewer)
    return page(
        request, "gallery/provenance.html", viewer, image=image, tile=tile(image, viewer), provenance=found
    )
