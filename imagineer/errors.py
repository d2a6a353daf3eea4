"""Error answers: a page for people, ``{"error": sentence}`` under ``/api/``."""

import logging
import sys

from django.http import HttpResponsePermanentRedirect, JsonResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt

from imagineer.outages import ANSWERS, PAUSE, Outage, find_outage

logger = logging.getLogger(__name__)

SENTENCES = {
    400: ("That request was wrong", "The server could not read the request."),
    403: ("Not allowed", "You may not open this page."),
    404: ("Not found", "There is nothing at this address, or it is not public."),
    410: ("Withdrawn", "What was here has been withdrawn and will not come back."),
    429: ("Too many requests", "You asked too often in a short time. Wait a minute, then try again."),
    500: ("Something broke", "The error has been logged; try again, and tell an admin if it stays."),
    503: ("Back in a moment", "A part of this site is away for the moment. Try again soon."),
    507: ("No room left", ANSWERS[Outage.DISK][1]),
}
LIMIT_PAUSE = 60  # seconds that a refused page is told to wait; the limits are counted by the minute


def answer(request, status: int, sentence: str = ""):
    """The page (under ``/api/`` the JSON) of an error."""
    title, general = SENTENCES[status]
    sentence = sentence or general
    if request.path.startswith("/api/"):
        return JsonResponse({"error": sentence}, status=status)
    return render(
        request, "error.html", {"title": title, "sentence": sentence, "status": status}, status=status
    )


def bad_request(request, exception=None):
    return answer(request, 400)


def permission_denied(request, exception=None):
    return answer(request, 403)


def csrf_failure(request, reason=""):
    return answer(
        request, 403, "The form was too old, or the browser keeps no cookies. Load the page again and repeat."
    )


@csrf_exempt  # what is not there is not there for a POST either
def not_found(request, exception=None):
    """An old link may end in a slash: it leads to the address without it."""
    path = request.path_info
    if request.method in ("GET", "HEAD") and is_address(path.rstrip("/")) and not is_address(path):
        query = request.META.get("QUERY_STRING", "")
        return HttpResponsePermanentRedirect(request.path.rstrip("/") + (f"?{query}" if query else ""))
    return answer(request, 404)


not_found.should_append_slash = False  # it answers what ends in a slash, so that Django would lead there


def is_address(path: str) -> bool:
    try:
        return resolve(path).func is not not_found
    except Resolver404:
        return False


def too_many_requests(request, exception=None):
    response = answer(request, 429)
    response.headers["Retry-After"] = str(LIMIT_PAUSE)
    return response


def server_error(request):
    """Called while the error is being handled: what is away and comes back is told from what is broken."""
    return answer_outage(request, sys.exc_info()[1]) or answer(request, 500)


class OutageMiddleware:
    """An outage is no mistake of ours, so in debug mode too it is answered, where Django would show the code."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, error):
        return answer_outage(request, error)


def answer_outage(request, error: BaseException | None):
    """The page that tells what is away, or None when the error is one of ours."""
    outage = find_outage(error)
    if outage is None:
        return None
    status, sentence = ANSWERS[outage]
    logger.warning("answered %d, the %s is away: %s", status, outage, error)
    response = answer(request, status, sentence)
    if status == 503:
        response.headers["Retry-After"] = str(PAUSE)
    return response
