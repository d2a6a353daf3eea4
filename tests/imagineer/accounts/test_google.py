"""Sign-in with Google: who becomes an admin by it, and the attacks that make nobody one."""

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.core.context import request_context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client

from imagineer.accounts.adapters import SocialAccountAdapter
from imagineer.accounts.models import User
from imagineer.accounts.services import CURATORS, create_api_token, make_admin

pytestmark = pytest.mark.django_db


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def ask_google(address: str) -> str:
    """What the person's browser does: follows us to the provider, which sends it back to this address."""
    try:
        urllib.request.build_opener(NoRedirect).open(address, timeout=10)
    except urllib.error.HTTPError as answer:
        return answer.headers["Location"]
    raise AssertionError("the provider did not redirect")


def begin(client, **fields) -> str:
    answer = client.post("/auth/google", fields)
    assert answer.status_code == 302, answer.content
    return answer["Location"]


def sign_in(client, **fields):
    back = urlsplit(ask_google(begin(client, **fields)))
    return client.get(f"{back.path}?{back.query}")


def is_admin(client) -> bool:
    """Whether this browser has got what only an admin gets, asked in each way there is."""
    says_so = client.get("/api/auth/me").json().get("user", {}).get("is_admin", False)
    opens = client.get("/admin/").status_code == 200
    writes = client.post("/api/batch-templates/999/generate", {}).status_code not in (401, 403)
    assert says_so == opens == writes
    return says_so


def assert_refused(client, answer, status=403):
    assert answer.status_code == status
    assert "To the gallery" in answer.content.decode(), "politely"
    assert SESSION_KEY not in client.session
    assert not is_admin(client)


# ---- Who comes in


def test_a_listed_and_verified_address_becomes_a_curator(client, google):
    answer = sign_in(client)
    assert answer.status_code == 302 and answer["Location"] == "/"
    assert is_admin(client)
    ada = User.objects.get()
    assert (ada.email, ada.name, ada.is_superuser) == ("ada@example.org", "Ada", False)
    assert ada.groups.get().name == CURATORS
    assert not ada.has_usable_password()
    bound = SocialAccount.objects.get()
    assert (bound.user, bound.provider, bound.uid) == (ada, "google", "1001")
    assert "Ada" in client.get("/").content.decode(), "the page says who is signed in"


def test_she_joins_the_account_that_her_token_was_made_for(client, google, ada):
    create_api_token(ada)
    sign_in(client)
    assert User.objects.get() == ada
    assert ada.api_tokens.count() == 1


def test_the_next_time_she_is_the_same(google):
    for _ in range(3):
        client = Client()
        sign_in(client)
        assert is_admin(client)
    assert User.objects.count() == SocialAccount.objects.count() == 1


def test_the_case_of_an_address_does_not_matter(client, google):
    google.person["email"] = "Ada@Example.ORG"
    sign_in(client)
    assert is_admin(client)


def test_signing_in_leads_back_to_where_one_was(client, google):
    assert sign_in(client, next="/albums?page=2")["Location"] == "/albums?page=2"


def test_a_superuser_of_a_listed_address_stays_one_and_keeps_the_password(client, google):
    User.objects.create_superuser("ada@example.org", "a superuser's passphrase")
    sign_in(client)
    ada = User.objects.get()
    assert ada.is_superuser and ada.check_password("a superuser's passphrase")


def test_google_is_asked_for_no_more_than_is_needed_with_proof_of_possession(client, google):
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begin(client)).query).items()}
    assert set(asked["scope"].split()) == {"openid", "email", "profile"}
    assert asked["code_challenge_method"] == "S256" and len(asked["state"]) >= 16
    assert asked["redirect_uri"] == "http://testserver/auth/google/callback"


