"""A limit of the API, among many that ask at one instant."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db import connection
from django.test import RequestFactory

from imagineer.api import NetworkThrottle

VIEW = SimpleNamespace(throttle_scope="generate")  # ten a minute


@pytest.fixture(autouse=True)
def nobody_has_asked(db):
    """Tests that commit leave their counts on PostgreSQL: no table of a model holds them."""
    cache.clear()


def ask(number=0, *, timer=None, address="203.0.113.7"):
    throttle = NetworkThrottle()
    if timer:
        throttle.timer = timer
    request = RequestFactory().post(
        "/", REMOTE_ADDR=address, headers={"X-Forwarded-For": f"198.51.100.{number}"}
    )
    request.user = AnonymousUser()
    return throttle.allow_request(request, VIEW) or throttle


def ask_and_hang_up(number):
    try:
        return ask(number) is True
    finally:
        connection.close()


def test_many_at_once_are_together_allowed_what_one_is(transactional_db):
    with ThreadPoolExecutor(8) as pool:
        allowed = list(pool.map(ask_and_hang_up, range(40)))
    cache.clear()
    assert allowed.count(True) == 10


@pytest.mark.django_db
def test_who_is_refused_hears_how_long_to_wait():
    for second in range(10):
        assert ask(timer=lambda second=second: 1000 + second) is True
    assert ask(timer=lambda: 1030).wait() == 30, "until the first of the ten is a minute old"
    assert ask(address="203.0.113.8") is True


@pytest.mark.django_db
def test_what_has_no_limit_is_allowed():
    assert NetworkThrottle().allow_request(RequestFactory().get("/"), SimpleNamespace())
