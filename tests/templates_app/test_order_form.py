"""The order form at the desk: asked, looked at, confirmed."""

import html
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from gallery.ingest import ingest_image
from gallery.models import DiffusionModel, Lora
from gallery.services import trash_image
from gallery.weights import find_model
from imagineer.jobs.models import Job, JobStatus
from templates_app import authoring
from templates_app.estimates import estimate_order
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.ordering import plan_run
from templates_app.themes import THEMES
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db

ADD = "/admin/templates_app/batchgenerationrun/add/"


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def order(template, **changes):
    return {
        "template": template.pk,
        "album_name": "Night",
        "user_theme": "neon",
        "variants": 1,
        "seed_mode": "random",
        "lora_mode": "template",
        "is_public": "on",
    } | changes


def hidden_fields(page) -> dict:
    """What the page of the preflight sends when its button is pressed."""
    kept: dict[str, list] = {}
    for name, value in re.findall(
        r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.content.decode()
    ):
        if name != "csrfmiddlewaretoken":
            kept.setdefault(name, []).append(html.unescape(value))
    return kept


def look(desk, template, **changes):
    page = desk.post(ADD, order(template, _check="1", **changes))
    assert page.status_code == 200
    return page


def draw(desk, template, **changes) -> BatchGenerationRun:
    page = look(desk, template, **changes)
    assert not BatchGenerationRun.objects.filter(album_name="Night").exists(), "looking starts nothing"
    answer = desk.post(ADD, hidden_fields(page) | {"_draw": "1"})
    assert answer.status_code == 302, answer.content.decode()
    return BatchGenerationRun.objects.get(album_name="Night")


def test_an_order_is_looked_at_and_then_started_by_whoever_confirms_it(desk, ada):
    run = draw(desk, make_template(), steps=5, row_selection="1-2", scheduler="euler")
    assert (run.job.total, run.job.status, run.job.created_by, run.steps) == (2, "queued", ada, 5)
    assert set(run.items.values_list("scheduler", flat=True)) == {"euler"}


def test_the_look_tells_how_many_pictures_and_the_first_prompts_and_stores_nothing(desk):
    text = look(desk, make_template(), variants=2).content.decode()
    assert "3 rows × 2 variants" in text
    assert "Tarot card. Art style: neon. a yellow sun on a blue background. crisp lines" in text
    assert "this model has drawn nothing here so far" in text
    assert "Draw 6 pictures" in text
    assert not Job.objects.exists()


def test_a_confirmation_that_is_sent_twice_starts_one_run(desk):
    page = look(desk, make_template())
    first, second = (desk.post(ADD, hidden_fields(page) | {"_draw": "1"}) for _ in range(2))
    assert BatchGenerationRun.objects.count() == 1
    assert first["Location"] == second["Location"]


def test_a_confirmation_that_is_sent_again_after_the_cache_was_lost_starts_nothing(desk):
    page = look(desk, make_template())
    desk.post(ADD, hidden_fields(page) | {"_draw": "1"})
    cache.clear()
    desk.post(ADD, hidden_fields(page) | {"_draw": "1"})
    assert BatchGenerationRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_confirmations_that_come_at_once_start_one_run(ada):
    desk = Client()
    desk.force_login(ada)
    fields = hidden_fields(look(desk, make_template())) | {"_draw": "1"}

    def confirm(_number):
        try:
            client = Client()
            client.cookies.update(desk.cookies)
            return client.post(ADD, fields)["Location"]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as people:
        assert len(set(people.map(confirm, range(4)))) == 1
    assert BatchGenerationRun.objects.count() == Job.objects.count() == 1


def test_two_orders_of_one_name_are_two_runs(desk):
    template = make_template()
    for _ in range(2):
        page = look(desk, template)
        desk.post(ADD, hidden_fields(page) | {"_draw": "1"})
    assert BatchGenerationRun.objects.filter(album_name="Night").count() == 2


