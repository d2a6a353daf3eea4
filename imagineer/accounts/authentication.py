from datetime import timedelta

from django.contrib.auth.backends import BaseBackend
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, get_authorization_header

from imagineer.accounts.models import ApiToken, User
from imagineer.accounts.services import is_listed

# last_used_at is for people who look at it, so one write a minute is enough
USE_RECORDED_EVERY = timedelta(minutes=1)


class GoogleBackend(BaseBackend):
    """Sessions begun with Google: they last while their address is listed, and are asked at each request."""

    def get_user(self, user_id):
        user = User.objects.filter(pk=user_id, is_active=True, is_staff=True).first()
        return user if user and is_listed(user.email) else None


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Token <key>``, for as long as the owner's address is listed (or a superuser's)."""

    def authenticate_header(self, request):
        return "Token"

    def authenticate(self, request):
        scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "token":
            return None
        token = ApiToken.objects.find(key.strip())
        if token is None or not (token.user.is_superuser or is_listed(token.user.email)):
            raise exceptions.AuthenticationFailed("This API token is unknown or has been revoked.")
        now = timezone.now()
        if token.last_used_at is None or now - token.last_used_at > USE_RECORDED_EVERY:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        return token.user, token


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema):
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <key>`, with a key made by `manage.py create_api_token EMAIL`.",
        }
