"""R4 R5 R6 R12 R13 R14 R18: how soon work goes on, stops and starts, and whether what was committed stays.

Real clusters with the default lease, on SQLite, and on PostgreSQL where one answers; their times contain the start of
Python and the load of the machine. Random kills by the hundred are `make chaos`, backups under load
`tests/imagineer/test_backup.py`.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from itertools import chain
from pathlib import Path

from bench.library import a_library

LEASE = 90  # seconds, the default
BACKLOG = 10_000  # jobs
WRITERS = 4


def measure(full: bool = False):
    import psycopg

    from bench.chaos.__main__ import postgresql

    for database in ("sqlite", "postgresql"):
        with ExitStack() as stack:
            url = ""
            if database == "postgresql":
                try:
                    url = stack.enter_context(postgresql())
                except psycopg.OperationalError as error:
                    print(f"PostgreSQL is not measured: {error}", file=sys.stderr)
                    return
            command = [sys.executable, "-m", "bench.reliability", f"--database={url}", *["--full"] * full]
            part = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for text in part.stdout:
                if text.startswith('{"id"'):
                    yield json.loads(text)
            if part.wait():
                raise SystemExit(f"{database} broke off with {part.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", default="")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    with a_library(settings="tests.cluster_settings", database=options.database) as folder:
        measure_all(folder, options.full)


def measure_all(folder: Path, full: bool) -> None:
    from django.db import connection

    from tests.clusters import Site

    site = Site(folder, os.environ["DATABASE_URL"], lease=LEASE)
    times = 10 if full else 3
    try:
        for line in chain(
            recoveries(site, times, full),
            stops(site, times),
            cancels(site, times),
            starts(site, folder / "events", 200 if full else 40),
            backlog(),
            kills_of_writers(folder, 50_000 if full else 5_000),
        ):
            line["what"] += f", {connection.display_name}"
            line["ratio"] = f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
            print(json.dumps(line), flush=True)
    finally:
        site.stop()


def line(id: str, what: str, ours: str, *, goal: str, met: bool, beside: str = "") -> dict:
    return {"id": id, "what": what, "ours": ours, "baseline": beside, "ratio": "", "goal": goal, "met": met}


def of(waits: list[float], unit: str = "s") -> str:
    return f"median {statistics.median(waits):.2f} {unit}, most {max(waits):.2f} {unit} of {len(waits)}"


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def done() -> int:
    from tests.jobs_app.models import Result

    return Result.objects.count()


def wait_for_progress() -> float:
    """Seconds until the next item is done."""
    from tests.clusters import wait_until

    begun, before = time.monotonic(), done()
    wait_until(lambda: done() > before, "work goes on", timeout=240)
    return time.monotonic() - begun


def recoveries(site, times: int, full: bool):
    """R4: as soon as it has ended, the cluster is started again, as a service manager does."""
    from bench.chaos.weapons import kill_everything, kill_worker
    from imagineer.jobs.models import Worker
    from tests.jobs_app.tasks import submit_items

    job = submit_items(100_000, kind="drawing", seconds=0.02)
    cluster, dice = site.start("gpu"), random.Random(4)
    for what, kill in {"its worker": kill_worker, "all its processes": kill_everything}.items():
        waits, computed = [], []
        for _ in range(times):
            wait_for_progress()
            begun = time.monotonic()
            kill(cluster, dice)
            cluster.wait()
            cluster = site.start("gpu", wait=False)
            wait_for_progress()
            waits.append(time.monotonic() - begun)
            computed.append(sum(sum(process.cpu_times()[:2]) for process in cluster.processes()))
        yield line(
            "R4",
            f"kill -9 of {what} until the next item is done, restarted at once",
            of(waits),
            beside=f"processor time of the new cluster {statistics.median(computed):.1f} s",
            goal="≤ 10 s",
            met=max(waits) <= 10,
        )
    if full:
        begun = time.monotonic()
        kill_everything(cluster, dice)
        cluster.wait()
        Worker.objects.update(host="a machine that never came back")
        cluster = site.start("gpu", wait=False)
        wait_for_progress()
        seconds = time.monotonic() - begun
        yield line(
            "R4",
            "the same when its machine is lost and another takes over",
            f"{seconds:.0f} s, once",
            goal="≤ 150 s",
            met=seconds <= 150,
        )
    cluster.terminate()
    job.delete()


def stops(site, times: int):
    """R5: from the signal to the end of the main process."""
    from bench.chaos.weapons import stop_group, stop_main
    from imagineer.jobs.models import JobStatus
    from tests.jobs_app.tasks import submit_items

    job, dice = submit_items(100_000, kind="drawing", seconds=0.02), random.Random(5)
    for what, stop in {"the main process": stop_main, "the whole group": stop_group}.items():
        waits = []
        for _ in range(times):
            cluster = site.start("gpu")
            wait_for_progress()
            begun = time.monotonic()
            stop(cluster, dice)
            cluster.wait()
            waits.append(time.monotonic() - begun)
            job.refresh_from_db()
            assert (job.status, job.crashes) == (JobStatus.QUEUED, 0)
        yield line(
            "R5",
            f"SIGTERM to {what} of a busy cluster until it has ended, job queued, no strike",
            of(waits),
            goal="≤ 10 s",
            met=max(waits) <= 10,
        )
    job.delete()


def cancels(site, times: int):
    """R6: a picture that is being drawn by the starter model."""
    from imagineer.jobs.models import JobStatus
    from imagineer.jobs.runner import request_cancel
    from templates_app.ordering import start_single
    from tests.clusters import wait_until

    cluster, waits = site.start("gpu"), []
    for number in range(times):
        run = start_single("a red crab on a teal background", steps=150, variants=8, seed=number)
        wait_until(lambda run=run: run.items.filter(status=JobStatus.RUNNING).exists(), "it draws")
        time.sleep(random.uniform(1, 2))
        begun = time.monotonic()
        job = request_cancel(run.job)
        while job.is_active:
            time.sleep(0.01)
            job.refresh_from_db()
        waits.append(time.monotonic() - begun)
        assert job.status == JobStatus.CANCELLED
    cluster.terminate()
    yield line(
        "R6",
        "cancel of pictures that are being drawn until the job is cancelled",
        of(waits),
        goal="≤ 2 s",
        met=max(waits) <= 2,
    )


def starts(site, events: Path, count: int):
    """R12 and R13, by jobs that do nothing."""
    from bench.jobs import measure_pairs
    from imagineer.jobs import doorbell
    from imagineer.jobs.models import Job

    cluster = site.start("gpu")
    ours, bare = ([1000 * wait for wait in kind] for kind in zip(*measure_pairs(events, count), strict=True))
    yield line(
        "R12",
        "from submit to the first line of the body, idle worker",
        f"p95 {p95(ours):.0f} ms of {count}",
        beside=f"stock no-op p95 {p95(bare):.0f} ms",
        goal="≤ 250 ms",
        met=p95(ours) <= 250,
    )
    number = 10 * count
    params = {"events": str(events)}
    jobs = Job.objects.bulk_create([Job(kind="instant", queue="gpu", params=params) for _ in range(number)])
    worker, begun = cluster.workers[0], time.monotonic()
    computed = -sum(worker.cpu_times()[:2])
    doorbell.ring("gpu", jobs[0].pk)
    while Job.objects.active().exists():
        time.sleep(0.02)
    rate = number / (time.monotonic() - begun)
    computed += sum(worker.cpu_times()[:2])
    cluster.terminate()
    yield line(
        "R13",
        "jobs that do nothing, through one worker",
        f"{rate:.0f} a second of {number}",
        beside=f"{1000 * computed / number:.1f} ms of processor time each",
        goal="≥ 300 a second",
        met=rate >= 300,
    )


def backlog():
    """R14: as many orders of one picture each."""
    from django.db import connection
    from django.test import Client
    from django.utils import timezone

    from gallery.models import DiffusionModel
    from imagineer.jobs import runner
    from imagineer.jobs.models import Job
    from templates_app.models import BatchGenerationRun, RunItem

    Job.objects.all().delete()
    model = DiffusionModel.objects.create(name="backlog", location="x")
    jobs = Job.objects.bulk_create(
        [
            Job(kind="generation", queue="gpu", total=1, priority=number % 3, rung_at=timezone.now())
            for number in range(BACKLOG)
        ],
        batch_size=500,
    )
    runs = BatchGenerationRun.objects.bulk_create(
        [
            BatchGenerationRun(job=job, album_name=f"Album {job.pk}", user_theme="brass", model=model)
            for job in jobs
        ],
        batch_size=500,
    )
    drawn = {"width": 512, "height": 512, "steps": 30, "guidance_scale": 7.5, "scheduler": "euler"}
    RunItem.objects.bulk_create(
        [RunItem(run=run, position=1, name="one", prompt="a crab", seed=1, **drawn) for run in runs],
        batch_size=500,
    )
    pages = {}
    for address in ("/queue", "/api/jobs", "/api/health"):
        client = Client()
        client.get(address)  # templates are compiled once
        pages[address] = [
            timed(lambda client=client, address=address: client.get(address)) for _ in range(20)
        ]

    def claim() -> None:
        job = runner.claim("gpu")
        later = timezone.now() + timedelta(hours=1)
        Job.objects.filter(pk=job.pk).requeue(now=timezone.now(), not_before=later)

    claims = [timed(claim) for _ in range(300)]
    told = [("a claim, and giving it back,", claims, 20)]
    told += [(address, waits, 200) for address, waits in pages.items()]
    # SQLite computes in this thread, a server elsewhere: there only the clock sees all of it
    is_here = connection.vendor == "sqlite"
    for what, waits, goal in told:
        slow = p95([cpu if is_here else wall for cpu, wall in waits])
        yield line(
            "R14",
            f"{'processor time of ' * is_here}{what} among {BACKLOG:,} queued jobs",
            f"p95 {slow:.1f} ms of {len(waits)}",
            beside=f"by the clock: median {statistics.median(wall for _, wall in waits):.1f} ms",
            goal=f"p95 ≤ {goal} ms",
            met=slow <= goal,
        )
    Job.objects.all().delete()


def timed(action) -> tuple[float, float]:
    """Milliseconds of this thread's processor time, and by the clock, which counts other work and the server."""
    begun, cpu = time.perf_counter(), time.thread_time()
    action()
    return 1000 * (time.thread_time() - cpu), 1000 * (time.perf_counter() - begun)


