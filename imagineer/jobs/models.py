from datetime import datetime, timedelta

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from imagineer.jobs import processes


class WorkerQuerySet(models.QuerySet):
    def seen_since(self, moment: datetime):
        return self.filter(seen_at__gte=moment)


class Worker(models.Model):
    """A cluster (its main process), or a process that runs a job inline; the row lives as long as the process.

    ``pid`` alone is no name: ``boot`` and ``process_started`` tell a process from a later one with its number.
    """

    host = models.CharField(max_length=255)
    queue = models.CharField(max_length=20, blank=True, help_text="Empty for a process that works inline.")
    pid = models.PositiveIntegerField()
    boot = models.CharField(max_length=120, editable=False)
    process_started = models.FloatField(editable=False)
    device = models.CharField(
        max_length=100, blank=True, help_text="The card that it holds; empty until work opens it."
    )
    model = models.CharField(max_length=200, blank=True, help_text="What is warm in the card's memory.")
    memory = models.BigIntegerField(default=0, help_text="Resident bytes of all its processes.")
    seen_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(default=timezone.now)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["queue", "pk"]
        constraints = [
            models.UniqueConstraint(
                "host", "device", name="card_has_one_owner", condition=~Q(device__in=["", "cpu"])
            )
        ]

    def __str__(self):
        return f"{self.queue or 'inline'} on {self.host} (process {self.pid})"

    def is_gone(self, *, silent_since: datetime) -> bool:
        """Whether its process is certainly dead, as far as this machine can tell.

        A row of this host from another start of the machine (or another container of its name, or a namesake)
        cannot be looked up. It counts as gone when it has not been seen since this start, which no process has
        survived, or since ``silent_since``.
        """
        if self.host != processes.host_name():
            return False
        if self.boot != processes.boot_id():
            return self.seen_at < max(silent_since, processes.booted_at())
        return processes.start_time(self.pid) != self.process_started


class JobStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)


class JobQuerySet(models.QuerySet):
    def active(self):
        return self.filter(status__in=ACTIVE)

    def finished(self):
        return self.exclude(status__in=ACTIVE)

    def queued(self):
        return self.filter(status=JobStatus.QUEUED)

    def running(self):
        return self.filter(status=JobStatus.RUNNING)

    def due(self, now: datetime):
        """Nothing waits for longer than two leases: a later moment was written before the clock was put back."""
        too_late = now + timedelta(seconds=2 * settings.JOB_LEASE)
        return self.filter(Q(not_before=None) | Q(not_before__lte=now) | Q(not_before__gt=too_late))

    def claimable(self, queue: str, now: datetime):
        """What a worker of this queue may take now, the best first."""
        return self.queued().due(now).filter(queue=queue).order_by("-priority", "pk")

    def expired(self, now: datetime):
        return self.running().filter(lease_until__lte=now).order_by("lease_until")

    def held(self, job_id: int, epoch: int):
        """The job while this claim of it is the valid one. Every write of a worker goes through this fence."""
        return self.filter(pk=job_id, epoch=epoch, status=JobStatus.RUNNING)

    # The verbs below are the only writers of ``status``; each is one conditional statement, so that of two
    # actors at one moment exactly one changes the row. They return how many rows changed.

    def take(self, *, owner_id: int | None, now: datetime, lease_until: datetime) -> int:
        return self.queued().update(
            status=JobStatus.RUNNING,
            epoch=F("epoch") + 1,
            owner=owner_id,
            lease_until=lease_until,
            not_before=None,
            started_at=Coalesce("started_at", Value(now)),
        )

    def finish(self, status: JobStatus, *, now: datetime, **fields) -> int:
        return self.running().update(status=status, lease_until=None, owner=None, finished_at=now, **fields)

    def requeue(self, *, now: datetime, not_before: datetime | None = None, **fields) -> int:
        """Running jobs back to the queue; those that somebody asked to cancel become cancelled instead."""
        asked = {"cancel_requested_at__isnull": False}
        return self.running().update(
            status=Case(When(**asked, then=Value(JobStatus.CANCELLED)), default=Value(JobStatus.QUEUED)),
            finished_at=Case(When(**asked, then=Value(now)), output_field=models.DateTimeField()),
            lease_until=None,
            owner=None,
            not_before=not_before,
            rung_at=None,
            **fields,
        )

    def cancel(self, *, now: datetime) -> int:
        """Queued jobs at once; running ones are asked to stop at their next checkpoint."""
        waits = {"status": JobStatus.QUEUED}
        return self.active().update(
            status=Case(When(**waits, then=Value(JobStatus.CANCELLED)), default=F("status")),
            finished_at=Case(When(**waits, then=Value(now)), output_field=models.DateTimeField()),
            message=Case(When(**waits, then=Value("")), default=F("message")),  # why it waited
            cancel_requested_at=Coalesce("cancel_requested_at", Value(now)),
        )

    def revive(self, *, now: datetime) -> int:
        """Finished jobs with something left to do back to the queue: a person's retry, and nothing else."""
        unfinished = Q(status__in=[JobStatus.FAILED, JobStatus.CANCELLED]) | Q(
            status=JobStatus.COMPLETED, failed__gt=0
        )
        return self.filter(unfinished).update(
            status=JobStatus.QUEUED,
            failed=0,
            crashes=0,
            error="",
            message="",
            not_before=None,
            cancel_requested_at=None,
            finished_at=None,
            rung_at=now,
        )


