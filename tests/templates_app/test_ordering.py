import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gallery.ingest import ingest_image
from gallery.models import Lora, Rating
from gallery.services import create_album
from gallery.visibility import Viewer
from imagineer.jobs.models import Job, JobStatus
from templates_app import ordering
from templates_app.models import BatchGenerationRun, BatchTemplate, RunItem
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db


def problems_of(**options) -> dict:
    with pytest.raises(ValidationError) as caught:
        start_run(**options)
    assert not Job.objects.exists(), "nothing is queued for a wrong order"
    return caught.value.message_dict


def test_saving_a_template_makes_its_first_version():
    template = make_template()
    assert template.current.number == 1
    assert template.current.row_count == 3
    assert template.current.columns == ["name", "text"]


def test_saving_it_unchanged_makes_no_version():
    template = make_template()
    again = make_template(template=template, description="Another description")
    assert again.current.number == 1
    assert BatchTemplate.objects.get().description == "Another description"


def test_changing_what_it_draws_makes_a_version_and_keeps_the_old_one():
    template = make_template()
    make_template(template=template, style_suffix="soft edges")
    assert list(template.versions.values_list("number", "style_suffix").order_by("number")) == [
        (1, "crisp lines"),
        (2, "soft edges"),
    ]
    assert BatchTemplate.objects.get().current.number == 2


def test_a_template_that_names_an_unknown_column_is_refused():
    with pytest.raises(ValidationError) as caught:
        make_template(prompt_template="{text} and {weather}")
    assert "weather" in caught.value.message_dict["prompt_template"][0]
    assert not BatchTemplate.objects.exists()


def test_a_run_writes_its_whole_ledger_before_anything_is_drawn():
    run = start_run()
    assert run.job.status == JobStatus.QUEUED
    assert run.job.total == 3
    items = list(run.items.all())
    assert [item.name for item in items] == ["The_Sun", "The_Moon", "The_Star"]
    assert [item.seed for item in items] == [7, 8, 9]
    assert items[0].prompt == "Tarot card. Art style: neon. a yellow sun on a blue background. crisp lines"
    assert items[0].negative_prompt == "blurry"
    assert (items[0].width, items[0].height, items[0].steps) == (64, 96, 2)


def test_what_the_order_leaves_open_comes_from_the_template_then_the_model():
    item = start_run(steps=None).items.first()
    assert (item.width, item.height) == (64, 96)
    model = BatchGenerationRun.objects.get().model
    assert item.steps == model.defaults["steps"]
    assert item.scheduler == model.defaults["scheduler"]


def test_guidance_and_seed_of_nought_are_values_like_any_other():
    item = start_run(guidance_scale=0.0, seed=0).items.first()
    assert (item.guidance_scale, item.seed) == (0.0, 0)


def test_without_a_seed_each_row_gets_one_of_its_own_that_is_recorded():
    seeds = list(start_run(seed=None).items.values_list("seed", flat=True))
    assert len(set(seeds)) == 3
    assert all(0 <= seed <= 2147483647 for seed in seeds)


def test_some_rows_with_variants_are_drawn_in_row_order():
    run = start_run(row_selection="3,1", variants=2)
    assert list(run.items.values_list("position", "variant", "seed")) == [
        (1, 1, 7),
        (1, 2, 10),
        (3, 1, 9),
        (3, 2, 12),
    ]


def test_the_same_slot_stands_in_the_ledger_once():
    run = start_run()
    first = run.items.first()
    first.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        first.save(force_insert=True)


def test_the_database_refuses_a_finished_item_without_its_picture():
    run = start_run()
    with pytest.raises(IntegrityError), transaction.atomic():
        run.items.filter(position=1).update(status=JobStatus.COMPLETED)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("steps", 151),
        ("seed", -1),
        ("seed", 2**31),
        ("width", 56),
        ("width", 2056),
        ("height", 100),
        ("guidance_scale", 30.5),
        ("guidance_scale", -0.1),
        ("variants", 0),
        ("scheduler", "magic"),
        ("album_name", ""),
        ("album_name", "x" * 201),
        ("album_name", "nul\x00byte"),
        ("user_theme", " "),
        ("user_theme", "x" * 501),
        ("negative_prompt", "x" * 2001),
        ("model", "no-such-model"),
        ("model", "../../etc"),
        ("loras", [{"lora": "no-such-lora"}]),
        ("loras", "ink"),
    ],
)
def test_a_wrong_option_is_refused_by_name_and_nothing_is_queued(field, value):
    assert field in problems_of(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 1),
        ("steps", 150),
        ("seed", 2**31 - 1),
        ("width", 64),
        ("height", 2048),
        ("guidance_scale", 30),
        ("album_name", "x" * 200),
        ("album_name", "../../etc/passwd"),
        ("album_name", "🦀 Крабы <script>alert(1)</script>"),
        ("user_theme", '{name} {unknown} {{x}} "quotes"'),
        ("negative_prompt", "x" * 1900),
    ],
)
def test_an_option_at_its_edge_is_taken_as_it_is(field, value):
    run = start_run(**{field: value})
    assert getattr(run, field) == value


def test_rows_that_are_not_there_are_refused_by_name():
    assert "rows" in problems_of(row_selection="4")


