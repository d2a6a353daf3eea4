"""What the commands that draw have in common: the options of a run, following it, and its report."""

import json
import re
import sys
import threading
import time

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from tqdm import tqdm

from imagineer.jobs import runner
from imagineer.jobs.health import describe_health
from imagineer.jobs.models import Job, JobStatus
from templates_app.models import BatchGenerationRun

UNENCODABLE = re.compile(r"[\ud800-\udfff\0]")


class RunCommand(BaseCommand):
    """Orders a run with ``start(options)``, reports how it ended, as ``as_json(run, images)`` for programs.

    Exit status 0 only when every picture is there; else 1, with a one-line reason on stderr.
    """

    def add_arguments(self, parser):
        parser.add_argument("--model", default="", help="name of a model in the library")
        parser.add_argument("--variants", type=int, help="pictures a row")
        for name in ("steps", "seed", "width", "height"):
            parser.add_argument(f"--{name}", type=int)
        parser.add_argument("--guidance-scale", type=float)
        parser.add_argument("--scheduler", default="")
        parser.add_argument("--negative-prompt", default="")
        parser.add_argument(
            "--lora", action="append", default=[], metavar="NAME:WEIGHT", help="may be given again"
        )
        parser.add_argument(
            "--reference", type=int, metavar="IMAGE", help="id of a picture that drawing starts from"
        )
        parser.add_argument(
            "--strength", type=float, help="how far from the reference picture, 0.05 to 1 (0.6)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="follow the worker until the run has ended")
        how.add_argument("--inline", action="store_true", help="draw in this process, without a worker")

    def handle(self, *args, **options):
        for name, value in options.items():
            if isinstance(value, str) and not value.isprintable() and UNENCODABLE.search(value):
                raise CommandError(f"--{name} is no UTF-8 text; look at how your terminal writes it.")
        try:
            run = self.start(options)
        except ValidationError as error:
            raise CommandError(sentence_of(error)) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used; `manage.py doctor` looks at it. ({error})"
            ) from error
        if options["inline"]:
            draw_here(run)
        elif options["wait"]:
            self.wait(run)
        run = BatchGenerationRun.objects.for_lists().get(pk=run.pk)
        self.report(run, options)
        waited = options["inline"] or options["wait"]
        if waited and (run.job.status != JobStatus.COMPLETED or run.job.failed):
            failed = run.items.filter(status=JobStatus.FAILED).first()
            reason = run.job.error or run.job.message or (f"{failed.name}: {failed.error}" if failed else "")
            if run.job.is_active:
                reason = f"{reason} `manage.py work gpu` goes on with it.".strip()
            failures = f" with {run.job.failed} pictures not drawn" if run.job.failed else ""
            raise CommandError(f"Run {run.pk} is {run.job.status}{failures}. {reason}".strip())

    def wait(self, run) -> None:
        for problem in describe_health()["problems"]:
            self.stderr.write(problem)
        try:
            follow(run.pk)
        except KeyboardInterrupt:
            raise CommandError(
                f"Run {run.pk} goes on without being watched; its page is /runs/{run.pk}."
            ) from None

    def run_options(self, options) -> dict:
        names = [
            "model",
            "variants",
            "steps",
            "seed",
            "width",
            "height",
            "guidance_scale",
            "scheduler",
            "negative_prompt",
            "strength",
            "inline",
        ]
        return {name: options[name] for name in names} | {
            "loras": [_lora(text) for text in options["lora"]] or None,
            "reference_image_id": options["reference"],
        }

    def report(self, run: BatchGenerationRun, options) -> None:
        album_id, status = run.album_id, run.job.status
        images = describe_images(run)
        if options["json"]:
            self.stdout.write(json.dumps(self.as_json(run, images)))
        elif options["inline"] or options["wait"]:
            self.stdout.write(
                f"Run {run.pk} is {status}: {len(images)} of {run.job.total} pictures, album {album_id}."
            )
        else:
            self.stdout.write(
                f"Run {run.pk} is queued with {run.job.total} pictures; `manage.py work gpu` draws it."
            )


def draw_here(run: BatchGenerationRun) -> None:
    """Draw in this process, with a bar beside it that ends with the work, however that ends."""
    is_over = threading.Event()
    watcher = threading.Thread(target=_watch, args=[run.pk, is_over], daemon=True)
    watcher.start()
    try:
        runner.run_inline(run.job)
    finally:
        is_over.set()
        watcher.join()


def describe_images(run: BatchGenerationRun) -> list[dict]:
    """The pictures of a run in slot order."""
    items = run.items.exclude(image=None).select_related("image").order_by("position", "variant")
    return [
        {
            "id": item.image_id,
            "name": item.name,
            "position": item.position,
            "seed": item.seed,
            "sha256": item.image.sha256,
        }
        for item in items
    ]


def follow(job_id: int, *, while_waiting=None, is_over: threading.Event | None = None) -> Job:
    """Show a progress bar until the job has ended; Ctrl-C stops looking, not the job.

    :param while_waiting: called twice a second; what it raises ends the wait.
    :param is_over: set by whoever does the work here when no more is coming.
    """
    job = Job.objects.get(pk=job_id)
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}]"
    seldom = 0.1 if sys.stderr.isatty() else 5  # seconds; a log wants no hundred bars
    options = {"initial": job.done + job.failed, "bar_format": bar_format, "mininterval": seldom}
    with tqdm(total=job.total, file=sys.stderr, **options) as bar:
        while True:
            last_look = bool(is_over and is_over.is_set())
            job = Job.objects.only("status", "done", "failed", "total", "message").get(pk=job_id)
            bar.set_description(f"{job.status}: {job.message}" if job.message else job.status, refresh=False)
            bar.update(job.done + job.failed - bar.n)
            bar.refresh()
            if not job.is_active or last_look:
                return job
            if while_waiting:
                while_waiting()
            is_over.wait(0.5) if is_over else time.sleep(0.5)


def _watch(job_id: int, is_over: threading.Event) -> None:
    try:
        follow(job_id, is_over=is_over)
    finally:
        connection.close()


def _lora(text: str) -> dict:
    name, colon, weight = text.rpartition(":")
    try:
        return {"lora": name, "weight": float(weight)} if colon else {"lora": text, "weight": 1.0}
    except ValueError:
        raise CommandError(f"--lora {text}: write NAME or NAME:WEIGHT, such as ink:0.8.") from None


def sentence_of(error: ValidationError) -> str:
    if hasattr(error, "error_dict"):
        return " ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
    return " ".join(error.messages)
