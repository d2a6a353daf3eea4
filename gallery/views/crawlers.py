"""What programs that look for pages are told: the same for everybody, and only of what is public and safe."""

from django.http import Http404, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from gallery.addresses import absolute_url
from gallery.models import Album, Image

SPAN = 2000  # ids that one part of the site map covers: each part costs the same, wherever it begins
AN_HOUR = "public, max-age=3600"
PARTS = {
    "albums": lambda: Album.objects.safe_for_all().values_list("pk", "updated_at"),
    "images": lambda: Image.objects.filter(is_public=True).unrestricted().values_list("pk", "created_at"),
}
PAGES = ["/", "/albums"]
STANDING = ("/", "/albums", "/templates", "/loras", "/about")
CLOSED = ("/admin/", "/api/", "/auth/", "/age-confirmation")


def put_on_map(kind: str, rows) -> None:
    """How an app above puts its public pages on the map: ``/kind`` and ``/kind/{id}``.

    :param rows: gives a queryset of (id, when it changed) of what is public and safe for everybody.
    """
    PARTS[kind] = rows
    PAGES.append(f"/{kind}")


def answer(text: str, content_type: str) -> HttpResponse:
    return HttpResponse(text, content_type=content_type, headers={"Cache-Control": AN_HOUR})


@require_safe
def robots(request):
    # shared links are not named here: a page that may not be read cannot say that it is not to be listed
    lines = [
        "User-agent: *",
        *(f"Disallow: {path}" for path in CLOSED),
        "",
        f"Sitemap: {absolute_url(request, '/sitemap.xml')}",
    ]
    return answer("\n".join(lines) + "\n", "text/plain; charset=utf-8")


@require_safe
def sitemap(request):
    """The parts of the map, whose number follows from the last id."""
    parts = [absolute_url(request, "/sitemap-pages.xml")]
    for kind, rows in PARTS.items():
        last = rows().order_by("-pk").values_list("pk", flat=True).first()
        if last is not None:
            parts += [
                absolute_url(request, f"/sitemap-{kind}-{number}.xml") for number in range(last // SPAN + 1)
            ]
    return answer(render_to_string("gallery/sitemap.xml", {"parts": parts}), "application/xml")


@require_safe
def sitemap_pages(request):
    pages = [(absolute_url(request, path), None) for path in PAGES]
    return answer(render_to_string("gallery/sitemap.xml", {"pages": pages}), "application/xml")


@require_safe
def sitemap_part(request, kind: str, number: int):
    if kind not in PARTS or number > 2**63 // SPAN - 1:
        raise Http404
    rows = PARTS[kind]().filter(pk__gte=number * SPAN, pk__lt=(number + 1) * SPAN).order_by("pk")
    pages = [(absolute_url(request, f"/{kind}/{pk}"), changed_at) for pk, changed_at in rows]
    return answer(render_to_string("gallery/sitemap.xml", {"pages": pages}), "application/xml")
