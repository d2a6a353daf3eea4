"""The pages for whoever looks for a picture: they work without JavaScript, so these tests are a browser without it."""

import re

import pytest

from gallery.models import Album, Image
from imagineer.jobs.models import Job
from templates_app import sessions
from templates_app.generation_settings import change_settings
from templates_app.models import BatchGenerationRun, GenerationSession
from templates_app.prompt_library import save_prompt_template
from tests.templates_app.test_sessions import begin, first_step, pretend_drawn, source  # noqa: F401

pytestmark = pytest.mark.django_db

ORDER = {"prompt": "a crab", "variants": 2, "steps": 1, "width": 64, "height": 64}


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def text(response) -> str:
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def act(client, step, do, **fields):
    return client.post(f"/sessions/{step.session_id}/steps/{step.position}", fields | {"do": do}, follow=True)


@pytest.mark.parametrize("address", ["/generate", "/sessions", "/sessions/new", "/sessions/{pk}"])
def test_the_pages_are_the_admins_alone(client, stranger, address):
    address = address.format(pk=begin().pk)
    assert client.get(address)["Location"].startswith("/auth/login?next=")
    client.force_login(stranger)
    assert client.get(address).status_code == 403
    assert client.post(address, ORDER).status_code in (403, 405)


def test_a_step_is_nobody_elses_to_act_on(client, stranger):
    step = first_step(begin())
    assert client.post(f"/sessions/{step.session_id}/steps/1", {"do": "abandon"}).status_code == 302
    client.force_login(stranger)
    assert client.post(f"/sessions/{step.session_id}/steps/1", {"do": "abandon"}).status_code == 403
    assert GenerationSession.objects.get().is_active


# ---- One prompt


def test_the_page_for_one_prompt_orders_it_and_leads_to_its_run(desk, ada):
    assert "Put in words" not in text(desk.get("/generate")), "the library is empty"
    answer = desk.post("/generate", ORDER | {"album_name": "Crabs", "scheduler": "ddim", "seed": 5})
    run = BatchGenerationRun.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}"
    item = run.items.first()
    assert (run.album_name, run.is_public, run.job.created_by) == ("Crabs", False, ada)
    assert (item.prompt, item.seed, item.scheduler, run.items.count()) == ("a crab", 5, "ddim", 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": "x" * 2001}, "2,001 characters"),
        ({"width": 65}, "divisible by 8"),
        ({"steps": 151}, "from 1 to 150"),
        ({"steps": 10**400}, "from 1 to 150"),
        ({"variants": 17}, "from 1 to 16"),
        ({"reference_image_id": 999}, "no picture 999"),
        ({"strength": 2, "reference_image_id": "{source}"}, "from 0.05 to 1"),
        ({"scheduler": "magic"}, "Select a valid choice"),
        ({"guidance_scale": "nan"}, "number"),
        ({"loras-lora": "none", "loras-weight": "1"}, "no LoRA"),
        ({"album_name": "a\u202eb"}, "control characters"),
    ],
)
def test_a_wrong_order_is_explained_beside_its_field_and_keeps_what_is_written(desk, source, changes, words):  # noqa: F811
    changes = {name: str(value).format(source=source.pk) for name, value in changes.items()}
    page = text(desk.post("/generate", ORDER | {"negative_prompt": "fog & <b>"} | changes))
    assert words in page
    assert "fog &amp; &lt;b&gt;" in page
    assert not Job.objects.exists()


def test_a_form_is_filled_by_its_address_and_from_the_library(desk, tiny):
    template = save_prompt_template(name="Neon & <i>", prompt_text='{prompt}, "neon"', negative_prompt="day")
    page = text(desk.get(f"/generate?prompt=a+crab&negative_prompt=fog&prompt_template={template.pk}&seed=7"))
    assert "a crab, &quot;neon&quot;</textarea>" in page
    assert "fog, day</textarea>" in page
    assert re.search(r'name="seed" value="7"', page)
    assert "Neon &amp; &lt;i&gt;" in page
    for odd in (
        "prompt_template=x",
        "prompt_template=99",
        f"prompt_template={'9' * 40}",
        "loras=x",
        "width=no",
    ):
        assert desk.get(f"/generate?{odd}").status_code == 200


def test_prompts_written_lately_are_offered_each_once_to_admins(desk, client):
    begin("an older crab", negative_prompt="fog")
    for _ in range(2):
        desk.post("/generate", ORDER | {"prompt": "a <b>crab</b>"})
    page = text(desk.get("/generate"))
    assert page.count("a &lt;b&gt;crab&lt;/b&gt;</a>") == 1
    item = first_step(GenerationSession.objects.get()).run.items.first()
    page = text(desk.get(f"/generate?prompt_of={item.pk}"))
    assert "an older crab</textarea>" in page
    assert "fog</textarea>" in page
    client.logout()