def test_a_template_that_changed_after_the_look_is_looked_at_again(desk):
    template = make_template()
    page = look(desk, template)
    authoring.save_template(template=template, style_suffix="soft edges")
    answer = desk.post(ADD, hidden_fields(page) | {"_draw": "1"})
    assert "has been changed since you looked" in answer.content.decode()
    assert not Job.objects.exists()
    assert desk.post(ADD, hidden_fields(answer) | {"_draw": "1"}).status_code == 302
    assert BatchGenerationRun.objects.get().template_version.number == 2


def test_from_the_look_one_comes_back_to_the_form_as_it_was(desk):
    page = look(desk, make_template(), steps=7, row=[1, 3], negative_prompt="<b>fog</b>")
    text = desk.post(ADD, hidden_fields(page) | {"_edit": "1"}).content.decode()
    assert re.search(r'name="steps" value="7"', text)
    assert "&lt;b&gt;fog&lt;/b&gt;" in text
    assert len(re.findall(r'name="row" value="\d" checked', text)) == 2
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"row_selection": "99"}, "not within the rows 1 to 3"),
        ({"row_selection": "all"}, "is no row"),
        ({"row": "4"}, "Select a valid choice"),
        ({"steps": "0"}, "from 1 to 150"),
        ({"steps": "151"}, "from 1 to 150"),
        ({"guidance_scale": "30.5"}, "from 0 to 30"),
        ({"guidance_scale": "nan"}, "Enter a number"),
        ({"user_theme": ""}, "required"),
        ({"user_theme": "x" * 501}, "500"),
        ({"album_name": ""}, "required"),
        ({"album_name": "x" * 201}, "200"),
        ({"width": "100"}, "divisible by 8"),
        ({"height": "56"}, "from 64 to 2048"),
        ({"height": "2056"}, "from 64 to 2048"),
        ({"size": "9x9"}, "Select a valid choice"),
        ({"variants": "0"}, "greater than or equal to 1"),
        ({"variants": "17"}, "less than or equal to 16"),
        ({"seed_mode": "count", "seed": str(2**31)}, "from 0 to 2147483647"),
        ({"seed_mode": "same"}, "Write the seed to begin with"),
        ({"negative_prompt": "x" * 2001}, "2,000"),
        ({"scheduler": "magic"}, "Select a valid choice"),
        ({"model": "999"}, "Select a valid choice"),
        ({"rating": "lovely"}, "Select a valid choice"),
        ({"lora_mode": "own", "loras-lora": "none", "loras-weight": "1"}, "There is no LoRA"),
        ({"strength": "0.5"}, "name one, or leave it"),
        ({"reference_image_id": "999"}, "There is no picture 999"),
        ({"template": "999"}, "Select a valid choice"),
    ],
)
def test_a_wrong_order_is_explained_beside_its_field_and_starts_nothing(desk, changes, words):
    template = make_template()
    for button in ("_check", "_draw"):
        page = desk.post(ADD, order(template, **{button: "1"}) | changes)
        assert page.status_code == 200
        assert words in page.content.decode().replace("&#x27;", "'")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("steps", "1", 1),
        ("steps", "150", 150),
        ("guidance_scale", "0", 0.0),
        ("guidance_scale", "30", 30.0),
        ("width", "64", 64),
        ("height", "2048", 2048),
        ("variants", "16", 16),
        ("album_name", "x" * 200, "x" * 200),
        ("user_theme", '{name} {other} <script> "x"', '{name} {other} <script> "x"'),
        ("negative_prompt", "x" * 1990, "x" * 1990),
    ],
)
def test_an_option_at_its_edge_is_taken_as_it_is(desk, field, value, stored):
    page = look(desk, make_template(), **{field: value})
    assert desk.post(ADD, hidden_fields(page) | {"_draw": "1"}).status_code == 302
    assert getattr(BatchGenerationRun.objects.get(), field) == stored


@pytest.mark.parametrize(
    ("changes", "seeds"),
    [
        ({"seed_mode": "count", "seed": "5"}, [5, 6, 7]),
        ({"seed_mode": "same", "seed": "5"}, [5, 5, 5]),
        ({"seed_mode": "count", "seed": str(2**31 - 1)}, [2**31 - 1, 0, 1]),
    ],
)
def test_seeds_are_drawn_as_they_are_asked_for(desk, changes, seeds):
    assert list(draw(desk, make_template(), **changes).items.values_list("seed", flat=True)) == seeds