def test_the_way_back_is_the_public_address_whatever_the_request_says(client, google, settings):
    settings.SITE_URL = "https://gallery.example.org"
    forged = {"X-Forwarded-Host": "evil.example.org", "X-Forwarded-Proto": "http"}
    address = client.post("/auth/google", headers=forged)["Location"]
    assert parse_qs(urlsplit(address).query)["redirect_uri"] == [
        "https://gallery.example.org/auth/google/callback"
    ]


def test_little_of_what_google_tells_is_kept(client, google):
    google.claims_over = {"picture": "https://example.org/p", "locale": "en", "hd": "example.org"}
    sign_in(client)
    assert set(SocialAccount.objects.get().extra_data) == {"sub", "email", "email_verified", "name"}
    assert not EmailAddress.objects.exists()


def test_a_name_cannot_rewrite_the_page(client, google):
    google.claims_over = {"name": "\u202eadA\x07\n<script>alert(1)</script>" + "x" * 500}
    sign_in(client)
    name = User.objects.get().name
    assert name.startswith("adA <script>") and len(name) == 150
    assert "<script>alert" not in client.get("/").content.decode()


# ---- Attacks. After each of them nobody is an admin who was none before.


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": None},  # not told
        {"email_verified": "false"},
        {"email_verified": "true"},  # Google tells a boolean
        {"email_verified": 1},
        {"email_verified": ["true"]},
        {"email_verified": False, "verified_email": True},
    ],
    ids=str,
)
def test_an_unverified_address_is_refused(client, google, claims):
    google.claims_over = claims
    assert_refused(client, sign_in(client))
    assert not User.objects.exists() and not SocialAccount.objects.exists()


@pytest.mark.parametrize(
    "email",
    [
        "mallory@example.org",
        "ada@example.org.evil.org",
        "ada@evil.org",
        "ada+x@example.org",
        "a.da@example.org",
        "ada.@example.org",
        "xada@example.org",
        "ada@example.orgx",
        "ada@sub.example.org",
        "\u0430da@example.org",  # Cyrillic a
        "ad\uff41@example.org",  # full width
        "ada@example\u3002org",  # ideographic full stop
        "ada@\u24d4xample.org",  # circled e
        "ada@examp\u217ce.org",  # Roman numeral fifty
        "ada\u200b@example.org",
        "ada@example.org\u0000",
        "ada@example.org\n",
        " ada@example.org",
        '"ada"@example.org',
        "ada@example.org,mallory@example.org",
        "mallory@example.org ada@example.org",
        "ada@example.org@evil.org",
        "ada%40example.org@evil.org",
        "",
        None,
        ["ada@example.org"],
        {"email": "ada@example.org"},
        7,
    ],
    ids=ascii,
)
def test_a_look_alike_is_refused(client, google, email):
    google.claims_over = {"email": email}
    google.person.pop("email")
    assert_refused(client, sign_in(client))
    assert not User.objects.filter(is_staff=True).exists()


def test_letters_that_become_ascii_in_lower_case_are_other_letters(client, google, settings):
    settings.ADMIN_EMAILS = ["kit@example.org"]
    google.person["email"] = "\u212ait@example.org"  # the Kelvin sign
    assert "\u212a".lower() == "k"
    assert_refused(client, sign_in(client))


def test_a_second_google_account_with_an_address_that_is_bound_already_is_refused(google):
    first, second = Client(), Client()
    sign_in(first)
    google.person["sub"] = "2002"
    assert_refused(second, sign_in(second))
    assert is_admin(first)
    assert SocialAccount.objects.get().uid == "1001"


def test_an_identity_whose_address_has_changed_is_refused(google, ada):
    sign_in(Client())
    for email in ("mallory@example.org", "grace@example.org"):
        google.person["email"] = email
        client = Client()
        assert_refused(client, sign_in(client))
    assert set(User.objects.values_list("email", flat=True)) == {ada.email}


def test_a_strangers_identity_that_takes_over_the_address_later_is_refused(google):
    sign_in(Client())
    google.person = {"sub": "2002", "email": "mallory@example.org"}
    stranger = Client()
    assert_refused(stranger, sign_in(stranger))
    google.person["email"] = "ada@example.org"
    assert_refused(stranger, sign_in(stranger))


