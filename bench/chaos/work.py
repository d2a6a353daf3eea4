"""What the clusters work on meanwhile, and how it is judged afterwards."""

from collections import Counter
from datetime import timedelta
from pathlib import Path


class Errands:
    """Short jobs without a network: ten items of a twentieth of a second, four jobs at a time."""

    queue, ITEMS, AT_ONCE = "default", 10, 4

    def __init__(self, folder: Path, *, seconds: float = 0.05):
        self.events, self.seconds = folder / "events", seconds
        self.events.touch()

    def feed(self) -> None:
        """Never let the work run out while there is somebody to hurt."""
        from tests.jobs_app.tasks import submit_items

        for _ in range(self.AT_ONCE - self._jobs().active().count()):
            submit_items(self.ITEMS, seconds=self.seconds, events=str(self.events))

    def _jobs(self):
        from imagineer.jobs.models import Job

        return Job.objects.filter(queue=self.queue)

    def finished(self) -> int:
        """Items done so far: grows as long as anybody works."""
        from tests.jobs_app.models import Result

        return Result.objects.count()

    def is_under_way(self) -> bool:
        return self._jobs().running().exists()

    def judge(self) -> dict:
        from imagineer.jobs.models import JobStatus
        from tests.jobs_app.models import Item, Result

        results = Counter(Result.objects.values_list("item", flat=True))
        events = [line.split() for line in self.events.read_text().splitlines()]
        events = [event for event in events if len(event) == 5]  # a full disk cuts lines, and loses some
        started = sum(event[0] == "start" for event in events)
        in_hand = Counter()  # of each worker: what it began and did not end
        for what, _position, _epoch, pid, _time in events:
            in_hand[pid] += 1 if what == "start" else -1
        items = Item.objects.count()
        jobs = self._jobs().count()
        whole = self._jobs().filter(status=JobStatus.COMPLETED, done=self.ITEMS, failed=0).count()
        return {
            "jobs": jobs,
            "jobs_lost": jobs - whole,
            "items": items,
            "items_lost": items - len(results),
            "items_doubled": sum(count > 1 for count in results.values()),
            "items_begun_again": max(0, started - items),
            "left_beyond_one_a_worker": sum(max(0, count - 1) for count in in_hand.values()),
        }


class Decks:
    """Playing cards, drawn by the real engine with random weights."""

    queue = "gpu"

    def __init__(self, folder: Path, **options):
        self.runs, self.options = [], options

    def feed(self) -> None:
        from django.core.management import call_command

        from imagineer.jobs.models import Job
        from templates_app import ordering
        from templates_app.models import BatchTemplate

        if Job.objects.active().filter(queue=self.queue).exists():
            return
        call_command("seed_templates", verbosity=0)
        deck = BatchTemplate.objects.select_related("current").get(name="Playing Card Deck")
        options = {"seed": 100, "width": 64, "height": 96, "steps": 100} | self.options
        self.runs.append(
            ordering.start_run(deck, album_name="Deck", user_theme=f"deck {len(self.runs)}", **options)
        )

    def finished(self) -> int:
        from templates_app.models import RunItem

        return RunItem.objects.exclude(image=None).count()

    def is_under_way(self) -> bool:
        from imagineer.jobs.models import JobStatus
        from templates_app.models import RunItem

        return RunItem.objects.filter(status=JobStatus.RUNNING).exists()

    def judge(self) -> dict:
        from gallery import orphans
        from gallery.models import Album, Image, SourceType
        from imagineer.jobs.models import Job, JobStatus
        from templates_app.models import RunItem

        jobs = Job.objects.filter(queue=self.queue)
        drawn_here = {"source_type": SourceType.BATCH_GENERATION}

        swept = orphans.sweep(older_than=timedelta(0))
        findings = orphans.find_orphans(older_than=timedelta(0))
        items = RunItem.objects.count()
        drawn = RunItem.objects.filter(status=JobStatus.COMPLETED).values_list("image", flat=True)
        return {
            "jobs": jobs.count(),
            "jobs_lost": jobs.exclude(status=JobStatus.COMPLETED, failed=0).count(),
            "items": items,
            "items_lost": items - len(set(drawn)),
            "items_doubled": Image.objects.filter(**drawn_here).count() - len(set(drawn)),
            "albums_doubled": Album.objects.filter(**drawn_here).count() - len(self.runs),
            "files_swept": len(swept.without_row),
            "files_without_row": len(findings.without_row),
            "rows_without_file": len(findings.without_file) + len(findings.damaged),
        }