def test_a_theme_that_makes_a_prompt_too_long_names_the_row():
    long = [{"name": "Long", "text": "word " * 390}]
    with pytest.raises(ValidationError) as caught:
        start_run(make_template(rows=long), user_theme="t" * 100)
    assert caught.value.message_dict["user_theme"][0].startswith("Row 1:")


def test_a_theme_is_never_filled_like_a_template():
    run = start_run(user_theme="{name} {text}")
    assert "Art style: {name} {text}." in run.items.first().prompt


def test_an_archived_template_draws_no_more():
    template = make_template()
    template.is_archived = True
    template.save()
    with pytest.raises(ValidationError, match="archived"):
        start_run(template)


def test_a_run_keeps_the_version_that_it_was_ordered_with():
    template = make_template()
    run = start_run(template)
    make_template(template=template, style_suffix="soft edges")
    assert BatchGenerationRun.objects.get(pk=run.pk).template_version.style_suffix == "crisp lines"


def test_a_single_picture_is_a_run_of_one_item_without_a_template():
    run = ordering.start_single("a red crab on a teal background", steps=2)
    assert run.template_version is None
    assert run.items.get().prompt == "a red crab on a teal background"
    assert run.album_name == "a red crab on a teal background"


@pytest.mark.parametrize("prompt", ["", "   ", "x" * 2001])
def test_a_prompt_outside_its_limits_is_refused(prompt):
    with pytest.raises(ValidationError) as caught:
        ordering.start_single(prompt)
    assert "prompt" in caught.value.message_dict


def test_a_thousand_rows_are_written_in_few_statements(django_assert_max_num_queries):
    many = make_template(name="Many", rows=[{"name": f"Row {n}", "text": "a star"} for n in range(1000)])
    with django_assert_max_num_queries(40):  # SQLite takes 999 values a statement
        start_run(many)
    assert RunItem.objects.count() == 1000


def test_interactive_work_goes_before_sets():
    a_set, single = start_run(), ordering.start_single("a red crab", steps=2)
    assert single.job.priority > a_set.job.priority
    assert Job.objects.claimable("gpu", a_set.job.created_at).first() == single.job


def test_an_order_may_leave_out_the_loras_of_its_template():
    Lora.objects.create(name="ink", file="loras/ink.safetensors")
    template = make_template(lora_config=[{"lora": "ink", "weight": 0.8}])
    assert start_run(template).loras == [{"lora": "ink", "weight": 0.8}]
    assert start_run(template, loras=[]).loras == []
    assert start_run(template, loras=[{"lora": "ink"}]).loras == [{"lora": "ink", "weight": 1.0}]


def test_a_lora_of_the_template_that_is_gone_is_told_before_anything_is_queued():
    Lora.objects.create(name="ink", file="loras/ink.safetensors")
    template = make_template(lora_config=[{"lora": "ink", "weight": 0.8}])
    Lora.objects.update(is_enabled=False)
    with pytest.raises(ValidationError) as caught:
        start_run(template)
    assert "ink" in caught.value.message_dict["loras"][0]


def test_a_set_may_be_drawn_again_of_the_version_that_it_was_drawn_of():
    template = make_template()
    first = template.current
    edited = make_template(template=template, style_suffix="soft edges")
    assert start_run(edited).template_version.number == 2
    again = start_run(edited, version=first)
    assert again.template_version == first
    assert again.items.first().prompt.endswith("crisp lines")


def test_what_is_planned_is_not_written():
    order = ordering.plan_run(make_template(), album_name="Skies", user_theme="neon", variants=2)
    assert len(order.items) == 6
    assert not Job.objects.exists()


def test_more_pictures_than_a_run_may_draw_are_refused_by_number():
    many = make_template(name="Many", rows=[{"name": f"Row {n}", "text": "a star"} for n in range(1000)])
    with pytest.raises(ValidationError, match="10,000 pictures; this one asks for 11,000"):
        start_run(many, variants=11)


VIEWERS = [
    Viewer(is_admin=True),
    *(Viewer(mode=mode, is_of_age=of_age) for mode in ("hide", "blur", "show") for of_age in (False, True)),
]


@pytest.mark.parametrize("trusted", [[], ["starter"]])
def test_lists_search_the_texts_of_exactly_the_runs_that_tell_them(settings, trusted):
    template = make_template()
    for is_public in (True, False):
        for rating in ("", *Rating.values):
            for album, done in ((None, 0), (None, 1), (True, 1), (False, 1)):
                run = start_run(template, is_public=is_public, rating=rating)
                Job.objects.filter(pk=run.pk).update(done=done)
                if album is not None:
                    run.album = create_album(name="Skies", is_public=album)
                    run.save()
    for rating in Rating.values:
        run = start_run(template)
        reference = ingest_image(png(len(rating)), source_type="manual", rating=rating).image
        run.reference_image, run.reference_sha256 = reference, reference.sha256
        run.save()
    run = start_run(template)
    BatchGenerationRun.objects.filter(pk=run.pk).update(has_own_album=False, parent=run.pk - 1)
    settings.TRUSTED_SAFE_SOURCES = trusted
    runs = list(BatchGenerationRun.objects.for_lists())
    for viewer in VIEWERS:
        told = {run.pk for run in runs if run.tells_texts_to(viewer)}
        assert set(BatchGenerationRun.objects.told_to(viewer).values_list("pk", flat=True)) == told, viewer
    assert run.pk not in BatchGenerationRun.objects.listed().values_list("pk", flat=True)