def test_a_deactivated_account_stays_out(client, google, ada):
    ada.is_active = False
    ada.save()
    assert_refused(client, sign_in(client))
    ada.refresh_from_db()
    assert not ada.is_active and not SocialAccount.objects.exists()


def test_an_account_that_is_deactivated_later_is_out_at_once(client, google):
    sign_in(client)
    User.objects.update(is_active=False)
    assert not is_admin(client)
    again = Client()
    assert_refused(again, sign_in(again))


def test_an_account_whose_rights_were_taken_does_not_get_them_back(client, google):
    sign_in(client)
    User.objects.update(is_staff=False)
    assert not is_admin(client)
    again = Client()
    assert_refused(again, sign_in(again))
    assert not User.objects.get().is_staff


def test_an_address_that_is_taken_from_the_list_is_out_at_once_with_session_and_token(
    client, api, google, settings
):
    sign_in(client)
    _token, key = create_api_token(User.objects.get())
    api.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    assert is_admin(client) and api.get("/api/auth/me").json()["user"]["is_admin"]
    settings.ADMIN_EMAILS = ["grace@example.org"]
    assert not is_admin(client)
    assert api.get("/api/auth/me").status_code == 401
    again = Client()
    assert_refused(again, sign_in(again))


@pytest.mark.parametrize(
    "claims",
    [
        {"is_staff": True, "is_superuser": True, "is_admin": True, "role": "admin", "groups": [CURATORS]},
        {"email": "mallory@example.org", "emails": ["ada@example.org"], "upn": "ada@example.org"},
        {
            "email": "mallory@example.org",
            "preferred_username": "ada@example.org",
            "user": {"email": "ada@example.org"},
        },
        {"email": "mallory@example.org", "hd": "example.org"},
    ],
)
def test_claims_about_rights_count_for_nothing(client, google, claims):
    google.person["email"] = "mallory@example.org"
    google.claims_over = claims
    assert_refused(client, sign_in(client))
    google.person["email"] = "ada@example.org"
    if "is_staff" in claims:
        sign_in(client)
        assert not User.objects.get().is_superuser


def test_another_provider_with_the_same_address_and_number_is_refused(client, google):
    """No other provider is there; and one that were would be refused, whatever rows the database holds."""
    sign_in(Client())
    SocialAccount.objects.update(provider="github")
    SocialApp.objects.create(provider="github", name="GitHub", client_id="x", secret="y")
    SocialApp.objects.create(provider="google", name="Mallory's", client_id="x", secret="y")
    for path in ("/auth/github", "/auth/github/callback", "/auth/github/login/", "/auth/google/login/token/"):
        assert client.post(path).status_code == 404
    assert "client_id=imagineer.apps.example" in begin(client)
    assert_refused(client, sign_in(client))  # the account is bound to somebody else's identity


def test_the_decision_itself_refuses_other_providers(rf, google):
    claims = {"sub": "1001", "email": "ada@example.org", "email_verified": True}
    for provider, process in (
        ("github", "login"),
        ("Google", "login"),
        ("google", "connect"),
        ("google", "redirect"),
    ):
        login = SocialLogin(account=SocialAccount(provider=provider, uid="1001", extra_data=claims))
        login.state = {"process": process}
        request = rf.get("/auth/google/callback")
        with request_context(request), pytest.raises(ImmediateHttpResponse):
            request.user, request.session = AnonymousUser(), {}
            SocialAccountAdapter().pre_social_login(request, login)
    assert not User.objects.exists()


@pytest.mark.parametrize("state", [None, "", "forged", "A" * 16, "\x00", "x" * 5000])
def test_a_missing_or_forged_state_is_refused(client, google, state):
    begin(client)
    back = parse_qs(urlsplit(ask_google(begin(client))).query)
    query = {"code": back["code"][0]} | ({} if state is None else {"state": state})
    assert_refused(client, client.get(f"/auth/google/callback?{urlencode(query)}"))


