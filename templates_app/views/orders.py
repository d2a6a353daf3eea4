"""The order form on the site, for whoever draws: so far admins."""

from django.contrib import messages
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from gallery.views.answers import page
from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from templates_app import ordering
from templates_app.models import BatchTemplate
from templates_app.order_flow import handle_order
from templates_app.views.access import admin_page


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@admin_page
def draw_page(request, pk: int):
    if pk > MAX_ID:
        raise Http404
    template = get_object_or_404(BatchTemplate.objects.active().select_related("current"), pk=pk)

    def submit(form):
        return ordering.submit(form.order, created_by=request.user)

    context, run = handle_order(request, template=template, is_admin=True, submit=submit)
    if run:
        messages.success(request, f"{run.job.total} pictures are queued.")
        return redirect("run", run.pk)
    viewer = Viewer.from_request(request)
    return page(request, "templates_app/draw.html", viewer, page_template=template, **context)
