"""A form that is sent twice makes what it asks for once."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from django.db import connection
from django.db.models import Manager
from django.test import Client

from gallery.models import Album
from imagineer.accounts.services import make_admin
from imagineer.jobs.models import Job
from templates_app import sessions
from templates_app.models import BatchGenerationRun, GenerationSession
from tests.factories import make_template, start_run

pytestmark = pytest.mark.django_db

ORDER = {"prompt": "a crab", "variants": "2", "steps": "1", "width": "64", "height": "64"}
ALBUM = "/admin/gallery/album/add/"


@dataclass
class Form:
    """A form as somebody has filled it in, what they might write instead, and the rows that sending it makes."""

    page: str
    address: str
    words: dict
    others: dict
    made: Manager

    def opened(self, client, address="") -> dict:
        """What the page sends now."""
        page = client.get(address or self.page).content.decode()
        return self.words | {"request_key": key_in(page)}


def key_in(page: str) -> str:
    [key] = re.findall(
        r'<input type="hidden" name="request_key" value="([0-9a-f-]{36})" autocomplete="off">', page
    )
    return key


def single():
    return Form("/generate", "/generate", ORDER, {"prompt": "a bird"}, BatchGenerationRun.objects)


def reroll():
    run = start_run()
    page = f"/runs/{run.pk}/slots/1"
    words = {"variants": "2", "prompt": "a crab", "negative_prompt": ""}
    return Form(page, f"{page}/reroll", words, {"prompt": "a bird"}, run.rerolls)


def ticked():
    run = start_run()
    words = {"position": ["1", "3"], "variants": "2"}
    return Form(f"/runs/{run.pk}", f"/runs/{run.pk}/reroll", words, {"variants": "3"}, run.rerolls)


def session():
    return Form("/sessions/new", "/sessions/new", ORDER, {"name": "Bird"}, GenerationSession.objects)


def step():
    session = sessions.start_session("a crab", steps=1, width=64, height=64)
    address = f"/sessions/{session.pk}"
    return Form(address, f"{address}/steps/1", ORDER | {"do": "step"}, {"prompt": "a bird"}, session.steps)


def album():
    return Form(ALBUM, ALBUM, {"name": "Crabs", "is_public": "on"}, {"name": "Birds"}, Album.objects)


every_form = pytest.mark.parametrize("make_form", [single, reroll, ticked, session, step, album])


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


def sent_at_once(client, address, data) -> set:
    """Four presses of one page's button at one instant: where they lead to."""
    ready = threading.Barrier(4)

    def send(_number):
        try:
            own = Client()
            own.cookies.update(client.cookies)
            ready.wait(timeout=60)
            answer = own.post(address, data)
            return answer.status_code, answer.headers.get("Location")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as people:
        return set(people.map(send, range(4)))


@every_form
def test_a_form_sent_twice_makes_one_and_both_get_its_answer(desk, make_form):
    form = make_form()
    data = form.opened(desk)
    first = desk.post(form.address, data)
    made = form.made.count(), Job.objects.count()
    again = desk.post(form.address, data)
    assert first.status_code == again.status_code == 302
    assert first["Location"] == again["Location"]
    assert (form.made.count(), Job.objects.count()) == made


@every_form
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_form_sent_many_times_at_one_instant_makes_one_and_all_get_its_answer(site_on, make_form, backend):
    site_on(backend)
    desk = Client()
    desk.force_login(make_admin("ada@example.org"))
    form = make_form()
    before, rows = form.made.count(), len(form.words.get("position", [1]))
    [(status, _address)] = sent_at_once(desk, form.address, form.opened(desk))
    assert status == 302
    assert form.made.count() == before + rows


@every_form
def test_whoever_goes_back_and_writes_other_words_asks_for_another_one(desk, make_form):
    form = make_form()
    data = form.opened(desk)
    for changed in (data, data | form.others):
        before = form.made.count()
        assert desk.post(form.address, changed).status_code == 302
        assert form.made.count() > before


@every_form
def test_the_page_opened_anew_asks_for_another_one(desk, make_form):
    form = make_form()
    for _ in range(2):
        before = form.made.count()
        desk.post(form.address, form.opened(desk))
        assert form.made.count() > before


@every_form
@pytest.mark.parametrize("key", [None, "x", "\0", "0" * 100_000])
def test_without_a_key_that_is_one_each_sending_counts(desk, make_form, key):
    form = make_form()
    for _ in range(2):
        before = form.made.count()
        answer = desk.post(form.address, form.words | ({} if key is None else {"request_key": key}))
        assert answer.status_code == 302
        assert form.made.count() > before