def test_the_state_of_another_browser_is_refused(google):
    mallory, victim = Client(), Client()
    back = urlsplit(ask_google(begin(mallory)))
    begin(victim)
    assert_refused(victim, victim.get(f"{back.path}?{back.query}"))


def test_an_old_state_is_refused(client, google):
    back = urlsplit(ask_google(begin(client)))
    session = client.session
    session["socialaccount_states"] = {
        key: [state, begun_at - 601, provider]
        for key, (state, begun_at, provider) in session["socialaccount_states"].items()
    }
    session.save()
    assert_refused(client, client.get(f"{back.path}?{back.query}"))


def test_an_answer_is_good_once(client, google):
    back = urlsplit(ask_google(begin(client)))
    assert client.get(f"{back.path}?{back.query}").status_code == 302
    client.post("/auth/logout")
    assert_refused(client, client.get(f"{back.path}?{back.query}"))


def test_a_stolen_code_is_refused_with_a_state_of_ones_own(client, google):
    """The code was given to another browser, whose verifier the thief does not have."""
    stolen = parse_qs(urlsplit(ask_google(begin(Client()))).query)["code"][0]
    state = parse_qs(urlsplit(begin(client)).query)["state"][0]
    assert_refused(client, client.get(f"/auth/google/callback?{urlencode({'code': stolen, 'state': state})}"))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another client"},
        {"aud": None},
        {"iss": "https://accounts.google.com.evil.org"},
        {"iss": None},
        {"exp": 1_000_000_000},
        {"exp": None, "iss": "https://evil.example.org"},
        {"sub": None},
        {"sub": ""},
        {"sub": 1001},
        {"sub": "x" * 500},
        {"sub": None, "id": "1001"},
        {"sub": "1\x00"},
        {"name": "A\x00da"},
        {"name": "A\ud800da"},
    ],
    ids=str,
)
def test_an_id_token_for_others_from_others_or_of_yesterday_is_refused(client, google, claims):
    google.claims_over = claims
    assert_refused(client, sign_in(client))
    assert not User.objects.exists()


def test_an_answer_without_an_id_token_is_refused(client, google):
    google.drop_id_token = True
    assert_refused(client, sign_in(client))


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((200, "application/json", "{}"), 403),
        ((200, "application/json", "[]"), 403),
        ((200, "application/json", '"text"'), 403),
        ((200, "application/json", '{"access_token": "x", "id_token": "a.b.c"}'), 403),
        ((200, "application/json", '{"access_token": "x", "id_token": 7}'), 403),
        ((200, "application/json", '{"access_token": "x", "id_token": "%s"}' % ("e30." * 3)), 403),
        ((200, "application/json", '{"access_token": {"a": 1}, "expires_in": "soon"}'), 403),
        ((200, "application/json", "{not json"), 503),
        ((200, "text/html", "<h1>Captive portal</h1>"), 403),
        ((400, "application/json", '{"error": "invalid_grant"}'), 403),
        ((500, "text/plain", "oops"), 403),
    ],
    ids=str,
)
def test_whatever_the_provider_answers_nothing_breaks(client, google, answer, status):
    google.token_answer = answer
    assert_refused(client, sign_in(client), status)


def test_an_unsigned_token_that_comes_by_the_browser_opens_nothing(client, google):
    """Google's one-tap form would post an id token; nothing here takes one."""
    token = google.id_token()
    client.cookies["g_csrf_token"] = "x"
    for path in ("/auth/google/callback", "/auth/google", "/auth/google/login/token/", "/auth/login"):
        client.post(path, {"credential": token, "g_csrf_token": "x", "id_token": token})
        assert not is_admin(client)


def test_a_provider_that_is_away_is_a_sentence(client, google):
    back = urlsplit(ask_google(begin(client)))
    google.close()
    answer = client.get(f"{back.path}?{back.query}")
    assert_refused(client, answer, 503)
    assert "Google did not answer" in answer.content.decode()


