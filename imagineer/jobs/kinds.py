"""The kinds of jobs: each app registers what it can do, and what may be told of it."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest

from imagineer.jobs import doorbell
from imagineer.jobs.models import Job
from imagineer.jobs.progress import Progress

Span = tuple[float, float]  # seconds, from and to


@dataclass(frozen=True)
class Told:
    """What a kind tells of one of its jobs to one viewer."""

    title: str = ""  # empty: what it makes is private
    tells_texts: bool = False  # whether its messages, too, are for this viewer


@dataclass(frozen=True)
class Kind:
    name: str
    queue: str
    body: Callable[[Job, Progress], None]
    on_retry: Callable[[Job], None] | None = None
    page: str = ""
    tells: Callable[[list[Job], HttpRequest], dict[int, Told]] | None = None
    lasts: Callable[[list[Job]], dict[int, Span | None]] | None = None
    params: frozenset[str] = frozenset()


_kinds: dict[str, Kind] = {}


def job_task(
    kind: str,
    *,
    queue: str = "default",
    params: tuple[str, ...] = (),
    on_retry: Callable[[Job], None] | None = None,
    page: str = "",
    tells: Callable[[list[Job], HttpRequest], dict[int, Told]] | None = None,
    lasts: Callable[[list[Job]], dict[int, Span | None]] | None = None,
):
    """Register the body of a kind of job: ``body(job, progress)``, in the ``tasks`` module of an app.

    A body may be started any number of times for one job and does only what is left to do. It returns when all
    is done or failed, and raises ``JobFailed`` with a sentence, or ``JobWaits`` to be tried again later. Between two
    batches it calls ``progress.give_way()``.

    :param params: the names that it understands in a job's ``params``. A job with others was ordered by a newer release
        and waits for that; so a name is added, and never changes what it means.
    :param page: the address of its own page, such as ``/runs/{id}``.
    :param on_retry: puts the job's failed items back, in the transaction of the retry.
    :param tells: what this request's viewer may know of these jobs, by their ids, in a few queries for all of them;
        without it the public learns kind, status, counts and times.
    :param lasts: how long each of these jobs still takes once it runs; without it, the last jobs of the kind tell.
    """

    def register(body):
        if queue not in doorbell.QUEUES:
            raise ValueError(f"There is no queue {queue!r}; Q_CLUSTER has {', '.join(doorbell.QUEUES)}.")
        _kinds[kind] = Kind(kind, queue, body, on_retry, page, tells, lasts, frozenset(params))
        return body

    return register


def page_of(job: Job) -> str:
    """The address of what the job works on, or "" if its kind has no page."""
    return _kinds[job.kind].page.format(id=job.pk) if job.kind in _kinds else ""


def tell(jobs: list[Job], request: HttpRequest) -> dict[int, Told]:
    """What this request's viewer may know of each of the jobs; one call a kind."""
    is_admin = bool(request.user and request.user.is_active and request.user.is_staff)
    told = {job.pk: Told(tells_texts=is_admin) for job in jobs}
    for name in {job.kind for job in jobs} & _kinds.keys():
        if tells := _kinds[name].tells:
            told |= tells([job for job in jobs if job.kind == name], request)
    return told


def estimate(jobs: list[Job]) -> dict[int, Span | None]:
    """How long each of the jobs still takes, of those kinds that can say; one call a kind."""
    known: dict[int, Span | None] = {}
    for name in {job.kind for job in jobs} & _kinds.keys():
        if lasts := _kinds[name].lasts:
            known |= lasts([job for job in jobs if job.kind == name])
    return known
