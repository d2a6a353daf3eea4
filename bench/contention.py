"""R15: four processes that write and fifty readers, at once on one SQLite file, for a minute (ten with full=1).

The writers do what workers and curators do, by the same services: jobs claimed, pictures committed under their fence,
albums filled, labels, progress. Each error is counted by its sentence; a lock that outlasts the busy timeout is one.
"""

import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from bench.library import a_library, fill

WRITERS, READERS, THREADS = 4, 50, 10  # readers in processes of ten threads
ADDRESSES = (
    "/",
    "/albums",
    "/albums/1",
    "/images/5",
    "/api/images",
    "/api/albums",
    "/api/runs",
    "/api/health",
)


def measure(full: bool = False):
    seconds = 600 if full else 60
    with a_library(settings="tests.cluster_settings"):
        fill(0, 1000)
        until = time.time() + seconds + 5  # that all have started
        parts = [start("write", until, number) for number in range(WRITERS)]
        parts += [start("read", until, number) for number in range(READERS // THREADS)]
        written, read, errors = [], [], Counter()
        for number, part in enumerate(parts):
            lines = part.communicate()[0].splitlines()
            for line in lines:
                kind, _, value = line.partition(" ")
                if kind == "took":
                    (written if number < WRITERS else read).append(float(value))
                else:
                    errors[value] += 1
            if part.returncode:
                errors[f"a process ended with {part.returncode}"] += 1
    locked = sum(count for sentence, count in errors.items() if "locked" in sentence)
    yield {
        "id": "R15",
        "what": f"{WRITERS} writing processes and {READERS} readers on one SQLite file for {seconds} s",
        "ours": f"{locked} times “database is locked”, {sum(errors.values()) - locked} other errors",
        "baseline": f"{len(written):,} transactions written, p99 {p99(written):.0f} ms",
        "ratio": f"{len(read):,} pages read, p99 {p99(read):.0f} ms",
        "goal": "0 errors",
        "met": not errors,
    }
    for sentence, count in errors.most_common(5):
        print(f"{count} × {sentence}", file=sys.stderr)


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1] if len(values) > 1 else 0.0


def start(what: str, until: float, number: int) -> subprocess.Popen:
    code = f"import bench.contention as c; c.take_part({what!r}, {until!r}, {number})"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def take_part(what: str, until: float, number: int) -> None:
    import django

    django.setup()
    act, threads = (read, THREADS) if what == "read" else (write, 1)
    with ThreadPoolExecutor(threads) as pool:
        for part in [pool.submit(act, until, number) for _ in range(threads)]:
            print("\n".join(part.result()), flush=True)


def timed(action, until: float):
    """Do it until then; a line for each time: how many milliseconds it took, or what it raised."""
    lines, count = [], 0
    while time.time() < until:
        begun = time.perf_counter()
        try:
            action(count)
            lines.append(f"took {1000 * (time.perf_counter() - begun):.1f}")
        except Exception as error:  # noqa: BLE001  whatever it is, it is counted
            lines.append(f"raised {type(error).__name__}: {' '.join(str(error).split())[:100]}")
        count += 1
    return lines


def read(until: float, number: int) -> list[str]:
    from django.db import connection
    from django.test import Client

    client = Client()

    def look(count: int) -> None:
        address = ADDRESSES[(count + number) % len(ADDRESSES)]
        if client.get(address).status_code != 200:
            raise RuntimeError(f"{address} does not answer 200")

    try:
        return timed(look, until)
    finally:
        connection.close()


def write(until: float, number: int) -> list[str]:
    """One action is one transaction, as a worker's commit of a picture or a curator's click is."""
    from django.db import connection

    from gallery.ingest import PreparedImage, create_image
    from gallery.models import Label
    from gallery.services import add_images, create_album
    from imagineer.jobs import runner
    from imagineer.jobs.progress import Progress
    from tests.jobs_app.tasks import submit_items

    state = {}

    def act(count: int) -> None:
        if count % 20 == 0:
            submit_items(18)
            state["progress"] = Progress(runner.claim("default"))
            state["album"] = create_album(name=f"Album {number} {count}")
            return
        progress, digest = state["progress"], f"{number:x}{count:063x}"
        prepared = PreparedImage(
            digest, f"originals/{digest}.png", "image/png", 512, 720, 400_000, count, is_own_encoding=True
        )
        with progress.commit(done=1 if count % 20 < 19 else 0):
            image = create_image(
                prepared, source_type="batch_generation", rating="safe", prompt=f"picture {count}"
            )
            add_images(state["album"], [image])
            Label.objects.create(image=image, text="lighthouse")
        if count % 20 == 19:
            runner.request_cancel(progress.job)

    try:
        return timed(act, until)
    finally:
        connection.close()