def test_whoever_cancels_is_back_at_the_sign_in_page(client, google):
    google.is_cancelled = True
    assert sign_in(client)["Location"] == "/auth/login"
    assert not is_admin(client)


@pytest.mark.parametrize("error", ["server_error", "<script>alert(1)</script>", "access_denied\r\nX: y"])
def test_an_error_of_the_provider_is_a_sentence_without_its_words(client, google, error):
    state = parse_qs(urlsplit(begin(client)).query)["state"][0]
    answer = client.get(f"/auth/google/callback?{urlencode({'error': error, 'state': state})}")
    assert_refused(client, answer)
    assert error not in answer.content.decode()


ELSEWHERE = [
    "https://evil.example.org/",
    "//evil.example.org",
    "///evil.example.org",
    "////evil.example.org",
    "http:evil.example.org",
    "http:///evil.example.org",
    "/\\evil.example.org",
    "\\\\evil.example.org",
    "/\t/evil.example.org",
    "javascript:alert(1)",
    "JavaScript:alert(1)//testserver",
    "data:text/html,x",
    "https://testserver@evil.example.org/",
    "https://testserver.evil.example.org/",
    "https://evil.example.org\\@testserver/",
    "http://localhost/admin/",  # an allowed host, and yet another place
    "http://[::1]/",
    "\x08//evil.example.org",
    " //evil.example.org",
    "ftp://testserver/",
    "https://evil.example.org#testserver",
    "https://evil.example.org?testserver",
]


@pytest.mark.parametrize("goal", ELSEWHERE, ids=ascii)
def test_signing_in_leads_to_no_foreign_place(client, google, goal):
    assert sign_in(client, next=goal)["Location"] == "/"
    assert client.post("/auth/logout", {"next": goal})["Location"] == "/"


def test_a_goal_that_is_added_on_the_way_back_leads_nowhere_foreign(client, google):
    back = urlsplit(ask_google(begin(client)))
    answer = client.get(f"{back.path}?{back.query}&{urlencode({'next': 'https://evil.example.org/'})}")
    assert answer["Location"] == "/"


def test_a_planted_session_is_not_the_one_that_gets_the_rights(client, google):
    """Session fixation: whoever knows the number of the session before has nothing after."""
    begin(client)
    planted = client.cookies["sessionid"].value
    sign_in(client)
    assert is_admin(client)
    assert client.cookies["sessionid"].value != planted
    mallory = Client()
    mallory.cookies["sessionid"] = planted
    assert not is_admin(mallory)


def test_a_request_cannot_ask_for_another_process(google, stranger):
    """Connecting would bind the identity to whoever happens to be signed in."""
    client = Client()
    client.force_login(stranger)
    for process in ("connect", "redirect"):
        answer = client.post(
            f"/auth/google?process={process}&scope=admin&auth_params=hd%3Dx&action=reauthenticate"
        )
        asked = parse_qs(urlsplit(answer["Location"]).query)
        assert set(asked["scope"][0].split()) == {"openid", "email", "profile"} and "hd" not in asked
        back = urlsplit(ask_google(answer["Location"]))
        client.get(f"{back.path}?{back.query}")
        assert not SocialAccount.objects.filter(user=stranger).exists()
    assert not User.objects.get(pk=stranger.pk).is_staff
    assert client.get("/api/auth/me").json()["user"]["email"] == "ada@example.org", (
        "she signed in, and as herself"
    )


def test_a_stranger_who_is_refused_stays_a_stranger(google, stranger):
    client = Client()
    client.force_login(stranger)
    google.person["email"] = "mallory@example.org"
    assert sign_in(client).status_code == 403
    assert client.get("/api/auth/me").json()["user"]["email"] == stranger.email
    assert not is_admin(client)


