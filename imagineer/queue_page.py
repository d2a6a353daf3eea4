"""Who waits for what, and about how long: the public page of all queues."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from gallery.views.answers import page
from gallery.visibility import Viewer
from imagineer.jobs import doorbell
from imagineer.jobs.waiting import describe_line

NAMES = {"gpu": "Pictures and training", "default": "Scraping, labelling, importing"}


@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """With ``?part`` only what changes, for the script that follows it."""
    lines = [describe_line(name, request) for name in sorted(doorbell.QUEUES, reverse=True)]
    # what nobody uses yet is no news
    lines = [line for line in lines if line.queue == "gpu" or line.running or line.waiting or line.workers]
    return page(
        request,
        "_queue.html" if "part" in request.GET else "queue.html",
        Viewer.from_request(request),
        lines=[(NAMES.get(line.queue, line.queue.capitalize()), line) for line in lines],
        is_busy=any(line.running or line.waiting for line in lines),
        may_work=request.user.has_perm("jobs.change_job"),
    )
