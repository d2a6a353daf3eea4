"""From the order form over the preflight to a run. Nothing is stored before the preflight is confirmed.

The whole order travels in the page: closing or reloading it loses nothing on the server and starts nothing twice.
"""

from django.core.exceptions import ValidationError
from django.db.models import Max, Q
from django.http import Http404, QueryDict

from gallery.models import Image, Lora
from gallery.tiles import tile
from gallery.visibility import Viewer
from imagineer.once import make_once, request_key
from templates_app.estimates import estimate_order
from templates_app.models import BatchGenerationRun, BatchTemplate
from templates_app.order_form import OrderForm, values_of
from templates_app.themes import THEMES, surprise

BUTTONS = ("_check", "_draw", "_edit", "_surprise", "_rows", "_find")
PAGE_KEYS = (*BUTTONS, "csrfmiddlewaretoken", "request_key", "checked_version")
SHOWN_PICTURES = 12
SEARCHED_PICTURES = 20_000  # latest ones; a text that nothing holds must not read the whole library


def handle_order(
    request, *, template: BatchTemplate | None = None, is_admin: bool, submit
) -> tuple[dict, BatchGenerationRun | None]:
    """The context of the page that comes next, or the run that the order has become.

    :param template: what the page draws; without it the form asks.
    :param submit: takes a valid form and returns the run of its ``order``; a ``ValidationError`` is told in the form.
    """
    viewer = Viewer.from_request(request)
    options = {"template": template, "is_admin": is_admin}
    if request.method != "POST":
        form = OrderForm(initial=_first_values(request, viewer), **options)
    elif set(request.POST) & {"_edit", "_surprise", "_rows", "_find"}:
        form = OrderForm(initial=_values_in(request.POST), **options)
        if "_surprise" in request.POST:
            form.initial["user_theme"] = surprise(but=request.POST.get("user_theme", ""))
    else:
        form = OrderForm(request.POST, **options)
        if form.is_valid() and _may_start_from(form, viewer):
            number = str(form.order.run.template_version.number)
            if "_draw" in request.POST and request.POST.get("checked_version") == number:
                try:
                    return {}, make_once(BatchGenerationRun, request_key(request), submit, form)
                except ValidationError as error:
                    form.take_errors(error)
            else:
                return _preflight(request, form, number), None
    return _form_page(form, viewer), None


def _form_page(form: OrderForm, viewer: Viewer) -> dict:
    chosen = form._value("reference_image_id")
    shown, found = pictures_to_start_from(viewer, form._value("reference_search") or "", chosen)
    return {
        "form": form,
        "themes": THEMES,
        "pictures": [tile(image, viewer) for image in shown],
        "chosen_picture": str(chosen or ""),
        "found": found,
    }


def _preflight(request, form: OrderForm, number: str) -> dict:
    run, items = form.order.run, form.order.items
    return {
        "form": form,
        "order": form.order,
        "estimate": estimate_order(form.order),
        "rows": len({item.position for item in items}),
        "first": items[:3],
        "kept": [
            (name, value)
            for name, values in request.POST.lists()
            if name not in PAGE_KEYS
            for value in values
        ],
        "checked_version": number,
        "has_changed": "_draw" in request.POST,
        "has_foreign_lora": _foreign_loras(run),
    }


def _first_values(request, viewer: Viewer) -> dict:
    """What the address says: a run to draw again, or single fields."""
    number = request.GET.get("run", "")
    if number:
        run = None
        if number.isdecimal() and len(number) < 19:
            runs = BatchGenerationRun.objects.for_lists().defer(None)
            run = runs.filter(pk=number, template_version__isnull=False).first()
        if run is None or not run.tells_texts_to(viewer):
            raise Http404
        values = values_of(run)
        if request.GET.get("version") == "pinned":
            values["version"] = run.template_version_id
        return values
    given = {name: request.GET[name] for name in OrderForm.base_fields if name in request.GET}
    return given | ({"row": request.GET.getlist("row")} if "row" in given else {})


def _values_in(data: QueryDict) -> dict:
    """The form as it was sent, to be shown again unchecked."""
    fields = OrderForm.base_fields.items()
    return {name: field.widget.value_from_datadict(data, {}, name) for name, field in fields}


def pictures_to_start_from(viewer: Viewer, words: str, chosen) -> tuple[list[Image], bool]:
    """The chosen picture, and what the words find among the latest ones, or the latest ones."""
    pictures = Image.objects.listed_for(viewer).described_for(viewer).order_by("-pk")
    words = words.strip()
    found = pictures
    if words:
        newest = Image.objects.aggregate(newest=Max("pk"))["newest"] or 0
        matches = Q(pk__gt=newest - SEARCHED_PICTURES) & (
            Q(filename__icontains=words.replace(" ", "_"))
            | Q(filename__icontains=words)
            | Q(prompt__icontains=words)
        )
        if words.isdecimal() and len(words) < 19:
            matches |= Q(pk=int(words))
        found = pictures.filter(matches)
    found = list(found[:SHOWN_PICTURES])
    if (
        str(chosen or "").isdecimal()
        and len(str(chosen)) < 19
        and all(str(i.pk) != str(chosen) for i in found)
    ):
        found = [*pictures.filter(pk=chosen), *found]
    return found, bool(words)


def _may_start_from(form: OrderForm, viewer: Viewer) -> bool:
    """Whoever orders starts from what they see clear; all else is as if it were not there."""
    image = form.order.run.reference_image
    seen = Image.objects.visible_to(viewer).described_for(viewer)
    if image is None or seen.filter(pk=image.pk).exists():
        return True
    form.add_error("reference_image_id", f"There is no picture {image.pk} that a run could start from.")
    return False


def _foreign_loras(run: BatchGenerationRun) -> list[str]:
    """LoRAs of the order that were trained for another family than its model's."""

    names = [entry["lora"] for entry in run.loras]
    others = Lora.objects.filter(name__in=names).exclude(family__in=("", run.model.family))
    return list(others.values_list("name", flat=True)) if run.model.family else []
