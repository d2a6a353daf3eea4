"""Drawing a run: from its ledger to pictures in its album.

The walk of one batch: its items are marked as being drawn (fenced), go through the network together, and are
handed to two threads that encode, hash and store them beside the network's next batch. Each picture is
committed on its own, in one transaction that holds only while this worker still owns the job.

Whatever was marked as being drawn when a worker died is drawn alone from then on, so that an item that kills
its worker takes no other with it; only a death while alone is a strike.
"""

import hashlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from django.conf import settings
from django.db import connection
from django.db.models import Q

from gallery.ingest import IngestError, create_image, prepare_image
from gallery.models import Album, Image, Lora, SourceType
from gallery.renditions import decode
from gallery.services import add_images, create_album, lock_album, lock_all
from gallery.weights import lora_path, model_path
from imagineer.accounts.models import User
from imagineer.engine.infotext import write_png
from imagineer.engine.types import (
    EngineError,
    GenerationRequest,
    LoraError,
    LoraRef,
    ModelError,
    ModelGone,
    Reference,
)
from imagineer.engine.warm import warm_engine
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.progress import JobFailed, JobInterrupted, JobWaits, Progress
from imagineer.jobs.runner import describe_outage
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.slots import pictures_in

logger = logging.getLogger(__name__)

MAX_TRIES = 3
MAX_STRIKES = 3
SAVERS = 2
REFERENCE_SIDE = 4096  # pixels; twice the largest side that is drawn, for what is cropped


def draw_run(job: Job, progress: Progress) -> None:
    """Draw what the run lacks.

    :raises JobFailed: the model, a LoRA or the reference picture cannot be had; the sentence says what to do.
    :raises JobWaits: the model's folder is away.
    """
    run = BatchGenerationRun.objects.for_lists().get(pk=job.pk)
    settle_interrupted(run, progress)
    if not run.items.wanted().exists():
        return
    reference = read_reference(run)
    progress.checkpoint(f"Loading {run.model.name}")
    try:
        loras = [
            LoraRef(name=lora.name, path=lora_path(lora), weight=entry["weight"], sha256=lora.sha256)
            for entry in run.loras
            for lora in Lora.objects.filter(name=entry["lora"])
        ]
        engine = warm_engine(model_path(run.model), device=settings.DEVICE, threads=settings.THREADS)
        card = engine.card
    except ModelGone as error:
        raise JobWaits(f"Waiting for the model {run.model.name}. {error}") from error
    except EngineError as error:
        raise JobFailed(f"The model {run.model.name} cannot be used. {error}") from error
    if len(loras) < len(run.loras):
        gone = {entry["lora"] for entry in run.loras} - {lora.name for lora in loras}
        raise JobFailed(
            f"The LoRA {', '.join(sorted(gone))} is no longer in the library. Add it again, or run without it."
        )
    progress.hold_device(card, model=run.model.name)
    Drawing(run, progress, engine, tuple(loras), reference).run_to_end()
    progress.checkpoint("")


def read_reference(run: BatchGenerationRun) -> Reference | None:
    """The picture that the run starts from, by its original; one in the trash serves a run that was ordered before.

    :raises JobFailed: it was purged or withdrawn, or its file is lost or another.
    :raises JobWaits: the disk is away.
    """
    if not run.reference_sha256:
        return None
    image = find_reference(run)
    try:
        with image.file.open() as file:
            data = file.read()
    except FileNotFoundError:  # on a disk that is here
        data = b""
    except OSError as error:
        raise JobWaits(f"The file of the reference picture {image.pk} cannot be read now.") from error
    if hashlib.sha256(data).hexdigest() != run.reference_sha256:
        raise JobFailed(
            f"The file of the reference picture {image.pk} is lost or damaged. Put it back from a backup and retry, "
            "or order again with another picture."
        )
    return Reference(decode(data, side=REFERENCE_SIDE)[0], run.reference_sha256)


def find_reference(run: BatchGenerationRun) -> Image:
    """:raises JobFailed: it was purged or withdrawn."""
    image = Image.objects.filter(pk=run.reference_image_id, retracted_at=None).first()
    if image is None:
        raise JobFailed(
            "The reference picture was deleted or withdrawn after this was ordered. Order it again with another one."
        )
    return image