@pytest.mark.parametrize("make_form", [single, reroll, session, step, album])
def test_a_page_that_is_shown_again_with_its_errors_keeps_its_key(desk, make_form):
    form = make_form()
    data = form.opened(desk)
    page = desk.post(form.address, data | {"name": "x" * 201, "variants": "17"})
    assert page.status_code in (200, 400)
    assert key_in(page.content.decode()) == data["request_key"]
    assert desk.post(form.address, data).status_code == 302


def test_a_key_counts_at_the_address_of_its_own_page(desk):
    form = reroll()
    data = form.opened(desk)
    for row in (1, 2):
        desk.post(form.address.replace("slots/1", f"slots/{row}"), data)
    assert set(form.made.values_list("row_selection", flat=True)) == {"1", "2"}


def test_a_set_is_drawn_again_though_one_of_its_rows_was_before(desk):
    form = ticked()
    data = form.opened(desk)
    desk.post(form.address, data)
    desk.post(form.address, data | {"position": ["2", "3"]})
    assert sorted(form.made.values_list("row_selection", flat=True)) == ["1", "2", "3", "3"]


def test_an_album_that_is_saved_by_another_of_its_buttons_is_the_same(desk):
    data = album().opened(desk)
    for button in ("_save", "_continue"):
        desk.post(ALBUM, data | {button: "1"})
    assert Album.objects.count() == 1


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_what_a_visitor_has_ordered_refuses_none_of_its_own_sendings(site_on, settings, backend):
    """A second order as large would be more than a visitor may have waiting."""
    site_on(backend)
    settings.PUBLIC_GENERATION = True
    visitor, template = Client(), make_template(rows=[{"name": f"{n}", "text": "a star"} for n in range(54)])
    address = f"/templates/{template.pk}/draw"
    words = {"album_name": "Skies", "user_theme": "neon", "seed_mode": "random", "lora_mode": "template"}
    look = visitor.post(address, words | {"variants": "1", "_check": "1"}).content.decode()
    data = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', look))
    answers = sent_at_once(visitor, address, data | {"_draw": "1", "request_key": key_in(look)})
    assert answers == {(302, BatchGenerationRun.objects.get().get_absolute_url())}


# ---- Programs, which name a key of their own


def orders_of_programs():
    run, session = start_run(), sessions.start_session("a crab", steps=1, width=64, height=64)
    drawn = {"prompt": "a crab", "steps": 1, "width": 64, "height": 64}
    return [
        ("/api/generate", drawn, {"prompt": "a bird"}),
        (f"/api/batch-templates/{make_template(name='Set').pk}/generate", SET, {"user_theme": "ink"}),
        (f"/api/runs/{run.pk}/items/1/reroll", {"variants": 2}, {"variants": 3}),
        ("/api/sessions", drawn, {"prompt": "a bird"}),
        (f"/api/sessions/{session.pk}/steps", drawn, {"prompt": "a bird"}),
    ]


SET = {"album_name": "Skies", "user_theme": "neon"}


def test_what_a_program_sends_again_with_its_key_is_answered_with_what_it_has_begun(admin_api):
    for path, words, others in orders_of_programs():
        before = Job.objects.count()
        first, again = (admin_api.post(path, words, HTTP_IDEMPOTENCY_KEY="a key") for _ in range(2))
        assert first.status_code == again.status_code < 300, path
        assert first.json() == again.json(), path
        assert Job.objects.count() == before + 1, path
        admin_api.post(path, words | others, HTTP_IDEMPOTENCY_KEY="a key")
        admin_api.post(path, words, HTTP_IDEMPOTENCY_KEY="another key")
        admin_api.post(path, words)
        admin_api.post(path, words, HTTP_IDEMPOTENCY_KEY="")
        assert Job.objects.count() == before + 5, path


def test_the_keys_of_two_visitors_are_two(api, settings):
    settings.PUBLIC_GENERATION = True
    path = f"/api/batch-templates/{make_template().pk}/generate"
    for address in ("203.0.113.7", "203.0.113.7", "203.0.113.8"):
        answer = api.post(path, SET, HTTP_IDEMPOTENCY_KEY="1", REMOTE_ADDR=address)
        assert answer.status_code == 202
    assert BatchGenerationRun.objects.count() == 2
