from functools import partial

from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from gallery.models import Image
from gallery.tiles import tile
from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from imagineer.once import make_once, request_key
from templates_app import ordering
from templates_app.drawing_form import SingleForm, initial_from
from templates_app.models import BatchGenerationRun
from templates_app.views.access import admin_page


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@admin_page
def generate(request):
    """Draw one prompt; the pictures appear on the page of its run."""
    if request.method == "POST":
        form = SingleForm(request.POST)
        if form.is_valid():
            start_once = partial(make_once, BatchGenerationRun, request_key(request), ordering.start_single)
            if run := form.order(start_once, created_by=request.user):
                return redirect(run)
    else:
        form = SingleForm(initial={"variants": 1} | initial_from(request.GET, SingleForm.base_fields))
    number = str(form["reference_image_id"].value() or "")
    image = None
    if number.isascii() and number.isdigit() and int(number[:30]) <= MAX_ID:
        image = Image.objects.present().filter(pk=number).first()
    context = {"form": form, "reference": image and tile(image, Viewer.from_request(request))}
    return render(request, "templates_app/generate.html", context)
