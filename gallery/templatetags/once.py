import uuid

from django import template
from django.utils.html import format_html

from imagineer.once import page_key

register = template.Library()


@register.simple_tag(takes_context=True)
def request_key(context):
    """The key by which a form that is sent twice is known; shown again with its errors, a page keeps it.

    No browser puts an old one into a page that was opened anew.
    """
    key = page_key(context["request"]) or uuid.uuid4()
    return format_html('<input type="hidden" name="request_key" value="{}" autocomplete="off">', key)
