import os
import sys

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from imagineer.jobs.doorbell import QUEUES


class Command(BaseCommand):
    help = (
        "Do the work of a queue, until SIGTERM or Ctrl-C. Ends with an error when one of its processes dies; "
        "let a service manager start it again."
    )

    def add_arguments(self, parser):
        parser.add_argument("queue", nargs="?", default="default", help=f"one of {', '.join(QUEUES)}")

    def handle(self, *args, queue, **options):
        if queue not in QUEUES:
            raise CommandError(f"There is no queue {queue!r}; there are {', '.join(QUEUES)}.")
        if os.environ.get("Q_CLUSTER_NAME") != queue:
            # django-q2 chooses its queue from the environment, while the settings load.
            environment = os.environ | {"Q_CLUSTER_NAME": queue}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
        from imagineer.jobs.cluster import run_cluster

        try:
            status = run_cluster(queue)
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used ({error}). Is it there, and migrated?"
            ) from error
        sys.exit(status)
