"""The commands as scripts call them."""

import json
import os
import signal
import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from gallery.models import Image
from imagineer.jobs.models import Job, JobStatus
from templates_app.models import BatchGenerationRun, BatchTemplate, RunItem
from tests.factories import make_template

pytestmark = pytest.mark.django_db(transaction=True)


def run(*command, **options) -> dict:
    out = StringIO()
    call_command(*command, "--json", stdout=out, **options)
    assert len(out.getvalue().splitlines()) == 1, "one JSON object and nothing else"
    return json.loads(out.getvalue())


def test_generate_batch_inline_draws_the_rows_in_order_and_tells_each_picture(tiny):
    make_template()
    command = [
        "generate_batch",
        "Skies",
        "--album",
        "Night",
        "--theme",
        "neon",
        "--seed",
        "5",
        "--steps",
        "2",
    ]
    told = run(*command, "--inline")
    assert (told["status"], told["total"], told["completed"], told["failed"]) == ("completed", 3, 3, 0)
    assert [image["name"] for image in told["images"]] == ["The_Sun", "The_Moon", "The_Star"]
    assert [(image["position"], image["seed"]) for image in told["images"]] == [(1, 5), (2, 6), (3, 7)]
    again = run(*command, "--inline")
    assert again["album_id"] != told["album_id"]
    assert [image["sha256"] for image in again["images"]] == [image["sha256"] for image in told["images"]]


def test_the_template_may_be_named_by_its_id_and_some_rows_be_chosen(tiny):
    template = make_template()
    told = run(
        "generate_batch",
        str(template.pk),
        "--album",
        "A",
        "--theme",
        "t",
        "--rows",
        "3,1",
        "--steps",
        "2",
        "--inline",
    )
    assert [image["position"] for image in told["images"]] == [1, 3]


def test_without_inline_or_wait_the_run_is_queued_for_a_worker(db):
    make_template()
    told = run("generate_batch", "Skies", "--album", "A", "--theme", "t")
    assert (told["status"], told["images"]) == ("queued", [])
    assert Job.objects.get().not_before is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["Nothing"], "There is no template 'Nothing'"),
        (["Skies", "--rows", "9"], "rows"),
        (["Skies", "--steps", "0"], "number of steps"),
        (["Skies", "--lora", "ink:much"], "--lora ink:much"),
        (["Skies", "--lora", "ink:0.5"], "no LoRA 'ink'"),
        (["Skies", "--model", "none"], "no model named"),
    ],
)
def test_a_wrong_option_is_one_line_and_queues_nothing(options, words):
    make_template()
    with pytest.raises(CommandError) as caught:
        call_command("generate_batch", *options, "--album", "A", "--theme", "t", "--inline")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Job.objects.exists()


def test_a_run_that_fails_says_so_in_one_line_and_still_tells_what_it_made(tiny, settings):
    make_template()
    settings.DEVICE = "cuda:99"
    out = StringIO()
    with pytest.raises(CommandError, match="is failed") as caught:
        call_command(
            "generate_batch", "Skies", "--album", "A", "--theme", "t", "--inline", "--json", stdout=out
        )
    assert "\n" not in str(caught.value)
    assert json.loads(out.getvalue())["status"] == "failed"


def test_a_stop_in_the_middle_ends_the_command_and_says_how_it_goes_on(tiny):
    make_template()
    stop = threading.Timer(4, os.kill, [os.getpid(), signal.SIGTERM])
    stop.start()
    with pytest.raises(CommandError, match=r"is queued.*work gpu. goes on with it"):
        call_command(
            "generate_batch",
            "Skies",
            "--album",
            "A",
            "--theme",
            "t",
            "--steps",
            "150",
            "--variants",
            "16",
            "--inline",
            stdout=StringIO(),
        )
    stop.join()
    assert Job.objects.get().crashes == 0


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_number_that_is_none_is_a_sentence(value):
    with pytest.raises(CommandError, match="guidance_scale"):
        call_command("generate", "a star", "--guidance-scale", value)


def test_words_that_are_no_text_are_a_sentence():
    with pytest.raises(CommandError, match="no UTF-8"):
        call_command("generate", "\udcff")


def test_generate_draws_one_picture(tiny):
    told = run("generate", "a red crab", "--steps", "2", "--width", "64", "--height", "64", "--inline")
    image = Image.objects.get()
    assert (told["image_id"], told["sha256"], told["status"]) == (image.pk, image.sha256, "completed")
    assert BatchGenerationRun.objects.get().template_version is None


def test_seeding_twice_adds_nothing_and_undoes_no_edit(db):
    assert run("seed_templates")["added"] == ["Playing Card Deck", "Tarot Major Arcana", "Zodiac Signs"]
    make_template(template=BatchTemplate.objects.get(name="Zodiac Signs"), name="Zodiac Signs")
    assert run("seed_templates")["added"] == []
    zodiac = BatchTemplate.objects.get(name="Zodiac Signs")
    assert (zodiac.current.number, zodiac.current.row_count) == (2, 3)


def test_the_seeded_sets_have_their_rows_and_sizes(db):
    call_command("seed_templates", verbosity=0, stdout=StringIO())
    sizes = BatchTemplate.objects.values_list(
        "name", "current__row_count", "current__width", "current__height"
    ).order_by("pk")
    assert list(sizes) == [
        ("Playing Card Deck", 54, 512, 720),
        ("Tarot Major Arcana", 22, 512, 896),
        ("Zodiac Signs", 12, 512, 768),
    ]


def test_a_deck_ordered_by_command_names_its_cards(db):
    call_command("seed_templates", verbosity=0, stdout=StringIO())
    run(
        "generate_batch",
        "Playing Card Deck",
        "--album",
        "Steampunk",
        "--theme",
        "brass gears",
        "--seed",
        "100",
    )
    names = list(RunItem.objects.order_by("position").values_list("name", flat=True))
    assert (len(names), names[0], names[-1]) == (54, "Ace_of_Spades", names[53])
    assert len(set(names)) == 54
    assert set(RunItem.objects.values_list("status", flat=True)) == {JobStatus.QUEUED}
