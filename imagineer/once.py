"""What is sent twice, by two presses or once more because no answer came, makes one row.

A form's page carries a key (``{% request_key %}``), and the row keeps what the key and the words that were sent come to.
So other words on the same page, to which somebody went back, ask for another row; and so does a page that is opened
anew. Most browsers open these anew for "back", as they may not keep them (``never_cache``). A program names its own key in
the header ``Idempotency-Key``.
"""

import json
import uuid

from django.db import models, transaction

from imagineer.client import client_network


def page_key(request) -> uuid.UUID | None:
    """The key of the page that was sent; None of a program, or a page of an older release."""
    try:
        return uuid.UUID(request.POST.get("request_key", ""))
    except ValueError:
        return None


def request_key(request) -> uuid.UUID | None:
    """What everything that was sent comes to; a page's buttons (``_save``) are none of its words."""
    words = sorted(
        (name, values)
        for name, values in request.POST.lists()
        if name != "csrfmiddlewaretoken" and not name.startswith("_")
    )
    key = page_key(request)
    return key and uuid.uuid5(key, json.dumps([request.get_full_path(), words]))


def idempotency_key(request) -> uuid.UUID | None:
    """What an API's request comes to, with who sends it and the key that they gave it; None without one."""
    name = request.headers.get("Idempotency-Key")
    sender = request.user.pk or client_network(request)
    sent = [name, sender, request.get_full_path(), request.data]
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(sent, sort_keys=True, default=str)) if name else None


def make_once(model: type[models.Model], key: uuid.UUID | None, make, /, *args, **options):
    """The row that ``make(*args, **options)`` returns, or the one that it returned for this key before.

    Of those who come at one instant the first to commit decides. Whatever refuses another of them then, if only
    because what the first has made stands in its way, is no answer to it.
    """
    if key is None:
        return make(*args, **options)
    made_before = model.objects.filter(request_key=key)
    if row := made_before.first():
        return row
    try:
        with transaction.atomic():
            row = make(*args, **options)
            model.objects.filter(pk=row.pk).update(request_key=key)
    except Exception:
        if row := made_before.first():
            return row
        raise
    return row
