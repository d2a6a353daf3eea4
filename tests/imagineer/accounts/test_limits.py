"""Guessing passwords: counted by network and by account, in a cache that all processes share."""

import os
import re
import subprocess
import sys

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from imagineer.accounts.models import User
from tests.clusters import ROOT

pytestmark = pytest.mark.django_db
PASSPHRASE = "a long passphrase of ada"


@pytest.fixture(autouse=True)
def quick_passwords(settings):
    """Hundreds are tried here, and how slowly they are hashed is not what is looked at."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada_with_password(ada):
    ada.set_password(PASSPHRASE)
    ada.save()
    return ada


def guess(email="ada@example.org", password="wrong", *, client=None, address="203.0.113.7", **headers):
    """A try, and what came of it: in, wrong, or refused (the account's limit or the network's)."""
    client = client or Client()
    answer = client.post(
        "/auth/login",
        {"login": email, "password": password},
        REMOTE_ADDR=address,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    if answer.status_code == 429:
        assert int(answer["Retry-After"]) >= 1
        assert "Too many requests" in answer.content.decode()
        return "too many"
    if answer.status_code == 302:
        return "in"
    return "too many" if "Too many failed" in answer.content.decode() else "wrong"


def test_an_account_is_guarded_from_the_sixth_wrong_guess_on_wherever_they_come_from(ada_with_password):
    guesses = [guess(address=f"203.0.113.{number}") for number in range(8)]
    assert guesses == ["wrong"] * 5 + ["too many"] * 3
    assert guess(password=PASSPHRASE, address="198.51.100.1") == "too many", "the right one is not told apart"


def test_spelling_the_address_otherwise_is_the_same_account(ada_with_password):
    spellings = [
        "ada@example.org",
        "ADA@example.org",
        "Ada@Example.Org",
        " ada@example.org ",
        "aDa@example.org",
    ]
    assert {guess(spelling) for spelling in spellings} == {"wrong"}
    assert guess("adA@example.org") == "too many"


def test_another_host_name_is_the_same_account(ada_with_password, settings):
    settings.ALLOWED_HOSTS = [".example.org"]
    guesses = [guess(Host=f"h{number}.example.org", address=f"203.0.113.{number}") for number in range(7)]
    assert guesses.count("wrong") == 5


def test_a_network_that_guesses_accounts_is_refused(ada_with_password):
    guesses = [guess(f"person{number}@example.org") for number in range(14)]
    assert guesses == ["wrong"] * 10 + ["too many"] * 4
    assert guess(password=PASSPHRASE, address="198.51.100.1") == "in", "others are not"


def test_addresses_of_one_ipv6_network_count_as_one(ada_with_password):
    guesses = [guess(f"p{number}@example.org", address=f"2001:db8:1:2::{number:x}") for number in range(14)]
    assert guesses.count("wrong") == 10
    assert guess("p@example.org", address="2001:db8:1:3::1") == "wrong"


def test_a_forged_header_makes_nobody_another(ada_with_password):
    guesses = [
        guess(f"p{number}@example.org", X_Forwarded_For=f"198.51.100.{number}") for number in range(14)
    ]
    assert guesses.count("wrong") == 10


@pytest.mark.parametrize(("proxies", "seen"), [(1, "{client}"), (2, "{client}, 10.0.0.2")])
def test_behind_proxies_clients_are_told_apart_by_what_the_proxies_saw(
    ada_with_password, settings, proxies, seen
):
    settings.TRUSTED_PROXIES = proxies

    def ask(number, client):
        forwarded = f"198.51.100.{number}, " + seen.format(client=client)  # its left end is forged
        return guess(f"p{number}@example.org", address="10.0.0.1", X_Forwarded_For=forwarded)

    assert [ask(number, "203.0.113.7") for number in range(12)].count("wrong") == 10
    assert ask(99, "203.0.113.8") == "wrong"


def test_being_right_in_between_does_not_reset_the_count(ada_with_password, stranger):
    for _ in range(4):
        assert guess() == "wrong"
    assert guess("stranger@example.org", "a stranger's passphrase") == "in"
    assert guess() == "wrong"
    assert guess() == "too many"


def test_signing_in_often_is_limited_too(ada_with_password):
    tries = [guess(password=PASSPHRASE) for _ in range(32)]
    assert tries == ["in"] * 30 + ["too many"] * 2


def test_beginning_with_google_is_limited(google):
    statuses = [Client().post("/auth/google").status_code for _ in range(32)]
    assert statuses == [302] * 30 + [429] * 2


def test_wrong_and_unknown_and_inactive_look_alike(ada_with_password):
    User.objects.create_user("gone@example.org", PASSPHRASE, is_active=False)
    pages = set()
    for email, password in (
        ("ada@example.org", "wrong"),
        ("nobody@example.org", "wrong"),
        ("gone@example.org", PASSPHRASE),
    ):
        page = Client().post("/auth/login", {"login": email, "password": password}).content.decode()
        pages.add(re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page.replace(email, "")))
    assert len(pages) == 1


def test_an_account_without_a_password_opens_to_none(ada):
    for password in ("", "!", ada.password, "None"):
        assert guess(password=password) in ("wrong", "too many")


def test_several_processes_share_one_limit(transactional_db, tmp_path):
    """Four processes guess at once: together they are allowed what one is."""
    User.objects.create_user("ada@example.org", PASSPHRASE)
    name = connection.settings_dict["NAME"]
    connection.close()
    program = (
        "import pytest, sys, django, tests.settings as s\n"
        f"s.DATABASES['default']['NAME'] = {str(name)!r}\n"
        "django.setup()\n"
        "from tests.imagineer.accounts.test_limits import guess\n"
        "print(*[guess(address=f'203.0.113.{sys.argv[1]}{n}') for n in range(3)], sep='\\n')\n"
    )
    guessing = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number)],
            cwd=ROOT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(1, 5)
    ]
    told = [line for process in guessing for line in process.communicate(timeout=120)[0].splitlines()]
    assert len(told) == 12 and 1 <= told.count("wrong") <= 5
    cache.clear()
