"""What a release leaves in the database and the broker when it is replaced; later releases must go on from there.

``python -m tests.flows.released NAME`` writes ``tests/data/releases/NAME.json`` at a release. Files that are there
are never written again: they are what people's databases hold.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from django.core.serializers.json import DjangoJSONEncoder

RELEASES = Path(__file__).resolve().parent.parent / "data" / "releases"
APPS = ("jobs", "gallery", "templates_app")


def main(name: str) -> None:
    path = RELEASES / f"{name}.json"
    if path.exists():
        sys.exit(f"{path} is there already, and a release is not written twice.")
    with tempfile.TemporaryDirectory(prefix="imagineer-release-") as folder:
        os.environ["IMAGINEER_DATA_DIR"] = folder
        os.environ.pop("DATABASE_URL", None)
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("seed_templates", verbosity=0)
        leave_work_undone()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(describe(), cls=DjangoJSONEncoder, indent=1, ensure_ascii=False) + "\n")


def leave_work_undone() -> None:
    """Every kind of job, in the states in which a stop or a death of its worker leaves it."""
    from imagineer.jobs.models import Job, JobStatus
    from templates_app import ordering
    from templates_app.models import BatchTemplate

    options = {"steps": 2, "width": 64, "height": 64, "seed": 100}
    template = BatchTemplate.objects.select_related("current").get(name="Zodiac Signs")
    run = ordering.start_run(
        template, album_name="Zodiac", user_theme="flat colours", row_selection="1-3", **options
    )
    bad_company, tried, _fresh = run.items.order_by("position")
    bad_company.status, bad_company.is_alone, bad_company.strikes = JobStatus.RUNNING, True, 1
    tried.tries = 1
    bad_company.save(), tried.save()
    Job.objects.filter(pk=run.pk).update(
        crashes=1, epoch=3, started_at=run.job.created_at, log_tail="drew nothing"
    )
    ordering.start_single("a red crab on a teal background", variants=2, **options)


def describe() -> dict:
    from django.apps import apps
    from django.core import serializers
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader
    from django_q.models import OrmQ

    leaves = dict(MigrationLoader(connection).graph.leaf_nodes())
    rows = [
        row
        for app in APPS
        for model in apps.get_app_config(app).get_models()
        for row in serializers.serialize("python", model.objects.order_by("pk"))
    ]
    return {
        "migrations": {app: leaves[app] for app in APPS},
        "rows": rows,
        "messages": list(OrmQ.objects.order_by("pk").values("key", "payload")),
    }


if __name__ == "__main__":
    main(sys.argv[1])
