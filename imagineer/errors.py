"""Error answers: a page for people, ``{"error": sentence}`` under ``/api/``."""

from django.http import JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

SENTENCES = {
    400: ("That request was wrong", "The server could not read the request."),
    403: ("Not allowed", "You may not open this page."),
    404: ("Not found", "There is nothing at this address, or it is not public."),
    429: ("Too many tries", "Wait a minute, then try again."),
    500: ("Something broke", "The error has been logged; try again, and tell an admin if it stays."),
}


def _answer(request, status: int):
    title, sentence = SENTENCES[status]
    if request.path.startswith("/api/"):
        return JsonResponse({"error": sentence}, status=status)
    return render(
        request, "error.html", {"title": title, "sentence": sentence, "status": status}, status=status
    )


def bad_request(request, exception=None):
    return _answer(request, 400)


def permission_denied(request, exception=None):
    return _answer(request, 403)


def csrf_failure(request, reason=""):
    return _answer(request, 403)


@csrf_exempt  # what is not there is not there for a POST either
def not_found(request, exception=None):
    return _answer(request, 404)


def too_many_requests(request):
    response = _answer(request, 429)
    response.headers["Retry-After"] = "60"  # seconds; the limits are counted by the minute
    return response


def server_error(request):
    return _answer(request, 500)
