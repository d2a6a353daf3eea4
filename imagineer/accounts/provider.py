"""Google as django-allauth's one provider, with fewer liberties: nothing in a request chooses what it is asked."""

import json
from contextlib import contextmanager

from allauth.socialaccount.providers.google import provider, views
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

# All that is kept of what Google tells: who it is, and what admission is decided by.
KEPT_CLAIMS = ("sub", "email", "email_verified", "name")


class GoogleAdapter(views.GoogleOAuth2Adapter):
    """The protocol: PKCE, and an id token in every answer (issuer, audience and expiry are checked by allauth)."""

    def get_callback_url(self, request, app):
        """On the public address where it is set, since it must be, letter for letter, the one Google was told."""
        callback = reverse("google_callback")
        return f"{settings.SITE_URL}{callback}" if settings.SITE_URL else request.build_absolute_uri(callback)

    def complete_login(self, request, app, token, **kwargs):
        if not kwargs["response"].get("id_token"):
            # allauth would ask the profile address instead, whose answer is bound to no client and no time
            raise OAuth2Error("The answer holds no id token.")
        with _in_googles_form():
            return super().complete_login(request, app, token, **kwargs)

    def parse_token(self, data):
        with _in_googles_form():
            return super().parse_token(data)


@contextmanager
def _in_googles_form():
    """An answer that is made otherwise than Google makes it fails the sign-in and not the server."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, ImproperlyConfigured) as error:
        raise OAuth2Error("The answer is not in Google's form.") from error


class GoogleProvider(provider.GoogleProvider):
    oauth2_adapter_class = GoogleAdapter
    pkce_enabled_default = True

    def get_scope_from_request(self, request):
        return ["openid", "email", "profile"]

    def get_auth_params_from_request(self, request, action):
        return {"prompt": "select_account"}  # whoever was refused can choose another account

    def get_redirect_from_request_kwargs(self, request):
        # allauth lets the request ask for other processes, such as connecting the account to whoever is signed in
        return super().get_redirect_from_request_kwargs(request) | {"process": "login"}

    def extract_uid(self, data):
        return data["sub"]

    def extract_extra_data(self, data):
        kept = {claim: data[claim] for claim in KEPT_CLAIMS if claim in data}
        # half a surrogate pair is a ValueError here, and with U+0000 what PostgreSQL cannot keep
        if "\\u0000" in json.dumps(kept, ensure_ascii=False).encode().decode():
            raise ValueError("A claim holds U+0000.")
        return kept


provider_classes = [GoogleProvider]
