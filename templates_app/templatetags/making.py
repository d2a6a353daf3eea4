from django import template
from django.template.defaultfilters import filesizeformat

from templates_app.estimates import Span, describe_seconds

register = template.Library()


@register.filter
def duration(span: Span) -> str:
    return describe_seconds(span)


@register.filter
def room(span: Span) -> str:
    least, most = filesizeformat(round(span.least)), filesizeformat(round(span.most))
    return least if least == most else f"{least} to {most}"
