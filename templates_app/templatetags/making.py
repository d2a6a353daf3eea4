from django import template
from django.template.defaultfilters import filesizeformat

from imagineer.engine.model_folder import fit_size
from templates_app.estimates import Span, describe_seconds
from templates_app.generation_settings import size_limits

register = template.Library()


@register.filter
def duration(span: Span) -> str:
    return describe_seconds(span)


@register.filter
def room(span: Span) -> str:
    least, most = filesizeformat(round(span.least)), filesizeformat(round(span.most))
    return least if least == most else f"{least} to {most}"


@register.filter
def drawn_otherwise(item, model) -> str:
    """What comes of an item's size where the model cannot draw it; else ""."""
    width, height = fit_size(size_limits(model), item.width, item.height)
    if (width, height) == (item.width, item.height):
        return ""
    return f"drawn at {width} × {height}, the largest of this shape that the model can"
