import os
import sys

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from imagineer.jobs import workers
from imagineer.jobs.doorbell import QUEUES
from imagineer.upgrade import UpgradeError, wait_for_upgrade


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
        try:
            was_upgraded = wait_for_upgrade()
        except UpgradeError as error:
            raise CommandError(str(error)) from error
        if was_upgraded or os.environ.get("Q_CLUSTER_NAME") != queue:
            # django-q2 chooses its queue from the environment, while the settings load; and after an upgrade other
            # code lies here than was loaded
            environment = os.environ | {"Q_CLUSTER_NAME": queue}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
        from imagineer.jobs.cluster import run_cluster

        try:
            if waiting := workers.waiting_migrations():
                raise CommandError(
                    f"The database is of another release: {len(waiting)} migrations wait. Run `make upgrade`, or "
                    "`manage.py migrate` in a new library."
                )
            status = run_cluster(queue)
        except Error as error:
            raise CommandError(
                f"The database cannot be used ({error}). Is it there, and migrated?"
            ) from error
        sys.exit(status)
