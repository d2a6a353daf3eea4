"""What the commands that draw have in common: the options of a run, following it, and its report."""

import json
import sys
import threading
import time

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from tqdm import tqdm

from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app.models import BatchGenerationRun


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
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="follow the worker until the run has ended")
        how.add_argument("--inline", action="store_true", help="draw in this process, without a worker")

    def handle(self, *args, **options):
        try:
            run = self.start(options)
        except ValidationError as error:
            raise CommandError(sentence_of(error)) from error
        if options["inline"]:
            watcher = threading.Thread(target=_watch, args=[run.pk], daemon=True)
            watcher.start()
            runner.run_inline(run.job)
            watcher.join()
        elif options["wait"]:
            follow(run.pk)
        run = BatchGenerationRun.objects.for_lists().get(pk=run.pk)
        self.report(run, options)
        waited = options["inline"] or options["wait"]
        if waited and (run.job.status != JobStatus.COMPLETED or run.job.failed):
            failed = run.items.filter(status=JobStatus.FAILED).first()
            reason = run.job.error or run.job.message or (f"{failed.name}: {failed.error}" if failed else "")
            raise CommandError(
                f"Run {run.pk} is {run.job.status}, {run.job.failed} pictures failed. {reason}".strip()
            )

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
            "inline",
        ]
        return {name: options[name] for name in names} | {"loras": [_lora(text) for text in options["lora"]]}

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


def describe_images(run: BatchGenerationRun) -> list[dict]:
    """The pictures of a run in slot order."""
    items = (
        run.items.filter(status=JobStatus.COMPLETED).select_related("image").order_by("position", "variant")
    )
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


def follow(job_id: int, *, while_waiting=None) -> Job:
    """Show a progress bar until the job has ended; Ctrl-C stops looking, not the job.

    :param while_waiting: called twice a second; what it raises ends the wait.
    """
    job = Job.objects.get(pk=job_id)
    with tqdm(total=job.total, unit="picture", file=sys.stderr) as bar:
        while True:
            job = Job.objects.only("status", "done", "failed", "total", "message").get(pk=job_id)
            bar.set_description(f"{job.status}: {job.message}" if job.message else job.status, refresh=False)
            bar.update(job.done + job.failed - bar.n)
            bar.refresh()
            if not job.is_active:
                return job
            if while_waiting:
                while_waiting()
            time.sleep(0.5)


def _watch(job_id: int) -> None:
    try:
        follow(job_id)
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
