"""A run is explained by the version that it was ordered from, whatever becomes of the template meanwhile."""

import pytest
from django.db.models.signals import post_save

from gallery.models import Image
from imagineer.jobs import runner
from templates_app import authoring
from templates_app.models import BatchGenerationRun, BatchTemplate
from tests.factories import ROWS, make_template, start_run

pytestmark = pytest.mark.django_db(transaction=True)


def change_everything(template):
    authoring.save_template(
        template=template,
        rows=[{"thing": "a globe"}],
        prompt_template="{thing}",
        base_prompt="Changed",
        negative_prompt="Changed",
        width=128,
        is_archived=True,
    )


def test_a_template_that_is_edited_and_archived_while_its_run_goes_on_changes_none_of_its_pictures(tiny):
    template = make_template()
    run = start_run(template)
    asked = list(run.items.values_list("position", "name", "prompt", "negative_prompt", "width", "seed"))
    edits = []

    def edit(created, **_):
        if created and not edits:  # the first picture has just been made
            edits.append(change_everything(BatchTemplate.objects.get()))

    post_save.connect(edit, sender=Image, weak=False)
    try:
        runner.run_inline(run.job)
    finally:
        post_save.disconnect(edit, sender=Image)
    run = BatchGenerationRun.objects.get(pk=run.pk)
    assert edits
    assert (run.job.status, run.job.done, run.template_version.number) == ("completed", 3, 1)
    assert run.template_version.rows == ROWS
    drawn = run.items.select_related("image")
    assert list(drawn.values_list("position", "name", "prompt", "negative_prompt", "width", "seed")) == asked
    assert [item.image.prompt for item in drawn] == [prompt for _, _, prompt, *_ in asked]
    assert [item.image.width for item in drawn] == [64, 64, 64]
    assert BatchTemplate.objects.get().current.number == 2


def test_what_a_run_lacks_is_drawn_from_its_own_version_after_the_template_has_changed(tiny):
    template = make_template()
    run = start_run(template)
    runner.request_cancel(run.job)
    change_everything(template)
    run.job.refresh_from_db()
    runner.retry(run.job)
    run.job.refresh_from_db()
    runner.run_inline(run.job)
    run = BatchGenerationRun.objects.get(pk=run.pk)
    assert [item.image.prompt for item in run.items.select_related("image")] == [
        f"Tarot card. Art style: neon. {row['text']}. crisp lines" for row in ROWS
    ]
