"""Orders of visitors: small, private, last in the queue, and bounded, however many come at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from gallery.models import Image, Rating
from gallery.services import set_album_public
from gallery.visibility import Viewer
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from templates_app import ordering, visitors
from templates_app.api.templates import GenerateThrottle
from templates_app.models import BatchGenerationRun, RunItem
from templates_app.visitors import BacklogFull, start_visitor_run
from tests.factories import make_template, start_run

pytestmark = pytest.mark.django_db

ORDER = {"album_name": "Skies", "user_theme": "neon"}


@pytest.fixture(autouse=True)
def open_to_visitors(settings):
    settings.PUBLIC_GENERATION = True


@pytest.fixture
def unthrottled(monkeypatch):
    """The limit by the minute, which would answer first, is another one."""
    monkeypatch.setitem(GenerateThrottle.THROTTLE_RATES, "generate", "100000/minute")


def rows(count: int) -> list[dict]:
    return [{"name": f"Row {number}", "text": "a star"} for number in range(count)]


def order(api, template, *, address="203.0.113.7", **changes):
    return api.post(
        f"/api/batch-templates/{template.pk}/generate", ORDER | changes, REMOTE_ADDR=address, format="json"
    )


def start(template, *, network="203.0.113.7", **options):
    return start_visitor_run(template, network=network, viewer=Viewer(), **ORDER | options)


def test_an_order_is_private_and_its_visitor_may_watch_the_counts_and_nothing_else(api, tiny):
    answer = order(api, make_template(rating=Rating.SAFE), is_public=True, rating="safe", steps=2)
    assert answer.status_code == 202
    told = answer.json()
    assert "private until an admin publishes" in told["message"]
    run = told["run"]
    assert (run["total_items"], run["status"], run["album_name"]) == (3, "queued", None)
    for address in (f"/api/runs/{run['id']}", f"/api/jobs/{run['id']}"):
        assert api.get(address).json()["total_items"] == 3
    assert api.get(f"/runs/{run['id']}").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_what_a_visitor_ordered_is_seen_when_an_admin_publishes_it(api, tiny):
    run_id = order(api, make_template(rating=Rating.SAFE), steps=2).json()["run"]["id"]
    runner.run_jobs("gpu")
    run = BatchGenerationRun.objects.get(pk=run_id)
    assert run.job.status == JobStatus.COMPLETED
    assert not run.album.is_public
    assert set(Image.objects.values_list("is_public", "rating")) == {(False, Rating.UNRATED)}, (
        "what a curator declared was not said of a visitor's theme"
    )
    told = api.get(f"/api/runs/{run_id}").json()
    assert (told["completed_items"], told["album_id"]) == (3, None)
    assert api.get(f"/api/images?run={run_id}").json()["images"] == []
    assert all(item["image_id"] is None for item in api.get(f"/api/runs/{run_id}/items").json()["items"])
    set_album_public(run.album, is_public=True)
    assert len(api.get(f"/api/images?run={run_id}").json()["images"]) == 3


def test_of_whoever_orders_only_a_keyed_hash_is_kept(api, settings):
    order(api, make_template(), address="203.0.113.7")
    kept = BatchGenerationRun.objects.get().visitor
    assert len(kept) == 32
    settings.SECRET_KEY = "another key, which is also long enough for the checks of Django"
    order(api, make_template(name="Other"), address="203.0.113.7")
    assert BatchGenerationRun.objects.first().visitor != kept


def test_visitors_come_last_and_a_second_order_behind_the_first_of_another():
    template = make_template()
    first, second = start(template, network="a"), start(template, network="a")
    other = start(template, network="b")
    admins = start_run(template)
    single = ordering.start_single("a crab")
    claimed = []
    while job := runner.claim("gpu"):
        claimed.append(job.pk)
    assert claimed == [single.pk, admins.pk, first.pk, other.pk, second.pk]


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("variants", {"variants": 2}),
        ("steps", {"steps": visitors.MAX_STEPS + 1}),
        ("width", {"width": 2048, "height": 1024}),
    ],
)
def test_each_limit_of_visitors_has_its_own_sentence(api, field, options):
    answer = order(api, make_template(), **options)
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {field}
    assert not Job.objects.exists()


def test_what_stands_in_the_template_counts_against_the_limits_too(api):
    answer = order(api, make_template(width=2048, height=2048))
    assert answer.status_code == 400
    assert "width" in answer.json()["fields"]


def test_more_rows_than_a_visitor_gets_are_refused_and_some_of_them_are_drawn(api):
    many = make_template(rows=rows(visitors.MAX_PICTURES + 1))
    answer = order(api, many)
    assert answer.status_code == 400 and "rows" in answer.json()["fields"]
    assert order(api, many, rows=f"1-{visitors.MAX_PICTURES}").status_code == 202


def test_an_order_at_the_edges_is_taken(api):
    edge = {"steps": visitors.MAX_STEPS, "width": 1024, "height": 1024, "rows": "1"}
    assert order(api, make_template(), **edge).status_code == 202


def test_one_visitor_cannot_fill_the_queue(api, unthrottled):
    deck = make_template(rows=rows(54))
    answers = [order(api, deck, address="203.0.113.7") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 429, 429]
    assert "Your earlier orders" in answers[1].json()["error"]
    assert int(answers[1]["Retry-After"]) >= 1
    assert order(api, deck, address="203.0.113.8").status_code == 202, "others still get their share"


def test_a_visitor_is_the_network_and_not_one_of_its_addresses(api, unthrottled):
    deck = make_template(rows=rows(54))
    assert order(api, deck, address="2001:db8::1").status_code == 202
    assert order(api, deck, address="2001:db8::2").status_code == 429
    assert order(api, deck, address="2001:db8:0:1::1").status_code == 202


def test_all_visitors_together_are_bounded(api, unthrottled):
    deck = make_template(rows=rows(54))
    codes = [order(api, deck, address=f"203.0.113.{number}").status_code for number in range(6)]
    assert codes == [202] * 4 + [429] * 2
    assert start_run(deck).job.total == 54, "admins are not bound by it"


def test_cost_is_pixels_times_steps_and_not_pictures_alone(api, unthrottled):
    few = make_template(rows=rows(20), width=1024, height=1024)
    assert order(api, few, steps=30).status_code == 202
    again = order(api, few, steps=30)
    assert again.status_code == 429, "40 pictures are few, and much work"
    assert order(api, few, steps=1, rows="1").status_code == 202
    whole = order(api, few, steps=50, address="203.0.113.9")
    assert whole.status_code == 400
    assert "more than one visitor may have waiting" in whole.json()["error"]


def test_what_is_drawn_failed_or_cancelled_waits_no_more(api, unthrottled):
    deck = make_template(rows=rows(54))
    run = BatchGenerationRun.objects.get(pk=order(api, deck).json()["run"]["id"])
    assert order(api, deck).status_code == 429
    RunItem.objects.filter(run=run, position__gt=6).update(status=JobStatus.FAILED)
    assert order(api, deck).status_code == 202
    runner.request_cancel(run.job)
    assert order(api, deck, rows="1-6").status_code == 202


def test_an_admins_own_work_does_not_count(admin_api, api, unthrottled):
    deck = make_template(rows=rows(54))
    for _ in range(6):
        assert order(admin_api, deck).status_code == 202
        start_run(deck, is_public=False)  # as a command does, which belongs to nobody
    assert order(api, deck).status_code == 202


def test_without_the_setting_no_visitor_orders(api, settings):
    settings.PUBLIC_GENERATION = False
    assert order(api, make_template()).status_code == 401


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_however_many_come_at_once_the_cap_holds(site_on, settings, backend):
    site_on(backend)
    template = make_template(rows=rows(20))
    start(template, network="warm-up", row_selection="1")  # the model's row, which the first order makes
    at_once, each = 16, 3
    barrier = threading.Barrier(at_once)

    def knock(number: int) -> list[bool]:
        barrier.wait(timeout=60)
        taken = []
        for turn in range(each):
            try:
                start(template, network=f"{number}-{turn}")
                taken.append(True)
            except BacklogFull:
                taken.append(False)
        connection.close()
        return taken

    with ThreadPoolExecutor(at_once) as pool:
        taken = [one for many in pool.map(knock, range(at_once)) for one in many]
    assert taken.count(True) == (visitors.MAX_WAITING - 1) // 20
    assert RunItem.objects.count() <= visitors.MAX_WAITING
    assert Job.objects.count() == BatchGenerationRun.objects.count() == taken.count(True) + 1


def test_a_refused_order_leaves_nothing_behind():
    template = make_template(rows=rows(61))
    with pytest.raises(ValidationError):
        start(template)
    assert not Job.objects.exists() and not BatchGenerationRun.objects.exists()
