"""Who waits for what, and about how long."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest
from django.utils import timezone

from imagineer.jobs.kinds import Span, Told, estimate, page_of, tell
from imagineer.jobs.models import Job, JobStatus, Worker
from imagineer.jobs.workers import living_workers

SHOWN = 50  # jobs that wait, for each queue
REMEMBERED = 20  # finished jobs of a kind that its pace is taken from


@dataclass(frozen=True)
class Entry:
    job: Job
    told: Told
    page: str
    place: int | None = None  # from 1 among those that wait
    starts_in: Span | None = None  # seconds; None: nobody can say
    takes: Span | None = None  # seconds still to go once it runs
    is_cut_off: bool = False  # who ran it is no more; the next worker goes on with it

    @property
    def settled(self) -> int:
        return self.job.done + self.job.failed


@dataclass(frozen=True)
class Line:
    """One queue as one viewer may see it."""

    queue: str
    workers: list[Worker]
    running: list[Entry]
    waiting: list[Entry]
    more: int  # that wait too, and are not listed


def describe_line(queue: str, request: HttpRequest) -> Line:
    now = timezone.now()
    living = living_workers()
    workers = [worker for worker in living if worker.queue == queue]
    owners = {worker.pk for worker in living}
    running = list(Job.objects.running().filter(queue=queue).order_by("started_at", "pk"))
    in_order = Job.objects.queued().filter(queue=queue).order_by("-priority", "pk")
    waiting = list(in_order[:SHOWN])
    told = tell([*running, *waiting], request)
    pace = paces({job.kind for job in [*running, *waiting]})
    known = estimate([*running, *waiting])
    takes = {job.pk: _left(job, now, pace, known) for job in [*running, *waiting]}

    def entry(job: Job, **more) -> Entry:
        return Entry(job, told[job.pk], page_of(job), takes=takes[job.pk], **more)

    hands = len(workers) * settings.Q_CLUSTER["ALT_CLUSTERS"].get(queue, settings.Q_CLUSTER)["workers"]
    entries, before = [], []
    for place, job in enumerate(waiting, 1):
        # a running job that is less urgent makes room at its next batch
        in_the_way = [takes[other.pk] for other in running if other.priority >= job.priority]
        starts_in = _start([*in_the_way, *before], hands, free=hands - len(in_the_way) - len(before))
        if starts_in and job.not_before and job.not_before > now:
            rest = (job.not_before - now).total_seconds()
            starts_in = max(starts_in[0], rest), max(starts_in[1], rest)
        entries.append(entry(job, place=place, starts_in=starts_in))
        before.append(takes[job.pk])
    more = max(0, in_order.count() - SHOWN) if len(waiting) == SHOWN else 0
    running = [entry(job, is_cut_off=job.owner_id not in owners) for job in running]
    return Line(queue, workers, running, entries, more)


def places(jobs: list[Job]) -> dict[int, int]:
    """The places, from 1, of those of the jobs that wait, each in its queue."""
    queues = {job.queue for job in jobs if job.status == JobStatus.QUEUED}
    if not queues:
        return {}
    rank = Window(RowNumber(), partition_by="queue", order_by=[F("priority").desc(), F("id")])
    ranked = Job.objects.queued().filter(queue__in=queues).order_by().annotate(place=rank)
    return dict(ranked.values_list("pk", "place"))


def paces(kinds: set[str]) -> dict[str, Span]:
    """Seconds an item of each kind, as the middle half of the last finished jobs took."""
    found = {}
    for kind in kinds:
        finished = Job.objects.filter(kind=kind, status=JobStatus.COMPLETED, done__gt=0).order_by("-pk")
        times = finished.values_list("started_at", "finished_at", "done")[:REMEMBERED]
        seconds = sorted((end - start).total_seconds() / done for start, end, done in times if start)
        if seconds:
            found[kind] = seconds[len(seconds) // 4], seconds[-1 - len(seconds) // 4]
    return found


def _left(job: Job, now: datetime, pace: dict[str, Span], known: dict[int, Span | None]) -> Span | None:
    """From its own progress, if it has run without a break; else what its kind says, else how long its like took."""
    items = job.total - job.done - job.failed
    if job.status == JobStatus.RUNNING and job.total and job.done and job.epoch == 1:
        own = (now - job.started_at).total_seconds() / job.done
        return items * own * 0.8, items * own * 1.25
    if known.get(job.pk):
        return known[job.pk]
    each = pace.get(job.kind)
    return (items * each[0], items * each[1]) if each and job.total else None


def _start(before: list[Span | None], hands: int, *, free: int) -> Span | None:
    if free > 0:
        return 0.0, 0.0
    if not hands or None in before:
        return None
    return sum(low for low, _ in before) / hands, sum(high for _, high in before) / hands


def say(span: Span | None) -> str:
    """A span of seconds in words, such as "2–4 minutes"; "" when nobody can say."""
    if span is None:
        return ""
    low, high = span
    if high < 50:
        return "less than a minute"
    unit, seconds = ("minute", 60) if high < 100 * 60 else ("hour", 3600)
    first, last = max(1, round(low / seconds)), max(1, round(high / seconds))
    if first == last:
        return f"about {last} {unit}{'s' if last > 1 else ''}"
    return f"{first}–{last} {unit}s"
