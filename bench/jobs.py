"""G8: how long a submitted job waits for its first line of work while its worker is warm and idle.

Beside it a stock django-q2 task that does nothing, through the same cluster and broker in the same minute: the
difference is what leases, fences and beats cost. The broker is polled, so both contain the same wait for the poll.
"""

import os
import random
import statistics
import time
from pathlib import Path

from bench.library import a_library

GOAL = 20  # milliseconds


def measure(full: bool = False):
    with a_library(settings="tests.cluster_settings") as folder:
        from tests.clusters import Site

        site = Site(folder, os.environ["DATABASE_URL"], lease=90)
        try:
            site.start("gpu")
            waits = measure_pairs(folder / "events", 400 if full else 80)
        finally:
            site.stop()
    ours, bare = ([wait * 1000 for wait in kind] for kind in zip(*waits, strict=True))
    more = {name: of(ours) - of(bare) for name, of in (("median", statistics.median), ("p90", p90))}
    yield {
        "id": "G8",
        "what": f"from submit to the first line of the body, warm worker, {len(waits)} times each in turn",
        "ours": f"median {statistics.median(ours):.1f} ms, p90 {p90(ours):.1f} ms",
        "baseline": f"stock no-op: median {statistics.median(bare):.1f} ms, p90 {p90(bare):.1f} ms",
        "ratio": f"median {more['median']:+.1f} ms, p90 {more['p90']:+.1f} ms",
        "goal": f"both ≤ +{GOAL} ms",
        "met": max(more.values()) <= GOAL,
    }


def p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def measure_pairs(events: Path, count: int) -> list[tuple[float, float]]:
    """Seconds until the body of a job, and until a bare task, began."""
    from django_q.tasks import async_task

    from imagineer.jobs.models import Job
    from imagineer.jobs.runner import submit

    def wait_for_line(number: int) -> float:
        while not events.exists() or events.read_text().count("\n") < number:
            time.sleep(0.001)
        return float(events.read_text().splitlines()[number - 1])

    def rest() -> None:
        while Job.objects.active().exists():
            time.sleep(0.002)
        time.sleep(random.uniform(0.02, 0.12))  # so that each meets the broker's poll at another moment

    pairs = []
    for number in range(count + 3):
        begun = time.monotonic()
        submit(kind="instant", params={"events": str(events)})
        ours = wait_for_line(2 * number + 1) - begun
        rest()
        begun = time.monotonic()
        async_task("tests.jobs_app.tasks.note", str(events), cluster="gpu")
        pairs.append((ours, wait_for_line(2 * number + 2) - begun))
        rest()
    return pairs[3:]  # the first ones warm the worker
