from allauth.decorators import rate_limit
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.tokens import default_token_generator
from django.http import Http404
from django.shortcuts import redirect, render
from django.utils.http import urlsafe_base64_decode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from imagineer.accounts.models import User
from imagineer.accounts.provider import GoogleAdapter

LOOPBACK = {"127.0.0.1", "::1"}


_begin = OAuth2LoginView.adapter_view(GoogleAdapter)
_end = OAuth2CallbackView.adapter_view(GoogleAdapter)


def _require_google(request) -> None:
    if not get_adapter(request).list_apps(request):
        raise Http404


@never_cache
@require_POST
@rate_limit(action="login")
def google_login(request):
    """Begin a sign-in with Google: to its page, with a state that this session alone can redeem."""
    _require_google(request)
    return _begin(request)


@never_cache
@require_safe
def google_callback(request):
    """Where Google sends people back to, with a code."""
    _require_google(request)
    return _end(request)


@never_cache
@require_http_methods(["GET", "POST"])
def demo_sign_in(request, uid: str, token: str):
    """Sign the demo's curator in by a one-time link: on a machine in debug mode, for itself alone.

    The link shows a button first, so that a program that only looks at links does not use it up.
    """
    if (
        not settings.DEBUG
        or request.META["REMOTE_ADDR"] not in LOOPBACK
        or "HTTP_X_FORWARDED_FOR" in request.META
    ):
        raise Http404
    try:
        user = User.objects.get(pk=urlsafe_base64_decode(uid).decode(), is_active=True)
    except (ValueError, UnicodeDecodeError, OverflowError, User.DoesNotExist):
        raise Http404 from None
    if not default_token_generator.check_token(user, token):
        used = {
            "title": "This link has been used",
            "sentence": "It signs in once. Stop the demo and start it again (make demo) for a new one.",
        }
        return render(request, "error.html", used, status=404)
    if request.method == "GET":
        return render(request, "auth/demo_sign_in.html", {"curator": user})
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("/admin/")