class Job(models.Model):
    """One piece of long work. The row is the truth; a broker message only rings (``imagineer.jobs.doorbell``)::

                    submit()                 claim()
         (create) ───────────▶ queued ────────────────▶ running ──▶ completed   every item done or failed
                                │  ▲ ▲                    ├───────▶ failed      nothing done, or a sentence says why
                                │  │ └─ drained, yields, ─┤
                                ▼  │  waits, lease ran out▼
                            cancelled ◀─────────── cancelled at a checkpoint
                                   └── retry() by a person, from failed, cancelled, or completed with failed items

    ``epoch`` is the fencing number: each claim raises it, and whoever holds an older one can change nothing.
    ``lease_until`` is renewed by the holder; past it anybody may put the job back. What a kind has of its own
    hangs on the job by ``OneToOneField(Job, primary_key=True)``.
    """

    kind = models.CharField(max_length=50)
    queue = models.CharField(max_length=20)
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED, editable=False)
    priority = models.SmallIntegerField(default=0, help_text="Higher goes first.")
    epoch = models.PositiveIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    owner = models.ForeignKey(
        Worker, on_delete=models.SET_NULL, null=True, editable=False, related_name="jobs"
    )
    not_before = models.DateTimeField(null=True, editable=False)
    rung_at = models.DateTimeField(null=True, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    crashes = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Deaths of its worker since an item was last finished."
    )
    done = models.PositiveIntegerField(default=0, editable=False)
    total = models.PositiveIntegerField(default=0, help_text="Items to do; 0 while nobody knows.")
    failed = models.PositiveIntegerField(default=0, editable=False)
    message = models.CharField(max_length=300, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False)
    log_tail = models.TextField(blank=True, editable=False)
    params = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index("queue", F("priority").desc(), "id", name="job_claim", condition=Q(status="queued")),
            models.Index("lease_until", name="job_lease", condition=Q(status="running")),
            models.Index(
                "finished_at", name="job_log", condition=Q(finished_at__isnull=False) & ~Q(log_tail="")
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="job_running_has_lease",
                condition=Q(status="running", lease_until__isnull=False)
                | (~Q(status="running") & Q(lease_until=None)),
            ),
            models.CheckConstraint(
                name="job_finished_has_time",
                condition=Q(status__in=["queued", "running"], finished_at=None)
                | Q(status__in=["completed", "failed", "cancelled"], finished_at__isnull=False),
            ),
            models.CheckConstraint(
                name="job_counts_fit", condition=Q(total=0) | Q(total__gte=F("done") + F("failed"))
            ),
        ]

    def __str__(self):
        return f"{self.kind} job {self.pk}"

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def can_retry(self) -> bool:
        return self.status in (JobStatus.FAILED, JobStatus.CANCELLED) or (
            self.status == JobStatus.COMPLETED and self.failed > 0
        )
