"""What a viewer chooses for the session: whether restricted pictures are hidden, blurred or shown."""

from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from gallery.views.answers import page
from gallery.visibility import MODE_KEY, MODES, Viewer, confirm_age


@require_http_methods(["GET", "HEAD", "POST"])
def age_confirmation(request):
    """Remember for this session that the viewer is of age, and show restricted pictures from now on."""
    if request.method != "POST":
        return page(
            request,
            "gallery/age_confirmation.html",
            Viewer.from_request(request),
            next=safe_next(request, request.GET.get("next")),
        )
    confirm_age(request)
    return HttpResponseRedirect(safe_next(request, request.POST.get("next")))


@require_POST
def content_filter(request):
    """Remember for this session how restricted pictures are shown; showing them asks for the age first."""
    mode = request.POST.get("nsfw")
    next_url = safe_next(request, request.POST.get("next"))
    viewer = Viewer.from_request(request)
    if mode == "show" and not (viewer.is_of_age or viewer.is_admin):
        response = page(request, "gallery/age_confirmation.html", viewer, next=next_url)
        return response
    if mode in MODES:
        request.session[MODE_KEY] = mode
    return HttpResponseRedirect(next_url)


def safe_next(request, url: str | None) -> str:
    """The address to go on to, if it is one of ours."""
    if url and url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return url
    return reverse("home")
