"""The order form on the site: for admins, and for visitors where IMAGINEER_PUBLIC_GENERATION lets them."""

from types import SimpleNamespace

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from gallery.views.answers import page
from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from imagineer.client import client_network
from templates_app import ordering, visitors
from templates_app.api.templates import GenerateThrottle
from templates_app.models import BatchTemplate
from templates_app.order_flow import handle_order


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def draw_page(request, pk: int):
    is_admin = request.user.is_authenticated and request.user.is_staff
    if not is_admin and not settings.PUBLIC_GENERATION:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
        raise PermissionDenied
    viewer = Viewer.from_request(request)
    if pk > MAX_ID:
        raise Http404
    templates = BatchTemplate.objects.active().visible_to(viewer).select_related("current")
    template = get_object_or_404(templates, pk=pk)
    created_by = request.user if request.user.is_authenticated else None

    def submit(form):
        if is_admin:
            return ordering.submit(form.order, created_by=created_by)
        if not _may_order_now(request):
            raise visitors.BacklogFull("You order very fast. Wait a minute, then order again.")
        options = {name: value for name, value in form.options.items() if name != "is_public"}
        return visitors.start_visitor_run(
            form.template, network=client_network(request), viewer=viewer, created_by=created_by, **options
        )

    status = 200
    try:
        context, run = handle_order(request, template=template, is_admin=is_admin, submit=submit)
    except visitors.BacklogFull as full:
        messages.warning(request, str(full))
        status = 429
        again = request.POST.copy()
        again["_edit"] = "1"
        request.POST = again
        context, run = handle_order(request, template=template, is_admin=is_admin, submit=submit)
    if run:
        said = (
            "pictures are queued."
            if is_admin
            else "pictures are queued; they are private until an admin publishes them."
        )
        messages.success(request, f"{run.job.total} {said}")
        return redirect("run", run.pk)
    response = page(
        request, "templates_app/draw.html", viewer, status=status, page_template=template, **context
    )
    if status == 429:
        response.headers["Retry-After"] = str(visitors.RETRY_AFTER)
    return response


def _may_order_now(request) -> bool:
    """The same allowance as over HTTP: ten orders a minute."""
    return GenerateThrottle().allow_request(request, SimpleNamespace(throttle_scope="generate"))