def test_with_another_seed_for_each_picture_a_seed_that_stands_there_is_left_alone(desk):
    run = draw(desk, make_template(), seed_mode="random", seed="5")
    assert run.seed is None
    assert len(set(run.items.values_list("seed", flat=True))) == 3


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"row": ["1", "3"]}, "1,3"),
        ({"row": ["1", "2", "3"]}, ""),
        ({"row": ["3"], "row_selection": "1-2"}, ""),
        ({"row": ["2"], "row_selection": "3"}, "2-3"),
    ],
)
def test_rows_are_ticked_or_written_or_both(desk, changes, kept):
    assert draw(desk, make_template(), **changes).row_selection == kept


def test_surprise_me_writes_a_theme_and_keeps_the_rest(desk):
    text = desk.post(
        ADD, order(make_template(), user_theme=THEMES[0], steps=9, _surprise="1")
    ).content.decode()
    [theme] = re.findall(r'name="user_theme"[^>]* value="([^"]*)"', text)
    assert theme.replace("&#x27;", "'") in THEMES[1:]
    assert 'name="steps" value="9"' in text
    assert not Job.objects.exists()
    assert len(set(THEMES)) == len(THEMES) >= 50


def test_a_chosen_template_shows_its_rows_to_tick(desk):
    template = make_template()
    assert "The Moon" not in desk.get(ADD).content.decode()
    assert "The Moon" in desk.get(f"{ADD}?template={template.pk}").content.decode()
    assert "The Moon" in desk.post(ADD, order(template, _rows="1")).content.decode()


def test_a_table_too_long_for_boxes_is_drawn_by_written_rows(desk):
    many = make_template(name="Many", rows=[{"name": f"Row {n}", "text": "a star"} for n in range(1000)])
    text = desk.get(f"{ADD}?template={many.pk}").content.decode()
    assert 'name="row"' not in text
    assert "Row 999" in text
    assert draw(desk, many, row_selection="1000").items.get().position == 1000


def test_loras_of_the_order_take_the_place_of_the_templates_or_none_do(desk):
    for name in ("ink", "gold"):
        Lora.objects.create(name=name, file=f"loras/{name}.safetensors", sha256=name)
    template = make_template(lora_config=[{"lora": "ink", "weight": 0.8}])
    own = {"lora_mode": "own", "loras-lora": ["gold", ""], "loras-weight": ["0.5", "1.0"]}
    assert draw(desk, template, **own).loras == [{"lora": "gold", "weight": 0.5}]
    BatchGenerationRun.objects.update(album_name="Day")
    assert draw(desk, template, lora_mode="own").loras == []
    BatchGenerationRun.objects.update(album_name="Day")
    assert draw(desk, template).loras == [{"lora": "ink", "weight": 0.8}]


def test_a_lora_of_another_family_is_told_before_it_fails(desk):
    model = find_model()
    assert model.family
    Lora.objects.create(name="big", file="loras/big.safetensors", family="another")
    page = look(desk, make_template(), **{"lora_mode": "own", "loras-lora": "big", "loras-weight": "1"})
    assert "trained for another family" in page.content.decode()


def test_a_reference_is_found_by_its_number_name_or_prompt_and_picked(desk):
    picture = ingest_image(png(1), source_type="manual", filename="Red_Crab.png", prompt="a crab").image
    other = ingest_image(png(2), source_type="manual", filename="Sky.png").image
    template = make_template()
    for words in (str(picture.pk), "red crab", "a crab"):
        text = desk.post(ADD, order(template, reference_search=words, _find="1")).content.decode()
        assert f'name="reference_image_id" value="{picture.pk}"' in text
        assert f'name="reference_image_id" value="{other.pk}"' not in text
    page = look(desk, template, reference_image_id=picture.pk, strength="0.3")
    assert f"picture {picture.pk}" in page.content.decode()
    run = draw(desk, template, reference_image_id=picture.pk, strength="0.3")
    assert (run.reference_image, run.strength) == (picture, 0.3)
    trash_image(picture)
    text = desk.get(f"{ADD}?template={template.pk}&reference_search=crab").content.decode()
    assert f'name="reference_image_id" value="{picture.pk}"' not in text