def settle_interrupted(run: BatchGenerationRun, progress: Progress) -> None:
    """Judge what an earlier worker left marked as being drawn: it died there, since a living one puts it back."""
    for item in run.items.filter(status=JobStatus.RUNNING):
        item.strikes += item.is_alone
        if item.strikes < MAX_STRIKES:
            with progress.commit():
                _put_back(item, is_alone=True, strikes=item.strikes)
        else:
            fail_item(
                item,
                progress,
                f"The worker died {item.strikes} times while it drew this picture alone, most likely for lack of memory. "
                "Retry it with a smaller size.",
                strikes=item.strikes,
            )


def fail_item(item: RunItem, progress: Progress, reason: str, **changes) -> None:
    with progress.commit(failed=1):
        RunItem.objects.filter(pk=item.pk).update(status=JobStatus.FAILED, error=reason[:2000], **changes)
    progress.log(f"{item.name}: {reason}")


def _put_back(item: RunItem, **changes) -> None:
    RunItem.objects.filter(pk=item.pk, status=JobStatus.RUNNING).update(status=JobStatus.QUEUED, **changes)


class Drawing:
    """One worker's work on one run, from claim to end or interruption."""

    def __init__(
        self,
        run: BatchGenerationRun,
        progress: Progress,
        engine,
        loras: tuple[LoraRef, ...] = (),
        reference: Reference | None = None,
    ):
        self.run, self.progress, self.engine = run, progress, engine
        self.loras, self.reference = loras, reference
        self.saving = []

    def run_to_end(self) -> None:
        with ThreadPoolExecutor(SAVERS, thread_name_prefix="saver") as self.savers:
            try:
                while items := list(self.run.items.wanted()):
                    self._draw_round(items)
                self._finish_saving()
            except BaseException:
                # what is already drawn is kept: the pictures in the savers' hands need a moment, not a redraw
                self._finish_saving(quietly=True)
                self._release()
                raise
            finally:
                self._close_connections()

    def _draw_round(self, items: list[RunItem]) -> None:
        """Draw items as they stand; those that fail are put back or failed, and come again in the next round."""
        requests = [self._request(item) for item in items]
        for indexes in self.engine.plan(requests):
            batch = [items[index] for index in indexes]
            alone = [item for item in batch if item.is_alone]
            together = [item for item in batch if not item.is_alone]
            if together:
                self._draw(together, is_batch=True)
            for item in alone:
                self._finish_saving()  # nothing else may be in hand when a strike is to be counted
                self._draw([item], is_batch=False)
                self._finish_saving()
        self._finish_saving()

    def _draw(self, items: list[RunItem], *, is_batch: bool) -> None:
        self.progress.give_way()
        self.progress.checkpoint(f"Drawing {items[0].name.replace('_', ' ')}")
        with self.progress.commit():
            mine = RunItem.objects.filter(pk__in=[item.pk for item in items], status=JobStatus.QUEUED)
            if mine.update(status=JobStatus.RUNNING) != len(items):
                raise RuntimeError(f"The ledger of run {self.run.pk} was changed by somebody else.")
        began = time.monotonic()
        try:
            drawn = self.engine.draw([self._request(item) for item in items], on_step=self._on_step)
        except JobInterrupted:
            raise
        except ModelGone as error:
            raise JobWaits(f"Waiting for the model {self.run.model.name}. {error}") from error
        except ModelError as error:
            raise JobFailed(f"The model {self.run.model.name} cannot be used. {error}") from error
        except Exception as error:  # noqa: BLE001  whatever a network throws is this batch's error, not the run's
            self._blame(items, error, is_batch=is_batch)
            return
        seconds = (time.monotonic() - began) / len(items)
        self._finish_saving()
        self.saving = [
            (item, self.savers.submit(self._save, item, picture, seconds=seconds))
            for item, picture in zip(items, drawn, strict=True)
        ]

    def _on_step(self, step: int, total: int) -> None:
        self.progress.checkpoint()

    def _blame(self, items: list[RunItem], error: Exception, *, is_batch: bool) -> None:
        """An error in a batch names no culprit, so its items are tried alone; alone it counts as a try."""
        if isinstance(error, (EngineError, IngestError)):
            reason = str(error)
        else:
            logger.exception("drawing failed", extra={"fields": {"run": self.run.pk, "item": items[0].pk}})
            reason = f"This broke with {type(error).__name__}; the log has the details."
        for item in items:
            tries = item.tries + (not is_batch or len(items) == 1)
            if isinstance(error, LoraError) or tries >= MAX_TRIES:
                fail_item(item, self.progress, reason, tries=tries)
            else:
                with self.progress.commit():
                    _put_back(item, is_alone=True, tries=tries, error=reason[:2000])

    def _request(self, item: RunItem) -> GenerationRequest:
        return GenerationRequest(
            prompt=item.prompt,
            negative_prompt=item.negative_prompt,
            seed=item.seed,
            width=item.width,
            height=item.height,
            steps=item.steps,
            guidance_scale=item.guidance_scale,
            scheduler=item.scheduler,
            loras=self.loras,
            reference=self.reference,
            strength=self.run.strength or 1,
        )

    def _save(self, item: RunItem, drawn, *, seconds: float | None = None) -> None:
        """Encode, store and commit one picture (in a saver's thread)."""
        prepared = prepare_image(write_png(drawn), pillow=drawn.image)
        run = self.run
        with self.progress.commit(done=1):
            # albums are locked before pictures, as everywhere
            album = lock_album(self._album()) if run.has_own_album else None
            image = create_image(
                prepared,
                source_type=SourceType.BATCH_GENERATION,
                source_id=run.pk,
                filename=f"{item.name}.png",
                created_by=self._owner(),
                prompt=item.prompt,
                negative_prompt=item.negative_prompt,
                generation_params=drawn.recipe | {"position": item.position, "variant": item.variant},
                model=run.model,
                reference_image=self._hold_reference(),
                rating=run.rating or None,
            )
            # under the album's lock: a re-roll may have taken the place while this one was missing
            if album and RunItem.objects.filter(pk=item.pk, chosen_image=None).exists():
                add_images(album, [image], positions=[item.place])
            RunItem.objects.filter(pk=item.pk).update(
                status=JobStatus.COMPLETED, image=image, error="", seconds=seconds
            )

    def _owner(self) -> User | None:
        """Who ordered the run, asked anew: the account may have been deleted since it began."""
        return Job.objects.select_related("created_by").get(pk=self.run.job_id).created_by

    def _hold_reference(self) -> Image | None:
        """The reference picture as it is now, locked, so that nobody deletes it for good before its name is written.

        Its rating may have changed since the run began, and what is drawn from it must not be called safer than it.
        """
        if self.reference is None:
            return None
        lock_all(Image.objects.filter(pk=self.run.reference_image_id))
        return find_reference(self.run)

    def _album(self) -> Album:
        """The run's album, made with its first picture (inside the fenced transaction, so it is made once)."""
        run = self.run
        album = Album.objects.filter(generation_run=run).first()
        if album is None:
            album = create_album(
                name=run.album_name,
                source_type=SourceType.BATCH_GENERATION,
                source_id=run.pk,
                # the first picture is counted already; with more, a curator has deleted the album meanwhile
                is_public=run.is_public and Job.objects.filter(pk=run.pk, done=1).exists(),
                created_by=self._owner(),
            )
            BatchGenerationRun.objects.filter(pk=run.pk).update(album=album)
            self._take_into(album)
        return album

    def _take_into(self, album: Album) -> None:
        """What stood in the album before it was deleted stands in the new one, in the same places."""
        items = list(self.run.items.filter(Q(image__isnull=False) | Q(chosen_image__isnull=False)))
        standing = pictures_in(items)
        pictures = Image.objects.in_bulk([pk for pk in standing.values() if pk])
        places = {item.place: pictures[pk] for item in items if (pk := standing[item.pk]) in pictures}
        add_images(album, places.values(), positions=list(places))

    def _finish_saving(self, *, quietly: bool = False) -> None:
        """Wait for the savers; what they could not save is put back, and a full disk is told to the runner."""
        saving, self.saving = self.saving, []
        for item, future in saving:
            try:
                future.result()
            except (JobInterrupted, JobFailed, JobWaits):
                if not quietly:
                    raise
            except Exception as error:
                outage = describe_outage(error)
                if outage and not quietly:
                    raise
                if outage or quietly:
                    logger.warning(
                        "saving failed", extra={"fields": {"item": item.pk, "error": outage or error}}
                    )
                else:
                    self._blame([item], error, is_batch=False)

    def _close_connections(self) -> None:
        """Close each saver's own database connection; the barrier makes sure that every thread takes one call."""
        everybody = Barrier(SAVERS)

        def close():
            everybody.wait(timeout=10)
            connection.close()

        for _ in range(SAVERS):
            self.savers.submit(close)

    def _release(self) -> None:
        """Put back what this worker had in hand, without blame: it leaves of its own will."""
        with self.progress.commit():
            self.run.items.filter(status=JobStatus.RUNNING).update(status=JobStatus.QUEUED)
