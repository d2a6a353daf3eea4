from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from gallery.models import Image
from gallery.tiles import tile
from gallery.visibility import Viewer
from imagineer.api import MAX_ID
from templates_app import ordering
from templates_app.drawing_form import SingleForm, initial_from
from templates_app.views.access import admin_page


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@admin_page
def generate(request):
    """Draw one prompt; the pictures appear on the page of its run."""
    if request.method == "POST":
        form = SingleForm(request.POST)
        if form.is_valid():
            run = form.order(ordering.start_single, created_by=request.user)
            if run:
                return redirect(run)
    else:
        form = SingleForm(initial={"variants": 1} | initial_from(request.GET, SingleForm.base_fields))
    number = str(form["reference_image_id"].value() or "")
    image = None
    if number.isascii() and number.isdigit() and int(number[:30]) <= MAX_ID:
        image = Image.objects.present().filter(pk=number).first()
    context = {"form": form, "reference": image and tile(image, Viewer.from_request(request))}
    return render(request, "templates_app/generate.html", context)
