"""The decisions that django-allauth leaves to us: nobody signs up, and who signs in is admitted here."""

import logging

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.base import AuthError, AuthProcess
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from imagineer.accounts.services import Refused, admit_google_account
from imagineer.client import client_address, client_network

logger = logging.getLogger(__name__)

GOOGLE_BACKEND = "imagineer.accounts.authentication.GoogleBackend"
REFUSED = {
    "title": "This account has no access",
    "sentence": "You signed in with Google, but only the curators of this gallery have an account here. "
    "If you are one, ask whoever runs it to add your address. Looking around needs no account.",
    "status": 403,
}
FAILED = {
    "title": "Signing in did not work",
    "sentence": "The answer from Google does not belong to a sign-in that was begun here in the last ten minutes. "
    "Start again from the sign-in page.",
    "status": 403,
}
AWAY = {
    "title": "Google did not answer",
    "sentence": "Signing in with Google is not possible at the moment. Try again in a minute.",
    "status": 503,
}


def turn_away(request: HttpRequest, page: dict) -> HttpResponse:
    return render(request, "auth/refused.html", page, status=page["status"])


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request):
        return False

    def is_safe_url(self, url):
        """Only places on this very host; allauth allows every host that the settings name."""
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={self.request.get_host()}, require_https=self.request.is_secure()
        )

    def get_client_ip(self, request):
        return client_network(request)

    def add_message(self, *args, **kwargs):
        """Nothing: every page says who is signed in."""

    def respond_user_inactive(self, request, user):
        return turn_away(request, REFUSED)

    def _get_login_attempts_cache_key(self, request, **credentials):
        # allauth adds the host's name, and there may be any number of those
        return credentials["email"].strip().lower()


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request, sociallogin):
        return False

    def list_apps(self, request, provider=None, client_id=None):
        """Google with the environment's client, or nothing; rows in the database are not asked."""
        app = SocialApp(
            provider="google", client_id=settings.GOOGLE_CLIENT_ID, secret=settings.GOOGLE_CLIENT_SECRET
        )
        wanted = provider in (None, "google") and client_id in (None, app.client_id)
        return [app] if wanted and app.client_id and app.secret else []

    def pre_social_login(self, request, sociallogin):
        """Admit a curator and bind the account to the Google identity, or turn away. Nothing comes after this."""
        is_bound = sociallogin.is_existing
        try:
            if (
                sociallogin.account.provider != "google"
                or sociallogin.state.get("process") != AuthProcess.LOGIN
            ):
                raise Refused("this is no sign-in with Google")
            with transaction.atomic():
                user = admit_google_account(
                    sociallogin.account.extra_data, bound_to=sociallogin.user if is_bound else None
                )
                if not is_bound:
                    sociallogin.connect(request, user)
        except Refused as refusal:
            logger.warning(
                "refused a sign-in with Google: %s",
                refusal,
                extra={"fields": {"address": client_address(request)}},
            )
            raise ImmediateHttpResponse(turn_away(request, REFUSED)) from refusal
        sociallogin.user.backend = GOOGLE_BACKEND

    def on_authentication_error(self, request, provider, error=None, exception=None, extra_context=None):
        if error == AuthError.CANCELLED:
            raise ImmediateHttpResponse(redirect(settings.LOGIN_URL))
        # the exception's own text may hold the answer, and so a token
        reason = type(exception).__name__ if exception else "no such sign-in was begun"
        logger.warning(
            "a sign-in with Google failed: %s", reason, extra={"fields": {"address": client_address(request)}}
        )
        page = AWAY if isinstance(exception, OSError) else FAILED  # what requests raises is one
        raise ImmediateHttpResponse(turn_away(request, page))