# ---- R18


def kills_of_writers(folder: Path, wanted: int):
    """Each writer says what it has committed; killed at any instant, it may have committed one more, never less."""
    from django.db import connection
    from django.db.models import Count

    from imagineer.jobs.models import Job
    from tests.jobs_app.models import Item

    job = Job.objects.create(kind="errand", queue="default")
    said = [folder / f"writer-{number}" for number in range(WRITERS)]
    writers, kills, dice = {}, 0, random.Random(18)

    def acknowledged(path: Path) -> list[str]:
        return path.read_text().split("\n")[:-1] if path.exists() else []

    while sum(counts := [len(acknowledged(path)) for path in said]) < wanted:
        for number, path in enumerate(said):
            writer, doom = writers.get(path, (None, 0))
            if writer and writer.poll() is not None:
                raise SystemExit(f"A writer has ended by itself, with {writer.returncode}.")
            if writer and counts[number] > doom:
                writer.kill()
                writer.wait()
                kills += 1
            if not writer or counts[number] > doom:
                code = f"import bench.reliability as r; r.write({job.pk}, {str(path)!r}, {number})"
                life = dice.randint(10, 1500)  # commits, as most of its time goes into its start
                writers[path] = subprocess.Popen([sys.executable, "-c", code]), counts[number] + life
        time.sleep(0.05)
    for writer, _ in writers.values():
        writer.kill()
        writer.wait()
        kills += 1
    # at one moment: a server may still be at the last commit of a writer that is dead
    rows, counted = Job.objects.filter(pk=job.pk).values_list(Count("items"), "done").get()
    positions = set(Item.objects.filter(job=job).values_list("position", flat=True))
    kept = [text for path in said for text in acknowledged(path)]
    lost = sum(int(text) not in positions for text in kept)
    problems = [f"{rows} rows, counted {counted}"] * (rows != counted)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            problems += [
                verdict for (verdict,) in cursor.execute("PRAGMA integrity_check") if verdict != "ok"
            ]
    yield line(
        "R18",
        f"acknowledged commits lost of {len(kept):,}, {WRITERS} writers killed -9 {kills} times",
        f"{lost} lost",
        beside="; ".join(problems) or "counters and integrity right",
        goal="0",
        met=not lost and not problems,
    )


def write(job_id: int, path: str, number: int) -> None:
    import django

    django.setup()
    from django.db import transaction
    from django.db.models import F, Max

    from imagineer.jobs.models import Job
    from tests.jobs_app.models import Item

    said = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    first = number * 10**7
    mine = Item.objects.filter(job=job_id, position__range=(first, first + 10**7 - 1))
    position = 1 + (mine.aggregate(last=Max("position"))["last"] or first)
    while True:
        with transaction.atomic():
            Job.objects.filter(pk=job_id).update(done=F("done") + 1)
            Item.objects.create(job_id=job_id, position=position)
        os.write(said, b"%d\n" % position)
        position += 1


if __name__ == "__main__":
    main()
