"""How long drawing takes and how much room it needs, from what this library has drawn before.

The time of an item is its share of its batch (``RunItem.seconds``). Where nothing of the same model, size, steps and
strength was drawn, other items of the model are scaled by pixels and steps, and the range is wider; where the model
has drawn nothing yet, nothing is claimed.
"""

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Count, F

from gallery.models import DiffusionModel, Image
from gallery.renditions import expected
from imagineer.engine.model_folder import fit_size
from imagineer.jobs.models import ACTIVE, JobStatus
from templates_app.generation_settings import SizeLimits, size_limits
from templates_app.models import RunItem

SAMPLES = 60  # latest items that a time is taken from
FILES = 4  # latest pictures whose files are measured
FEW = 8  # samples below which the range is widened
LEAST_SPREAD = 0.15  # of the middle, either way


@dataclass(frozen=True)
class Kind:
    """Items that take the same time."""

    model_id: int
    width: int
    height: int
    steps: int
    strength: float | None

    def work(self, limits: SizeLimits) -> float:
        """Pixels times steps; a model that cannot draw a size draws the largest it can."""
        width, height = fit_size(limits, self.width, self.height)
        return width * height * max(1, round(self.steps * (self.strength or 1)))


@dataclass(frozen=True)
class Span:
    """A range, of seconds or of bytes."""

    least: float
    most: float

    def times(self, number: float) -> "Span":
        return Span(self.least * number, self.most * number)

    def __add__(self, other: "Span") -> "Span":
        return Span(self.least + other.least, self.most + other.most)


@dataclass(frozen=True)
class Estimate:
    pictures: int
    seconds: Span | None  # None: the model has drawn nothing yet
    is_scaled: bool  # from other sizes, steps or strengths of the model
    bytes: Span | None  # originals and renditions
    free_bytes: int | None  # None: the files do not lie on a disk of this machine
    waiting: int  # pictures that are queued or being drawn before these

    @property
    def is_too_large(self) -> bool:
        return bool(self.bytes and self.free_bytes is not None and self.bytes.most > self.free_bytes)


def estimate_order(order) -> Estimate:
    """What an order comes to (``templates_app.ordering.Order``); nothing of it needs to be written."""
    run = order.run
    kinds = Counter(
        Kind(run.model_id, item.width, item.height, item.steps, run.strength) for item in order.items
    )
    seconds, is_scaled = _total(kinds)
    return Estimate(
        pictures=len(order.items),
        seconds=seconds,
        is_scaled=is_scaled,
        bytes=_bytes_of(kinds),
        free_bytes=free_bytes(),
        waiting=RunItem.objects.filter(run__job__status__in=ACTIVE, status__in=ACTIVE).count(),
    )


def remaining_seconds(run_ids: Iterable[int]) -> dict[int, Span | None]:
    """How long each of these runs still has to draw; None where the model has drawn nothing yet."""
    kinds: dict[int, Counter] = {run_id: Counter() for run_id in run_ids}
    left = (
        RunItem.objects.filter(run__in=kinds, status__in=ACTIVE)
        .order_by()
        .values_list("run", "run__model", "width", "height", "steps", "run__strength")
        .annotate(number=Count("pk"))
    )
    for run_id, *kind, number in left:
        kinds[run_id][Kind(*kind)] += number
    known: dict[Kind, tuple[Span | None, bool]] = {}
    return {run_id: _total(counted, known)[0] for run_id, counted in kinds.items()}


def free_bytes() -> int | None:
    try:
        default_storage.path("")
    except NotImplementedError:
        return None
    return shutil.disk_usage(settings.DATA_DIR).free


def _total(kinds: Counter, known: dict | None = None) -> tuple[Span | None, bool]:
    known = {} if known is None else known
    total, is_scaled = Span(0, 0), False
    for kind, number in kinds.items():
        if kind not in known:
            known[kind] = _seconds_of(kind)
        span, scaled = known[kind]
        if span is None:
            return None, False
        total, is_scaled = total + span.times(number), is_scaled or scaled
    return total, is_scaled


def _seconds_of(kind: Kind) -> tuple[Span | None, bool]:
    drawn = RunItem.objects.filter(run__model=kind.model_id, seconds__isnull=False).order_by("-pk")
    same = drawn.filter(
        width=kind.width, height=kind.height, steps=kind.steps, run__strength=kind.strength
    ).values_list("seconds", flat=True)[:SAMPLES]
    if times := list(same):
        return _span(times), False
    others = drawn.values_list("seconds", "run__model", "width", "height", "steps", "run__strength")
    others = list(others[:SAMPLES])
    if not others:
        return None, False
    limits = size_limits(DiffusionModel.objects.get(pk=kind.model_id))
    wanted = kind.work(limits)
    rates = [seconds * wanted / Kind(*other).work(limits) for seconds, *other in others]
    span = _span(rates)
    # how many go together, and what does not grow with the size, is not known from others
    return Span(span.least / 2, span.most * 2), True


def _span(times: list[float]) -> Span:
    """The range of a picture's time in a set of many: slow and fast ones even out, so outliers are left aside."""
    times = sorted(times)
    cut = len(times) // 10
    kept = times[cut : len(times) - cut]
    middle = median(kept)
    widening = 1.5 if len(times) < FEW else 1
    return Span(
        min(kept[0], middle * (1 - LEAST_SPREAD)) / widening,
        max(kept[-1], middle * (1 + LEAST_SPREAD)) * widening,
    )


def _bytes_of(kinds: Counter) -> Span | None:
    total = Span(0, 0)
    for kind, number in kinds.items():
        drawn = Image.objects.filter(model=kind.model_id, run_item__status=JobStatus.COMPLETED).order_by(
            "-pk"
        )
        alike = drawn.filter(run_item__width=kind.width, run_item__height=kind.height)
        sizes = [size for image in alike[:FILES] if (size := _size_on_disk(image))]
        if not sizes:
            others = drawn.annotate(asked=F("run_item__width") * F("run_item__height"))[:FILES]
            rates = [(_size_on_disk(image), kind.width * kind.height / image.asked) for image in others]
            # a model that draws as large as it can, whatever is asked, needs the same room
            sizes = [size * rate for size, ratio in rates if size for rate in (1, ratio)]
        if not sizes:
            return None
        total += Span(min(sizes) * 0.8, max(sizes) * 1.25).times(number)
    return total


def _size_on_disk(image: Image) -> int:
    """Bytes of the original and its renditions; 0 if one of them is away."""
    try:
        smaller = (
            default_storage.size(spec.key(image.sha256)) for spec in expected(image.width, image.height)
        )
        return image.file_size + sum(smaller)
    except OSError:
        return 0


def describe_seconds(span: Span) -> str:
    """ "40 s to 2 min"; one value where both ends read the same."""
    least, most = _duration(span.least), _duration(span.most)
    return least if least == most else f"{least} to {most}"


def _duration(seconds: float) -> str:
    units = ((1, "s"), (60, "min"), (3600, "h"), (86_400, "days"))
    for (size, name), (larger, _) in pairwise(units):
        if seconds < 1.5 * larger:
            return f"{max(1, round(seconds / size))} {name}"
    return f"{round(seconds / units[-1][0])} {units[-1][1]}"
