"""What each earlier release left undone is done by this one (``released`` writes it down at a release)."""

import json

import pytest
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django_q.models import OrmQ

from imagineer.jobs.models import Job, JobStatus
from templates_app.models import RunItem
from tests.clusters import wait_until
from tests.flows.released import RELEASES
from tests.jobs_app.tasks import submit_items

EACH = pytest.mark.parametrize("path", sorted(RELEASES.glob("*.json")), ids=lambda path: path.stem)


def go_back_to(release: dict) -> None:
    """The database as that release had left it, by the models as they were then."""
    executor = MigrationExecutor(connection)
    targets = list(release["migrations"].items())
    executor.migrate(targets)
    executor.loader.build_graph()
    models = executor.loader.project_state(targets).apps
    with transaction.atomic():
        for row in release["rows"]:
            model = models.get_model(row["model"])
            model(pk=row["pk"], **dict(values(model, row["fields"]))).save(force_insert=True)
        names = {row["model"] for row in release["rows"]}
        for statement in connection.ops.sequence_reset_sql(
            no_style(), [models.get_model(name) for name in names]
        ):
            with connection.cursor() as cursor:
                cursor.execute(statement)


def values(model, fields: dict):
    for name, value in fields.items():
        field = model._meta.get_field(name)
        yield field.attname, field.to_python(value)


@EACH
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_what_a_release_had_begun_is_drawn_after_the_upgrade(site_on, path, database):
    site = site_on(database, lease=90)
    release = json.loads(path.read_text())
    go_back_to(release)
    assert site.manage("migrate", "--verbosity=0").returncode == 0
    site.start("gpu")
    wait_until(lambda: not Job.objects.active().exists(), "all of it is done")
    assert set(Job.objects.values_list("status", "failed")) == {(JobStatus.COMPLETED, 0)}
    items = [row for row in release["rows"] if row["model"] == "templates_app.runitem"]
    assert RunItem.objects.filter(status=JobStatus.COMPLETED).exclude(image=None).count() == len(items) > 0


@EACH
@pytest.mark.parametrize("broker", ["sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def test_a_message_of_a_release_still_rings(site_on, request, path, broker):
    site = site_on(broker, lease=90)  # so long that no tick rings meanwhile
    message = json.loads(path.read_text())["messages"][0]
    site.start(message["key"])
    first = submit_items(1, kind="drawing")
    wait_until(lambda: not Job.objects.active().exists(), "its first look at the queue is over")
    # due, and nobody has rung for it: as if its own message were lost
    job = submit_items(1, kind="drawing", inline=True)
    Job.objects.filter(pk=job.pk).update(not_before=None, rung_at=timezone.now())
    if broker == "redis":
        key = f"django_q:{message['key']}:q"
        request.getfixturevalue("redis_server").client.rpush(key, message["payload"])
    else:
        OrmQ.objects.create(**message, lock=first.created_at)
    wait_until(lambda: Job.objects.get(pk=job.pk).status == JobStatus.COMPLETED, "the message was heard")
