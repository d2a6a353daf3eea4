"""The only place that speaks to django-q2. A message says "look at your queue" and means nothing else: lost, late,
doubled or reordered ones change nothing."""

import contextlib
import logging
from datetime import timedelta

from django.conf import settings
from django.db import Error
from django.utils import timezone

logger = logging.getLogger(__name__)

QUEUES = ("default", *settings.Q_CLUSTER["ALT_CLUSTERS"])


def ring(queue: str, job_id: int) -> None:
    """Wake a worker of the queue. Where the broker is away that is noted on the job, and the next tick rings again."""
    from django_q.tasks import async_task

    from imagineer.jobs.models import Job

    try:
        # The cluster is always named: without it, a process that inherited a queue's name would ring there.
        async_task("imagineer.jobs.runner.answer_doorbell", queue, job_id, cluster=queue)
    except Exception as error:  # noqa: BLE001  whatever a broker raises
        logger.warning("could not ring for queue %s: %s", queue, error)
        with contextlib.suppress(Error):  # it is the broker, too, by default
            Job.objects.filter(pk=job_id).update(rung_at=None)


def is_ringing(queue: str) -> bool:
    """Whether messages wait that no worker has taken yet."""
    from django_q.brokers import get_broker

    try:
        return get_broker(queue).queue_size() > 0
    except Exception as error:  # noqa: BLE001
        logger.warning("could not look at queue %s: %s", queue, error)
        return False


def sweep() -> int:
    """Remove messages that a dead worker took with it and old reports of failure; django-q2 keeps both for ever."""
    from django_q.models import Failure, OrmQ

    now = timezone.now()
    # a taken message is locked until the moment of taking plus ``retry``
    taken_before = now + timedelta(seconds=settings.Q_CLUSTER["retry"]) - timedelta(hours=1)
    messages, _ = OrmQ.objects.filter(lock__gt=now, lock__lt=taken_before).delete()
    reports, _ = Failure.objects.filter(stopped__lt=now - timedelta(days=7)).delete()
    return messages + reports


def describe_silence() -> str:
    """A sentence when the broker does not answer, else ""."""
    from django_q.brokers import get_broker

    try:
        get_broker(QUEUES[0]).ping()
    except Exception:  # noqa: BLE001  whatever a broker raises
        return (
            "The broker (REDIS_URL) does not answer. Jobs that run go on; new ones may wait until it is back, and then "
            "start by themselves. Start it again."
        )
    return ""
