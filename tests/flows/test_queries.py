"""No page and no list asks the database more questions when there is more to show.

The runs are of one shape (model, size, steps, strength): the queue asks once for each shape how long its like took.
"""

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gallery.ingest import ingest_image
from gallery.models import DiffusionModel, Lora, SourceType
from gallery.services import add_images, create_album
from gallery.sharing import create_shared_link
from imagineer.jobs.models import JobStatus
from templates_app import sessions
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.prompt_library import save_prompt_template
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db

FOR_ALL = (
    "/",
    "/albums",
    "/albums/{album}",
    "/templates",
    "/templates/{template}",
    "/runs",
    "/runs/{run}",
    "/queue",
    "/loras",
    "/sitemap.xml",
    "/api/images",
    "/api/albums",
    "/api/albums/{album}",
    "/api/batch-templates",
    "/api/batch-templates/{template}",
    "/api/batch-templates/{template}/runs",
    "/api/runs",
    "/api/runs/{run}",
    "/api/runs/{run}/items",
    "/api/runs/{run}/items/1/candidates",
    "/api/jobs",
    "/api/jobs/{run}",
    "/api/sessions",
    "/api/sessions/{session}",
    "/api/sessions/{session}/steps",
    "/api/loras",
    "/api/models",
    "/api/prompt-templates",
)
FOR_ADMINS = (
    *FOR_ALL,
    "/sessions",
    "/sessions/{session}",
    "/runs/{run}/slots/1",
    "/templates/{template}/draw",
    "/generate",
    "/api/shared-links",
)


def draw(run, album, number):
    """The first row of a run has its picture."""
    image = ingest_image(png(number), source_type=SourceType.MANUAL, rating="safe", prompt="a crab").image
    add_images(album, [image])
    item = run.items.order_by("position", "variant").filter(image=None).first()
    RunItem.objects.filter(pk=item.pk).update(status=JobStatus.COMPLETED, image=image)
    BatchGenerationRun.objects.filter(pk=run.pk).update(album=album)
    return image


class Library:
    def __init__(self):
        self.number = 0
        self.album, self.template = create_album(name="Shown"), make_template(name="Skies")
        self.run = start_run(self.template, variants=8)
        self.session = sessions.start_session("a crab", name="Crabs")

    def grow(self, times):
        for _ in range(times):
            self.number += 1
            number = self.number
            DiffusionModel.objects.create(name=f"model {number}", location="x")
            Lora.objects.create(name=f"Ink {number}", file=f"{number}", sha256=f"{number:064}", family="sd15")
            save_prompt_template(name=f"Neon {number}", prompt_text="neon")
            template = make_template(name=f"Template {number}")
            run = start_run(template)
            draw(run, create_album(name=f"Album {number}"), 100 + number)
            start_run(self.template)
            image = draw(self.run, self.album, number)
            step = sessions.add_step(self.session, "a crab")
            draw(step.run, create_album(name=f"Kept {number}", is_public=False), 200 + number)
            sessions.start_session(f"a lobster {number}")
            create_shared_link(image=image)

    def count(self, client, addresses) -> dict[str, int]:
        known = {name: getattr(self, name).pk for name in ("album", "template", "run", "session")}
        found = {}
        for address in addresses:
            cache.clear()
            with CaptureQueriesContext(connection) as asked:
                answer = client.get(address.format(**known))
            assert answer.status_code == 200, address
            found[address] = len([query for query in asked if '"cache"' not in query["sql"]])
        return found


@pytest.mark.parametrize("who", ["anonymous", "admin"])
def test_no_page_and_no_list_asks_more_questions_when_there_is_more_to_show(who, ada):
    client, addresses = Client(), FOR_ALL
    if who == "admin":
        client.force_login(ada)
        addresses = FOR_ADMINS
    library = Library()
    library.grow(3)
    library.count(client, addresses)  # what is made at the first visit
    few = library.count(client, addresses)
    library.grow(8)
    many = library.count(client, addresses)
    assert {a: (few[a], many[a]) for a in addresses if many[a] > few[a]} == {}
