"""Orders of visitors, where IMAGINEER_PUBLIC_GENERATION lets them: small, private, last in the queue, and bounded.

Cost is counted in pixels × steps, which is what the card works at, and in pictures, which is what the rest works at.
"""

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import BigIntegerField, Count, F, Q, Sum
from django.db.models.functions import Cast, Coalesce
from django.utils.crypto import salted_hmac

from gallery.models import Image
from gallery.visibility import Viewer
from imagineer.jobs.models import ACTIVE
from templates_app import ordering
from templates_app.models import BatchGenerationRun, BatchTemplate, RunItem

MAX_PICTURES = 60  # a run: a whole deck of cards
MAX_STEPS = 50
MAX_PIXELS = 1024 * 1024  # a picture
MAX_WAITING = 240  # pictures of all visitors
MAX_COST = 3 * 10**9  # pixels × steps of all visitors: 240 pictures of 512 × 768 with 30 steps
SHARES = 4  # so many visitors at least fill the queue
RETRY_AFTER = 60  # seconds
_LOCK = 0x76697369  # of PostgreSQL's advisory locks, "visi"


class BacklogFull(Exception):
    """Too much of visitors waits already; the sentence says whose."""


@dataclass(frozen=True)
class Load:
    """What waits: pictures, and their pixels × steps."""

    pictures: int
    cost: int

    def __add__(self, other: "Load") -> "Load":
        return Load(self.pictures + other.pictures, self.cost + other.cost)

    def exceeds(self, shares: int) -> bool:
        return self.pictures > MAX_WAITING // shares or self.cost > MAX_COST // shares


def start_visitor_run(
    template: BatchTemplate, *, network: str, viewer: Viewer, created_by=None, **options
) -> BatchGenerationRun:
    """Order a template's rows for a visitor: private until an admin publishes the album.

    :param network: where the order comes from (``imagineer.client.client_network``); only a keyed hash is kept.
    :raises ValidationError: names each wrong field, and each limit of visitors that is passed.
    :raises BacklogFull: too much waits already, of this visitor or of all of them; nothing is queued then.
    """
    _check_options(viewer, options)
    order = ordering.plan_run(template, **options | {"is_public": False})
    _check_items(order.items)
    order.run.rating = ""  # what a curator declared was not said of a visitor's theme
    order.run.visitor = salted_hmac("templates_app.visitors", network).hexdigest()[:32]
    asked = Load(len(order.items), sum(item.width * item.height * item.steps for item in order.items))
    if asked.exceeds(SHARES):
        raise ValidationError("This is more than one visitor may have waiting. Ask for fewer rows or steps.")
    with transaction.atomic():
        _let_one_in()
        runs, mine, everybody = _waiting(order.run.visitor)
        if (mine + asked).exceeds(SHARES):
            raise BacklogFull("Your earlier orders still wait. Order more when some of them are drawn.")
        if (everybody + asked).exceeds(1):
            raise BacklogFull("Too many pictures of visitors wait already. Try again later.")
        # a visitor's second order waits behind the first one of another
        return ordering.submit(order, created_by=created_by, priority=ordering.VISITOR - min(runs, 10))


def _check_options(viewer: Viewer, options: dict) -> None:
    if (options.get("variants") or 1) > 1:
        raise ValidationError({"variants": ["Visitors get one picture a row."]})
    image_id = options.get("reference_image_id")
    # what a visitor may not see is as if it were not there
    seen = Image.objects.visible_to(viewer).described_for(viewer)
    if image_id is not None and not seen.filter(pk=image_id).exists():
        raise ValidationError(
            {"reference_image_id": [f"There is no picture {image_id} that a run could start from."]}
        )


def _check_items(items: list[RunItem]) -> None:
    problems = {}
    if len(items) > MAX_PICTURES:
        problems["rows"] = [f"Visitors get {MAX_PICTURES} pictures a run; this asks for {len(items):,}."]
    if max(item.steps for item in items) > MAX_STEPS:
        problems["steps"] = [f"Visitors get {MAX_STEPS} steps at most."]
    if max(item.width * item.height for item in items) > MAX_PIXELS:
        problems["width"] = [f"Visitors get {MAX_PIXELS:,} pixels at most, such as 1024 × 1024."]
    if problems:
        raise ValidationError(problems)


def _let_one_in() -> None:
    """From here to the end of the transaction nobody else counts what waits: else many could pass the cap at once.

    SQLite needs nothing for it, as its transactions here begin with the write lock.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _waiting(visitor: str) -> tuple[int, Load, Load]:
    """(runs of this visitor, what waits of theirs, what waits of all visitors)"""
    waiting = RunItem.objects.filter(
        ~Q(run__visitor=""), run__job__status__in=ACTIVE, status__in=ACTIVE
    ).order_by()
    cost = Cast("width", BigIntegerField()) * F("height") * F("steps")
    mine = Q(run__visitor=visitor)
    found = waiting.aggregate(
        runs=Count("run", filter=mine, distinct=True),
        my_pictures=Count("pk", filter=mine),
        my_cost=Coalesce(Sum(cost, filter=mine), 0, output_field=BigIntegerField()),
        pictures=Count("pk"),
        cost=Coalesce(Sum(cost), 0, output_field=BigIntegerField()),
    )
    return (
        found["runs"],
        Load(found["my_pictures"], found["my_cost"]),
        Load(found["pictures"], found["cost"]),
    )