def test_a_picture_is_drawn_again_from_all_of_its_recipe(desk):
    step = first_step(begin("a crab", negative_prompt="fog", scheduler="ddim", seed=77))
    image = pretend_drawn(step)[1]
    Image.objects.filter(pk=image.pk).update(prompt="a crab")
    assert f"/generate?image={image.pk}" in text(desk.get(f"/images/{image.pk}"))
    page = text(desk.get(f"/generate?image={image.pk}"))
    for words in (
        'name="seed" value="78"',
        'name="width" value="64"',
        'value="ddim" selected',
        "fog</textarea>",
    ):
        assert words in page
    assert "a crab</textarea>" in text(desk.get(f"/sessions/new?source={image.pk}&image={image.pk}"))
    for odd in ("image=x", "image=999", "prompt_of=999"):
        assert desk.get(f"/generate?{odd}").status_code == 200


def test_sizes_are_offered_as_the_model_draws_them(desk, tiny):
    change_settings(aspect_ratios=[{"name": "Tall <b>", "width": 512, "height": 1024}])
    page = text(desk.get("/generate?prompt=a"))
    assert "Tall &lt;b&gt;" in page
    assert "?prompt=a&amp;width=" in page
    assert "64 × 88" in page


def test_a_strength_beside_no_picture_is_not_meant(desk):
    desk.post("/generate", ORDER | {"strength": 0.6})
    assert BatchGenerationRun.objects.get().strength is None


# ---- A session


def test_a_session_is_begun_from_a_prompt_or_from_a_picture(desk, source):  # noqa: F811
    page = desk.post("/sessions/new", ORDER | {"name": "The crab"})
    session = GenerationSession.objects.get()
    assert (page["Location"], session.name) == (f"/sessions/{session.pk}", "The crab")
    offer = f"/sessions/new?source={source.pk}"
    assert offer in text(desk.get(f"/images/{source.pk}"))
    assert "Start from the picture" in text(desk.get(offer))
    desk.post(offer, ORDER | {"use_image": "on", "strength": 0.4})
    refinement = GenerationSession.objects.first()
    run = refinement.steps.get().run
    assert (refinement.source_image, run.reference_image, run.strength) == (source, source, 0.4)
    assert desk.get("/sessions/new?source=999").status_code == 404
    assert desk.get("/sessions/new?source=x").status_code == 404


def test_visitors_are_offered_no_refinement(client, source):  # noqa: F811
    from gallery.services import add_images, create_album

    add_images(create_album(name="Shown"), [source])
    assert "/sessions" not in text(client.get(f"/images/{source.pk}"))


def test_a_picture_is_chosen_gone_on_from_branched_from_and_kept(desk):
    session = begin(negative_prompt="fog")
    step = first_step(session)
    one, two = pretend_drawn(step)
    page = text(act(desk, step, "choose", image=two.pk))
    assert '<span data-live="kept">0 of 2 pictures kept</span>' in page, "told anew while they are drawn"
    assert "Goes on from this alternative" in page
    assert "fog</textarea>" in page
    assert f'name="image_id" value="{two.pk}"' in page
    act(
        desk,
        step,
        "step",
        **ORDER | {"prompt": "brass", "use_image": "on", "strength": 0.3, "image_id": two.pk},
    )
    second = session.steps.get(position=2)
    assert (second.parent, second.run.reference_image, second.run.strength) == (step, two, 0.3)
    act(desk, step, "step", **ORDER | {"prompt": "gold", "image_id": two.pk})
    assert session.steps.get(position=3).run.reference_image is None, "from the words alone, as said"
    act(desk, second, "root", **ORDER | {"prompt": "anew"})
    tree = list(session.steps.values_list("position", "parent__position"))
    assert tree == [(1, None), (2, 1), (3, 1), (4, None)]
    page = text(desk.get(f"/sessions/{session.pk}"))
    assert page.index("?step=3") < page.index("?step=2"), "a branch stands below its step"
    page = text(act(desk, step, "keep", image=[one.pk, two.pk], album_name="Crabs & <b>", is_public="on"))
    assert "2 pictures kept in Crabs &amp; &lt;b&gt;, which is public" in page
    assert Album.objects.get().image_count == 2
    chosen = Album.objects.create(name="Mine", is_public=False)
    assert "1 picture kept in Mine, which is private" in text(
        act(desk, step, "keep", image=[one.pk], album=chosen.pk)
    )


def test_a_step_goes_on_from_the_picture_that_was_seen_whatever_another_tab_chose_or_discarded(desk):
    step = first_step(begin())
    one, two = pretend_drawn(step)
    seen = ORDER | {"prompt": "my own words", "use_image": "on", "image_id": one.pk}
    sessions.choose_image(step, two)
    act(desk, step, "step", **seen)
    assert step.session.steps.get(position=2).run.reference_image == one
    sessions.discard_images(step, [one.pk])
    page = text(act(desk, step, "step", **seen))
    assert "in the trash" in page
    assert "my own words</textarea>" in page
    assert step.session.steps.count() == 2
    assert act(desk, step, "step", **seen | {"image_id": "x"}).status_code == 404