def test_a_link_or_a_foreign_form_begins_no_sign_in(google):
    strict = Client(enforce_csrf_checks=True)
    assert strict.get("/auth/google").status_code == 405
    assert strict.post("/auth/google").status_code == 403
    assert not google.asked


def test_two_identities_that_come_for_one_address_at_once_bind_it_once(google, transactional_db):
    def come(sub):
        try:
            client = Client()
            back = urlsplit(ask_google(begin(client)))
            google.person = {"sub": sub, "email": "ada@example.org"}
            return client.get(f"{back.path}?{back.query}").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(come, ["1", "2", "3", "4"]))
    assert SocialAccount.objects.count() == User.objects.count() == 1
    assert set(statuses) <= {302, 403} and 302 in statuses


# ---- Without Google, and what is not there at all


def test_without_a_client_there_is_no_button_and_no_address(client):
    assert "Google" not in client.get("/auth/login").content.decode()
    assert client.post("/auth/google").status_code == 404
    assert client.get("/auth/google/callback").status_code == 404


def test_half_a_client_is_none(client, settings):
    settings.GOOGLE_CLIENT_ID = "x"
    assert "Google" not in client.get("/auth/login").content.decode()
    assert client.post("/auth/google").status_code == 404


def test_with_a_client_there_is_a_button_that_remembers_where_one_was(client, google):
    page = client.get("/auth/login?next=/albums").content.decode()
    assert 'action="/auth/google"' in page and page.count('value="/albums"') == 2


@pytest.mark.parametrize("prefix", ["/auth", "/accounts", ""])
def test_no_other_page_of_allauth_answers(client, google, prefix):
    pages = """signup email confirm-email password/change password/set password/reset password/reset/done
        password/reset/key/done password/reset/key/1-set-password login/code login/code/confirm reauthenticate inactive
        3rdparty 3rdparty/signup 3rdparty/login/cancelled 3rdparty/login/error social/signup social/connections
        google/login google/login/callback google/login/token 2fa phone/verify"""
    for page in pages.split():
        for ending in ("", "/"):
            assert client.get(f"{prefix}/{page}{ending}").status_code == 404, page
            assert client.post(f"{prefix}/{page}{ending}").status_code == 404, page


def test_the_bindings_are_seen_and_released_by_superusers(client, google):
    sign_in(Client())
    client.force_login(User.objects.create_superuser("root@example.org", "a superuser's passphrase"))
    bound = SocialAccount.objects.get()
    assert client.get("/admin/socialaccount/socialaccount/").status_code == 200
    assert client.get(f"/admin/socialaccount/socialaccount/{bound.pk}/change/").status_code == 200
    assert client.get("/admin/socialaccount/socialaccount/add/").status_code == 403
    assert client.get("/admin/socialaccount/socialapp/").status_code == 404
    client.post(f"/admin/socialaccount/socialaccount/{bound.pk}/delete/", {"post": "yes"})
    google.person["sub"] = "2002"
    other = Client()
    sign_in(other)
    assert is_admin(other)


def test_sign_ins_and_refusals_are_in_the_log_without_secrets(client, google, caplog):
    caplog.set_level("INFO")
    sign_in(client)
    google.person = {"sub": "7", "email": "mallory@example.org"}
    sign_in(Client())
    messages = [record.getMessage() for record in caplog.records]
    [signed_in] = [record for record in caplog.records if record.getMessage() == "signed in"]
    assert signed_in.fields["address"] == "127.0.0.1" and signed_in.fields["by"] == "GoogleBackend"
    assert any("not among IMAGINEER_ADMIN_EMAILS" in message for message in messages)
    for secret in ("an access token", "the client's secret", "mallory@"):
        assert secret not in caplog.text


def test_making_an_admin_is_by_the_list_letter_for_letter(settings):
    settings.ADMIN_EMAILS = ["kit@example.org"]
    with pytest.raises(ValidationError):
        make_admin("\u212ait@example.org")
    assert make_admin("KIT@example.org").email == "kit@example.org"
