"""Floods of orders by visitors, from one network and from a thousand: what waits is bounded, every refusal says when to
come again, and an admin's order goes before all of theirs."""

import gc
import logging
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from django.db import connection
from django.test import Client

from imagineer.jobs import runner
from imagineer.jobs.models import Job
from templates_app import visitors
from templates_app.models import RunItem
from tests.factories import make_template, start_run

THREADS = 4
MEMORY = 64 * 2**20  # bytes that the process may grow by after its first hundred orders, whatever comes


@pytest.fixture(params=["sqlite", "postgresql"])
def open_site(request, site_on, settings):
    settings.PUBLIC_GENERATION = True
    return site_on(request.param)


def from_one(number: int) -> str:
    return "203.0.113.7"


def from_a_thousand(number: int) -> str:
    return f"2001:db8:0:{number % 1000:x}::{number // 1000 + 1:x}"


def knock(template, number: int, network_of) -> Counter:
    """So many orders from some threads; how many were answered in which way."""

    def order(turns) -> Counter:
        client, answers = Client(), Counter()
        for turn in turns:
            answer = client.post(
                f"/api/batch-templates/{template.pk}/generate",
                {"album_name": "Skies", "user_theme": "neon"},
                content_type="application/json",
                REMOTE_ADDR=network_of(turn),
            )
            answers[answer.status_code] += 1
            if answer.status_code == 429:
                assert int(answer["Retry-After"]) >= 1
                assert set(answer.json()) == {"error"}
        connection.close()
        return answers

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(order, (range(start, number, THREADS) for start in range(THREADS))), Counter())


@pytest.fixture(autouse=True)
def refusals_are_not_logged():
    """pytest would keep every line until the test ends, with the request of each refusal in it."""
    logger = logging.getLogger("django.request")
    logger.disabled = True
    yield
    logger.disabled = False


def flood(number: int) -> None:
    template = make_template()
    first = knock(template, 100, from_one)
    gc.collect()
    before = psutil.Process().memory_info().rss
    answers = first + knock(template, number - 100, from_one) + knock(template, number, from_a_thousand)
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    assert set(answers) == {202, 429} and answers.total() == 2 * number
    waiting = RunItem.objects.count()
    assert visitors.MAX_WAITING - 3 < waiting <= visitors.MAX_WAITING, "what fits is taken, and no more"
    assert Job.objects.count() == answers[202] == waiting // 3
    admins = start_run(template)
    assert runner.claim("gpu").pk == admins.pk
    assert grown < MEMORY


def test_hundreds_of_orders_fill_no_queue_and_an_admin_goes_first(open_site):
    flood(200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_orders_fill_no_queue_and_an_admin_goes_first(open_site):
    flood(int(os.environ.get("IMAGINEER_FLOOD_ORDERS", 1000)))
