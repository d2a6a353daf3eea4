"""One slot of a run, for admins: what may stand in it, drawing it again, choosing."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gallery.models import AlbumImage
from gallery.tiles import tile
from gallery.views.answers import page
from imagineer.engine.schedulers import SCHEDULERS
from imagineer.jobs.models import ACTIVE, JobStatus
from imagineer.once import make_once, request_key
from templates_app import limits, slots
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.views.access import admin_page
from templates_app.views.runs import find_run

MAX_SHOWN = 200  # the latest candidates
MAX_TICKED = 60  # rows that are drawn again at once: as many as a page shows


class RerollForm(forms.Form):
    """What is left empty stays as the row was ordered."""

    variants = forms.IntegerField(label="How many", initial=4, min_value=1, max_value=limits.MAX_VARIANTS)
    seed = forms.IntegerField(required=False, help_text="Empty: new ones.")
    steps = forms.IntegerField(required=False)
    guidance_scale = forms.FloatField(required=False)
    scheduler = forms.ChoiceField(
        choices=[("", "as it was"), *((name, name) for name in SCHEDULERS)], required=False
    )
    prompt = forms.CharField(
        required=False,
        widget=forms.Textarea({"rows": 4}),
        help_text="Changed here, it is changed for these alone.",
    )
    negative_prompt = forms.CharField(required=False, widget=forms.Textarea({"rows": 2}))

    def __init__(self, *args, slot: RunItem, **options):
        super().__init__(*args, **options)
        self.initial |= {"prompt": slot.prompt, "negative_prompt": slot.negative_prompt}
        for name in ("steps", "guidance_scale"):
            self.fields[name].widget.attrs["placeholder"] = getattr(slot, name)


@require_safe
@never_cache
@admin_page
def slot_page(request, pk: int, position: int):
    return _show(request, *_find(request, pk, position))


@require_safe
@never_cache
@admin_page
def slot_progress(request, pk: int, position: int):
    """What the live page of the slot asks: it looks again when these numbers have changed."""
    run, _viewer, _own = _find(request, pk, position)
    items = list(slots.candidates(run, position).values_list("status", "run__job__status"))
    waiting = [status for status, job in items if status in ACTIVE and job in ACTIVE]
    return JsonResponse(
        {
            "status": "running" if waiting else "completed",
            "is_active": bool(waiting),
            "done": sum(status == JobStatus.COMPLETED for status, _ in items),
            "failed": sum(status == JobStatus.FAILED for status, _ in items),
            "total": len(items),
            "message": "",
        }
    )


@require_POST
@admin_page
def reroll(request, pk: int, position: int):
    run, viewer, own = _find(request, pk, position)
    form = RerollForm(request.POST, slot=own[0])
    if form.is_valid():
        given = {name: value for name, value in form.cleaned_data.items() if value not in (None, "")}
        given["negative_prompt"] = form.cleaned_data["negative_prompt"]
        try:
            drawn = make_once(
                BatchGenerationRun,
                request_key(request),
                slots.reroll_slot,
                run,
                position,
                created_by=request.user,
                **given,
            )
        except ValidationError as error:
            for name, problems in error.message_dict.items():
                form.add_error(name if name in form.fields else None, problems)
        except slots.SlotConflict as conflict:
            form.add_error(None, str(conflict))
        else:
            number = drawn.job.total
            messages.success(
                request, f"{number} picture{'s are' if number > 1 else ' is'} queued, before all sets."
            )
            return redirect("slot", pk, position)
    return _show(request, run, viewer, own, form=form)


@require_POST
@admin_page
def reroll_ticked(request, pk: int):
    """Several rows of the run's page at once."""
    run = slots.root_of(find_run(request, pk)[0])
    positions = [number for text in request.POST.getlist("position")[:MAX_TICKED] if (number := _whole(text))]
    variants = _whole(request.POST.get("variants", "")) or 0
    if not positions:
        messages.warning(request, "Tick the rows that are to be drawn again.")
        return redirect("run", pk)
    try:
        drawn = slots.reroll_slots(
            run,
            positions,
            variants=variants,
            created_by=request.user,
            request_key=request_key(request),
        )
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    except slots.SlotConflict as conflict:
        messages.warning(request, str(conflict))
    except RunItem.DoesNotExist as error:
        raise Http404 from error
    else:
        number = sum(run.job.total for run in drawn)
        messages.success(
            request,
            f"{number} picture{'s' if number > 1 else ''} of {len(drawn)} row{'s' if len(drawn) > 1 else ''} "
            "queued, before all sets. Each row tells when there is something to choose from.",
        )
    return redirect("run", pk)


@require_POST
@admin_page
def promote(request, pk: int, position: int):
    def choose(run):
        slots.promote(
            run,
            position,
            _number(request, "image"),
            variant=_number(request, "variant") or 1,
            instead_of=_number(request, "instead_of"),
        )
        return "It stands in the album now; the one before stays here."

    return _act(request, pk, position, choose)


@require_POST
@admin_page
def discard(request, pk: int, position: int):
    def throw_away(run):
        slots.discard(run, position, [_number(request, "image")])
        return "It is in the trash, from where it can be restored."

    return _act(request, pk, position, throw_away)


def _act(request, pk, position, service):
    run, _viewer, _own = _find(request, pk, position)
    try:
        messages.success(request, service(run))
    except slots.SlotConflict as conflict:
        messages.warning(request, str(conflict))
    except RunItem.DoesNotExist as error:
        raise Http404 from error
    return redirect("slot", pk, position)


def _number(request, name: str) -> int | None:
    text = request.POST.get(name, "")
    if text and _whole(text) is None:
        raise Http404
    return _whole(text)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _find(request, pk: int, position: int):
    """The run, the viewer and its own items of the row. :raises Http404: it has no such slot."""
    run, viewer, _tells_texts = find_run(request, pk)
    run = slots.root_of(run)
    own = list(run.items.filter(position=position))
    if not own or not run.has_own_album:
        raise Http404
    return run, viewer, own


def _show(request, run, viewer, own, *, form: RerollForm | None = None):
    position = own[0].position
    items = list(slots.candidates(run, position).order_by("-run_id", "variant")[:MAX_SHOWN])[::-1]
    standing = slots.pictures_in(own)
    in_slot = {standing[slot.pk]: slot for slot in own if standing[slot.pk]}
    # a curator may have taken it out of the album
    placed = AlbumImage.objects.filter(album=run.album_id, image__in=in_slot)
    placed = set(placed.values_list("image", flat=True))
    pictures = [
        {
            "item": item,
            "tile": tile(item.image, viewer),
            "slot": in_slot[item.image_id] if item.image_id in placed else None,
            "is_tweaked": item.prompt != own[0].prompt,
        }
        for item in items
        if item.image_id and not item.image.is_gone
    ]
    rows = run.items.order_by("position").values_list("position", flat=True).distinct()
    return page(
        request,
        "templates_app/slot.html",
        viewer,
        run=run,
        slot=own[0],
        name=own[0].name.replace("_", " "),
        own=own,
        targets=[(slot, standing[slot.pk]) for slot in own],
        pictures=sorted(pictures, key=lambda picture: (picture["item"].run_id, picture["item"].variant)),
        waiting=[(item, told) for item in items if (told := item.status_under(item.run.job)) in ACTIVE],
        failed=[item for item in items if item.status == JobStatus.FAILED],
        form=form or RerollForm(slot=own[0]),
        previous=rows.filter(position__lt=position).last(),
        next=rows.filter(position__gt=position).first(),
        status=400 if form else 200,
    )
