"""G1: how much of a run the device is busy, from its ledger to its album.

The device is a stand-in that sleeps for the time a card would take and hands over a picture of the set's size, so
every gap between two of its calls is the platform's. Beside it the way most scripts do it: save after each call.
"""

import io
import time
from pathlib import Path

from bench.library import a_library

SECONDS_A_PICTURE = 0.25
SIZE = (512, 720)
ROWS = 54


def measure(full: bool = False):
    with a_library() as folder:
        from django.core.management import call_command

        call_command("seed_templates", verbosity=0, stdout=io.StringIO())
        pictures = make_pictures(ROWS)
        pairs = 3 if full else 1
        both = [(share_of_a_run(pictures), share_of_saving_inline(pictures, folder)) for _ in range(pairs)]
    ours, inline = (sorted(shares) for shares in zip(*both, strict=True))
    middle = pairs // 2
    yield {
        "id": "G1",
        "what": f"share of {ROWS} pictures of {SIZE[0]}×{SIZE[1]} at {SECONDS_A_PICTURE} s each that the device is busy",
        "ours": f"{ours[middle]:.3f} ({ours[0]:.3f}–{ours[-1]:.3f})",
        "baseline": f"saving after each call: {inline[middle]:.3f} ({inline[0]:.3f}–{inline[-1]:.3f})",
        "ratio": f"{ours[middle] / inline[middle]:.2f}×",
        "goal": "≥ 0.97",
        "met": ours[middle] >= 0.97,
    }


def make_pictures(count: int) -> list:
    """Pictures as rich in detail as a network's, which is what makes a PNG slow."""
    import numpy
    from PIL import Image

    pictures = []
    for seed in range(count):
        noise = numpy.random.default_rng(seed).normal(0, 12, (SIZE[1], SIZE[0], 3))
        slope = numpy.linspace(40, 200, SIZE[0])[None, :, None]
        pictures.append(Image.fromarray((noise + slope).clip(0, 255).astype("uint8")))
    return pictures


class SleepingDevice:
    """What the run asks of an engine, with a nap for a network."""

    device = "cpu"
    batch = 4

    def __init__(self, pictures):
        self.pictures, self.busy, self.number = pictures, 0.0, 0

    def plan(self, requests):
        return [
            list(range(len(requests)))[at : at + self.batch] for at in range(0, len(requests), self.batch)
        ]

    def draw(self, requests, *, on_step=None):
        from imagineer.engine.recipe import build_recipe
        from imagineer.engine.types import Generated

        begun = time.monotonic()
        for step in range(25):
            time.sleep(SECONDS_A_PICTURE * len(requests) / 25)
            on_step(step + 1, 25)
        self.busy += time.monotonic() - begun
        drawn = []
        for request in requests:
            picture = self.pictures[self.number % len(self.pictures)]
            self.number += 1
            recipe = build_recipe(
                request,
                size=SIZE,
                model={"name": "asleep", "family": "sd15", "hash": "0" * 64},
                loras=(),
                backend={"device": "cpu", "dtype": "none"},
                is_truncated=False,
            )
            drawn.append(Generated(request, picture, *SIZE, recipe))
        return drawn


def share_of_a_run(pictures) -> float:
    from imagineer.jobs import runner
    from imagineer.jobs.progress import Progress
    from templates_app import drawing, ordering
    from templates_app.models import BatchTemplate

    run = ordering.start_run(
        BatchTemplate.objects.select_related("current").get(name="Playing Card Deck"),
        album_name="Deck",
        user_theme="brass gears",
        row_selection=f"1-{len(pictures)}",
        inline=True,
    )
    device = SleepingDevice(pictures)
    job = runner._take(run.job)
    begun = time.monotonic()
    drawing.Drawing(run, Progress(job), device, ()).run_to_end()
    took = time.monotonic() - begun
    assert run.items.filter(status="completed").count() == len(pictures)
    return device.busy / took


def share_of_saving_inline(pictures, folder: Path) -> float:
    """One call a row, then PNG, hash and thumbnail, then the next call."""
    import hashlib

    busy, begun = 0.0, time.monotonic()
    for number, picture in enumerate(pictures):
        nap = time.monotonic()
        time.sleep(SECONDS_A_PICTURE)
        busy += time.monotonic() - nap
        path = folder / f"inline-{number}.png"
        picture.save(path)
        hashlib.sha256(path.read_bytes()).hexdigest()
        small = picture.copy()
        small.thumbnail((300, 300))
        small.save(folder / f"inline-{number}.webp", quality=80)
    return busy / (time.monotonic() - begun)
