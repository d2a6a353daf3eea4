from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.utils import timezone

from imagineer.accounts.models import ApiToken, User
from imagineer.accounts.services import CURATORS, create_api_token, make_admin, revoke_api_token
from imagineer.management.commands.demo import sign_in_link

pytestmark = pytest.mark.django_db


def printed(*command) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue().strip()


def test_a_token_of_an_allow_listed_address_is_printed_alone_and_works(api):
    key = printed("create_api_token", "Ada@Example.org")
    assert len(key) >= 43, "256 bits"
    api.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    assert api.get("/api/auth/me").json()["user"]["is_admin"] is True


def test_no_token_for_an_address_that_is_not_listed():
    with pytest.raises(CommandError, match="not among IMAGINEER_ADMIN_EMAILS"):
        printed("create_api_token", "mallory@example.org")
    assert not User.objects.exists()


def test_a_token_is_stored_as_a_hash_only(ada):
    token, key = create_api_token(ada)
    stored = ApiToken.objects.filter(pk=token.pk).values().get()
    assert key not in str(stored)
    assert ApiToken.objects.find(key) == token


def test_a_revoked_token_and_one_of_an_inactive_person_open_nothing(ada):
    token, key = create_api_token(ada)
    revoke_api_token(token)
    assert ApiToken.objects.find(key) is None
    _, other = create_api_token(ada)
    User.objects.update(is_active=False)
    assert ApiToken.objects.find(other) is None


def test_the_last_use_of_a_token_is_recorded_once_a_minute(admin_api, django_assert_num_queries):
    admin_api.get("/api/auth/me")
    token = ApiToken.objects.get()
    assert timezone.now() - token.last_used_at < timedelta(minutes=1)
    with django_assert_num_queries(1):
        admin_api.get("/api/auth/me")


def test_an_admin_is_a_curator_with_rights_on_the_library_and_none_on_people(ada):
    assert ada.groups.get().name == CURATORS
    assert ada.has_perm("gallery.change_image")
    assert ada.has_perm("jobs.change_job")
    assert not ada.has_perm("accounts.change_user")


def test_addresses_are_one_whatever_their_case():
    User.objects.create_user("Someone@Example.org")
    assert User.objects.get_by_natural_key("SOMEONE@example.org").email == "someone@example.org"
    with pytest.raises((ValidationError, IntegrityError)):
        User.objects.create_user("SOMEONE@example.org")


def test_making_an_admin_twice_is_making_one():
    assert make_admin("ada@example.org") == make_admin("ADA@example.org")


# ---- Pages


def test_signing_in_with_a_password_and_out_again(client, stranger):
    page = client.post(
        "/auth/login", {"login": "stranger@example.org", "password": "a stranger's passphrase"}
    )
    assert page.status_code == 302
    assert client.get("/api/auth/me").json()["user"]["is_admin"] is False
    assert client.get("/admin/").status_code == 302, "a stranger is no admin"
    client.post("/auth/logout")
    assert client.get("/api/auth/me").json() == {"authenticated": False}


def test_the_sign_in_page_leads_to_no_foreign_place(client, stranger):
    page = client.post(
        "/auth/login?next=https://evil.example.org/",
        {"login": "stranger@example.org", "password": "a stranger's passphrase"},
    )
    assert page["Location"] == "/"


def test_the_demos_link_signs_in_once_on_this_machine_in_debug_mode_only(client, ada, settings):
    settings.DEBUG = True
    link = sign_in_link(ada)
    assert client.get(link).status_code == 200, "looking at it does not use it up"
    assert client.post(link, REMOTE_ADDR="192.0.2.7").status_code == 404
    assert client.post(link, headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 404
    settings.DEBUG = False
    assert client.post(link).status_code == 404
    settings.DEBUG = True
    assert client.post(link).status_code == 302
    assert client.get("/api/auth/me").json()["user"]["email"] == ada.email
    client.logout()
    assert client.post(link).status_code == 404, "once"


def test_a_made_up_link_signs_nobody_in(client, ada, settings):
    settings.DEBUG = True
    for uid in ("MQ", "!!", "999", "%F0%9F%A6%80"):
        assert client.post(f"/auth/demo/{uid}/abc-def").status_code == 404
    token = default_token_generator.make_token(ada)
    assert client.post(f"/auth/demo/MA/{token}").status_code == 404


def test_people_and_tokens_are_seen_and_revoked_by_superusers(client):
    root = User.objects.create_superuser("root@example.org", "a superuser's passphrase")
    client.force_login(root)
    token, _key = create_api_token(root, name="scripts")
    assert client.get("/admin/accounts/user/").status_code == 200
    assert client.get(f"/admin/accounts/user/{root.pk}/change/").status_code == 200
    assert client.get("/admin/accounts/user/add/").status_code == 200
    page = client.post(
        "/admin/accounts/apitoken/", {"action": "revoke", "_selected_action": [token.pk]}, follow=True
    )
    assert "1 token" in page.content.decode()
    token.refresh_from_db()
    assert token.revoked_at is not None


# ---- One sign-in page


def test_the_admin_has_no_form_of_its_own(client, stranger, ada):
    inside = client.get("/admin/gallery/image/?rating=safe")
    assert inside["Location"] == "/admin/login/?next=/admin/gallery/image/%3Frating%3Dsafe"
    door = client.get(inside["Location"])
    assert door["Location"] == "/auth/login?next=/admin/gallery/image/%3Frating%3Dsafe"
    posted = client.post(
        "/admin/login/", {"username": "stranger@example.org", "password": "a stranger's passphrase"}
    )
    assert posted["Location"] == "/auth/login?next=/admin/"
    assert "_auth_user_id" not in client.session, "or its limits would be for nothing"
    client.force_login(stranger)
    assert client.get("/admin/login/").status_code == 403
    client.force_login(ada)
    assert client.get("/admin/login/?next=https://evil.example.org/", follow=True).request["PATH_INFO"] == "/"


def test_signing_out_asks_first_when_it_comes_by_a_link(client, ada):
    client.force_login(ada)
    assert "Sign out" in client.get("/auth/logout").content.decode()
    assert client.get("/api/auth/me").json()["authenticated"]
    assert client.post("/auth/logout")["Location"] == "/"
    assert client.get("/auth/logout")["Location"] == "/", "whoever is out is shown the gallery"


def test_whoever_is_in_is_not_asked_again(client, ada):
    client.force_login(ada)
    assert client.get("/auth/login?next=/albums")["Location"] == "/albums"


def test_a_planted_session_is_not_the_one_that_gets_the_rights_by_password(client, stranger):
    client.get("/auth/login")
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted
    client.post("/auth/login", {"login": "stranger@example.org", "password": "a stranger's passphrase"})
    assert client.cookies["sessionid"].value != planted