def test_a_size_is_chosen_by_its_shape(desk):
    run = draw(desk, make_template(), size="832x1216")
    assert (run.width, run.height) == (832, 1216)


def test_a_run_is_ordered_again_with_its_own_values(desk):
    template = make_template()
    run = start_run(template, row_selection="1,3", guidance_scale=3.5, is_same_seed=True, is_public=False)
    authoring.save_template(template=template, style_suffix="soft edges")
    text = desk.get(f"{ADD}?run={run.pk}&version=pinned").content.decode()
    for expected in ('name="steps" value="2"', 'value="3.5"', 'name="seed" value="7"', 'value="Skies"'):
        assert expected in text
    assert re.search(r'value="same"[^>]*checked', text)
    assert not re.search(r'name="is_public"[^>]*checked', text)
    assert re.search(rf'<option value="{run.template_version_id}" selected>Version 1', text)
    again = draw(desk, template, version=run.template_version_id)
    assert again.template_version == run.template_version
    assert desk.get(f"{ADD}?run=999").status_code == 404


def test_strangers_order_nothing_at_the_desk(client, stranger):
    client.force_login(stranger)
    assert client.post(ADD, order(make_template(), _draw="1")).status_code in (302, 403)
    assert not Job.objects.exists()


# ---- The estimate


def drawn_before(run, *, seconds, **differing):
    """As if the run's items had been drawn, each in this time."""
    image = ingest_image(png(7), source_type="manual").image
    for number, item in enumerate(run.items.all()):
        image.pk, image.source_type = None, "batch_generation"
        image.model = run.model
        image.save(force_insert=True)
        RunItem.objects.filter(pk=item.pk).update(
            status=JobStatus.COMPLETED, image=image, seconds=seconds + number / 100, **differing
        )
    Job.objects.filter(pk=run.pk).update(
        status=JobStatus.COMPLETED, finished_at=run.job.created_at, done=run.job.total
    )


def test_the_time_and_the_room_are_told_from_what_was_drawn_like_it(desk):
    template = make_template()
    drawn_before(start_run(template, variants=4), seconds=20)
    text = look(desk, template, steps=2, width=64, height=96, variants=4).content.decode()
    assert "3 min to 5 min" in text
    assert "by what this library has drawn like it" in text
    assert re.search(r"[\d.]+\s(bytes|KB|MB) to [\d.]+\s(KB|MB)", text.replace("\xa0", " "))
    assert "that are free" in text


def test_the_time_of_another_size_is_called_rough(desk):
    template = make_template()
    drawn_before(start_run(template), seconds=20)
    text = look(desk, template, steps=4).content.decode()
    assert "roughly, by what this model has drawn at other sizes" in text


def test_a_size_that_the_model_cannot_draw_is_said_before_anything_starts(desk):
    text = look(desk, make_template(), width=1024, height=1536).content.decode()
    assert "drawn at 128 × 192, the largest of this shape" in text
    assert "drawn at" not in look(desk, make_template(name="Small"), width=64, height=96).content.decode()


def test_the_room_of_another_size_is_told_too_from_as_much_as_before_to_as_much_more_as_it_is_larger(desk):
    template = make_template()
    run = start_run(template)
    assert estimate_order(plan_run(template, album_name="A", user_theme="b")).bytes is None
    drawn_before(run, seconds=20)
    alike = estimate_order(plan_run(template, album_name="A", user_theme="b")).bytes
    larger = estimate_order(plan_run(template, album_name="A", user_theme="b", width=128, height=192)).bytes
    assert larger.least == pytest.approx(alike.least)
    assert larger.most == pytest.approx(4 * alike.most)


def test_what_waits_before_it_is_told(desk):
    template = make_template()
    start_run(template)
    assert "3 pictures" in look(desk, template).content.decode()