def test_pictures_are_discarded_and_restored(desk):
    step = first_step(begin())
    one, _two = pretend_drawn(step)
    assert "1 picture moved to the trash" in text(act(desk, step, "discard", image=one.pk))
    assert Image.objects.present().count() == 1
    assert "1 picture restored" in text(act(desk, step, "restore", image=one.pk))


def test_what_clashes_is_told_in_a_sentence_and_loses_nothing(desk):
    step = first_step(begin())
    assert "nothing to try again" in text(act(desk, step, "retry"))
    assert "Name one picture" in text(act(desk, step, "keep", album_name="x"))
    assert "no alternative of step 1" in text(act(desk, step, "discard", image=999))
    assert "still being drawn" in text(act(desk, step, "complete"))
    act(desk, step, "cancel")
    assert "cannot be cancelled" in text(act(desk, step, "cancel"))
    act(desk, step, "retry")
    page = text(act(desk, step, "abandon"))
    assert "goes to the trash" in page
    assert "Draw the next step" not in page
    assert "This session is abandoned" in text(act(desk, step, "step", **ORDER))
    assert act(desk, step, "explode").status_code == 404
    assert act(desk, step, "choose", image="x").status_code == 404
    assert desk.get(f"/sessions/{step.session_id}?step=9").status_code == 404
    assert desk.get(f"/sessions/{step.session_id}?step=x").status_code == 404
    assert desk.get(f"/sessions/{2**63}").status_code == 404


def test_a_wrong_step_keeps_what_is_written_and_a_form_sent_twice_draws_once(desk):
    step = first_step(begin())
    page = text(act(desk, step, "step", **ORDER | {"prompt": "my own words", "width": 65}))
    assert "my own words</textarea>" in page
    assert "divisible by 8" in page
    page = text(desk.get(f"/sessions/{step.session_id}"))
    key = re.search(r'name="request_key" value="([0-9a-f-]{36})"', page)[1]
    for _ in range(2):
        act(desk, step, "step", **ORDER | {"request_key": key})
    assert step.session.steps.count() == 2


def test_hostile_words_stay_words(desk):
    evil = "<script>alert(1)</script> {prompt} \" ' & \u202e"
    session = begin(evil, negative_prompt=evil)
    pretend_drawn(first_step(session))
    for address in ("/sessions", f"/sessions/{session.pk}"):
        assert "<script>alert" not in text(desk.get(address))


def test_the_list_shows_sessions_by_status(desk):
    one, two = begin("first one"), begin("second one")
    pretend_drawn(first_step(two))
    sessions.abandon_session(one)
    page = text(desk.get("/sessions?status=abandoned"))
    assert "first one" in page
    assert "second one" not in page
    assert "first one" in text(desk.get("/sessions?status=odd&after=x"))


def test_a_session_of_a_thousand_steps_is_a_page_of_bounded_size(desk, django_assert_max_num_queries):
    from templates_app.models import GenerationStep

    session = begin()
    pretend_drawn(first_step(session))
    address = f"/sessions/{session.pk}?step=1"
    desk.get(address)
    with django_assert_max_num_queries(45) as few:
        small = len(text(desk.get(address)))
    template = first_step(session).run
    jobs = Job.objects.bulk_create(
        [
            Job(kind="generation", queue="gpu", status="cancelled", finished_at=session.started_at)
            for _ in range(999)
        ]
    )
    runs = BatchGenerationRun.objects.bulk_create(
        [
            BatchGenerationRun(job=job, album_name="x", model=template.model, has_own_album=False)
            for job in jobs
        ]
    )
    parent = first_step(session)
    GenerationStep.objects.bulk_create(
        [GenerationStep(session=session, run=run, parent=parent, position=n) for n, run in enumerate(runs, 2)]
    )
    with django_assert_max_num_queries(len(few) + 2):
        page = text(desk.get(address))
    assert "steps not shown" in page
    assert len(page) < small + 80 * 1200


def test_the_desk_lists_sessions_and_leads_to_their_pages(desk, django_assert_max_num_queries):
    session = begin("a <b>crab</b>")
    pretend_drawn(first_step(session))
    address = "/admin/templates_app/generationsession/"
    with django_assert_max_num_queries(12):
        page = text(desk.get(f"{address}?q=crab&status__exact=active"))
    assert "a &lt;b&gt;crab&lt;/b&gt;" in page
    assert desk.get(f"{address}{session.pk}/change/")["Location"] == f"/sessions/{session.pk}"
    assert desk.get(f"{address}999/change/")["Location"] == "/sessions"
    assert desk.get(f"{address}add/")["Location"] == "/sessions/new"
