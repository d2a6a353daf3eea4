"""R16: a hundred visitors of the public gallery, first alone and then while the starter model draws a run beside them.

The site runs as its unit in docs/deploy starts it, gunicorn with two processes of four threads, on a library without
files. Each visitor asks for a page and looks at it for some seconds, as people do; all share the machine with what they
measure.
"""

import http.client
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.library import a_library, fill

VISITORS = 100
LOOKS = 5  # seconds at a page in the mean
PICTURES = 10_000  # ten times as many with full=1


def measure(full: bool = False):
    seconds, pictures = (180 if full else 30), PICTURES * (10 if full else 1)
    with a_library(host="127.0.0.1"):
        fill(0, pictures)
        with gunicorn() as port:
            visit(port, seconds / 6, pictures)  # templates are compiled, connections made
            alone, failed = visit(port, seconds, pictures)
            with a_run_going_on() as drawn:
                beside, failed_beside = visit(port, seconds, pictures)
                number = drawn()
                if not is_drawing():
                    raise SystemExit("The run was over before the visitors were: order more pictures.")
    wrong = failed + failed_beside
    slow, idle = p95(beside), p95(alone)
    yield {
        "id": "R16",
        "what": f"{VISITORS} visitors of {pictures:,} pictures for {seconds} s while a run goes on ({number} pictures drawn)",
        "ours": f"p95 {slow:.0f} ms, median {statistics.median(beside):.0f} ms of {len(beside):,} pages; {len(wrong)} errors",
        "baseline": f"without the run p95 {idle:.0f} ms, median {statistics.median(alone):.0f} ms of {len(alone):,}",
        "ratio": f"{slow / idle:.1f}×",
        "goal": "≤ 3×, 0 errors",
        "met": slow <= 3 * idle and not wrong,
    }
    for sentence in sorted(set(wrong))[:5]:
        print(sentence, file=sys.stderr)


def is_drawing() -> bool:
    from imagineer.jobs.models import Job

    return Job.objects.active().exists()


def p95(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=20)[-1]


@contextmanager
def gunicorn():
    # Not before the settings are read: it imports pytest, which they look for.
    from tests.clusters import free_port, wait_until

    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "imagineer.wsgi", "--bind", f"127.0.0.1:{port}"]
    server = subprocess.Popen([*command, "--workers", "2", "--threads", "4", "--log-level", "error"])
    try:
        wait_until(lambda: answers(port), "the site answers")
        yield port
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/api/health")
    except OSError:
        return False
    return True


@contextmanager
def a_run_going_on():
    """Pictures of the starter model, one after the other; yields how many there are by now."""
    from templates_app.models import RunItem
    from templates_app.ordering import start_single
    from tests.clusters import wait_until

    worker = subprocess.Popen([sys.executable, "manage.py", "work", "gpu"])
    drawn = RunItem.objects.exclude(image=None)
    try:
        for seed in range(20):
            start_single("a red crab on a teal background", steps=50, variants=8, seed=seed)
        wait_until(drawn.exists, "the first picture is drawn")
        yield drawn.count
    finally:
        worker.terminate()
        worker.wait()


def visit(port: int, seconds: float, pictures: int) -> tuple[list[float], list[str]]:
    """All visitors for so long: milliseconds of each page, and a sentence for each that was not answered 200."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(VISITORS) as people:
        told = list(people.map(lambda number: stroll(port, until, pictures, number), range(VISITORS)))
    return [wait for waits, _ in told for wait in waits], [fault for _, faults in told for fault in faults]


def stroll(port: int, until: float, pictures: int, number: int) -> tuple[list[float], list[str]]:
    dice, waits, faults = random.Random(number), [], []
    while time.monotonic() + (pause := dice.expovariate(1 / LOOKS)) < until:
        time.sleep(pause)
        album, picture = dice.randint(1, pictures // 100), dice.randint(1, pictures)
        address = dice.choice(("/", "/albums", "/albums/1", f"/albums/{album}", f"/images/{picture}"))
        begun = time.monotonic()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", address)
            response = connection.getresponse()
            response.read()
            connection.close()
        except OSError as error:
            faults.append(f"{address}: {error}")
            continue
        waits.append(1000 * (time.monotonic() - begun))
        if response.status != 200:
            faults.append(f"{address} was answered {response.status}")
    return waits, faults