def test_another_model_has_no_history_here(desk):
    template = make_template()
    run = start_run(template)
    drawn_before(run, seconds=20)
    other = DiffusionModel.objects.create(name="other", location=run.model.location, family=run.model.family)
    assert "has drawn nothing here so far" in look(desk, template, model=other.pk).content.decode()


# ---- On the site


def site_order(**changes):
    return {
        "album_name": "Night",
        "user_theme": "neon",
        "seed_mode": "random",
        "lora_mode": "template",
    } | changes


def test_an_admin_draws_a_template_from_its_page_on_the_site(desk, ada):
    template = make_template()
    address = f"/templates/{template.pk}/draw"
    assert "The Moon" in desk.get(address).content.decode()
    page = desk.post(address, site_order(variants=2, is_public="on", _check="1"))
    assert "Draw 6 pictures" in page.content.decode()
    answer = desk.post(address, hidden_fields(page) | {"_draw": "1"})
    run = BatchGenerationRun.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}"
    assert (run.job.created_by, run.is_public, run.variants) == (ada, True, 2)


def test_nobody_but_admins_draws_while_the_setting_is_off(client, stranger):
    address = f"/templates/{make_template().pk}/draw"
    assert "/auth/login" in client.get(address)["Location"]
    client.force_login(stranger)
    assert client.post(address, site_order(_draw="1", checked_version="1")).status_code == 403
    assert not Job.objects.exists()


def test_a_visitor_orders_in_private_with_the_limits_of_visitors(client, settings):
    settings.PUBLIC_GENERATION = True
    template = make_template()
    address = f"/templates/{template.pk}/draw"
    form = client.get(address).content.decode()
    for name in ("variants", "rating", "is_public", "version"):
        assert f'name="{name}"' not in form
    page = client.post(address, site_order(is_public="on", rating="safe", variants="9", _check="1"))
    assert "private" in page.content.decode()
    answer = client.post(address, hidden_fields(page) | {"_draw": "1"})
    run = BatchGenerationRun.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}"
    assert (run.is_public, run.rating, run.variants, run.job.created_by) == (False, "", 1, None)
    assert run.job.priority < 0
    assert "Night" not in client.get(answer["Location"]).content.decode()
    page = client.post(address, site_order(steps="150", _check="1"))
    refused = client.post(address, hidden_fields(page) | {"_draw": "1"})
    assert "Visitors get 50 steps at most" in refused.content.decode()
    assert BatchGenerationRun.objects.count() == 1


def test_a_visitor_who_orders_too_fast_is_asked_to_wait_and_keeps_the_order(client, settings):
    settings.PUBLIC_GENERATION = True
    address = f"/templates/{make_template().pk}/draw"
    answers = []
    for _ in range(12):
        page = client.post(address, site_order(row="1", steps="1", _check="1"))
        answers.append(client.post(address, hidden_fields(page) | {"_draw": "1"}))
    assert [answer.status_code for answer in answers] == [302] * 10 + [429] * 2
    assert int(answers[-1]["Retry-After"]) >= 1
    assert 'value="Night"' in answers[-1].content.decode()
    assert BatchGenerationRun.objects.count() == 10


def test_a_visitor_starts_from_no_picture_that_is_hidden_from_them(client, settings):
    settings.PUBLIC_GENERATION = True
    hidden = ingest_image(png(1), source_type="manual", filename="Secret.png", rating="safe").image
    address = f"/templates/{make_template().pk}/draw"
    form = client.post(address, site_order(reference_search=str(hidden.pk), _find="1")).content.decode()
    assert "Secret" not in form
    page = client.post(address, site_order(reference_image_id=hidden.pk, _check="1"))
    assert f"There is no picture {hidden.pk}" in page.content.decode()
    assert "Draw 3" not in page.content.decode()


def test_an_archived_template_has_no_order_form(desk):
    template = make_template()
    authoring.set_archived(template, is_archived=True)
    assert desk.get(f"/templates/{template.pk}/draw").status_code == 404
