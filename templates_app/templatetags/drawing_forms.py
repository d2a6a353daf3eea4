"""What stands beside the fields of a form that draws: prompt templates and sizes to put in.

Each is a link that fills the form by its address; ``fill_form.js`` does it in place and keeps what is written.
"""

import json

from django import template

from gallery.models import DiffusionModel
from gallery.weights import find_model
from imagineer.engine.types import ModelError
from templates_app.generation_settings import current_settings, size_for
from templates_app.prompt_library import offer, recall

register = template.Library()

MODELS = 50


@register.inclusion_tag("templates_app/_prompt_chips.html", takes_context=True)
def prompt_chips(context, prompt="prompt", negative_prompt="negative_prompt", needs_script=False):
    """Prompt templates for the fields of these names; put it inside their form.

    :param needs_script: for a form that no address fills: hidden until the script is there and moves it to the field.
    """
    user = context.get("user")
    return {
        "groups": offer(),
        "recent": recall() if user and user.is_staff and not needs_script else [],
        "needs_script": needs_script,
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "query": _other_parameters(context, "prompt_template", "prompt_of"),
        "user": user,
    }


@register.inclusion_tag("templates_app/_size_chips.html", takes_context=True)
def size_chips(context, chosen_model=""):
    """The sizes of the settings, scaled to what each model draws; put it inside the form of width and height."""

    models = {model.name: model for model in DiffusionModel.objects.enabled()[:MODELS]}
    try:
        default = find_model()
    except ModelError:
        default = None
    shown = models.get(chosen_model) or default
    sizes = []
    for ratio in current_settings().aspect_ratios:
        asked = ratio["width"], ratio["height"]
        of_models = {name: size_for(model, *asked) for name, model in models.items()}
        of_models[""] = size_for(default, *asked) if default else asked
        width, height = size_for(shown, *asked) if shown else asked
        sizes.append(
            ratio | {"drawn_width": width, "drawn_height": height, "of_models": json.dumps(of_models)}
        )
    return {"sizes": sizes, "query": _other_parameters(context, "width", "height")}


def _other_parameters(context, *names) -> str:
    query = context["request"].GET.copy()
    for name in names:
        query.pop(name, None)
    return f"{query.urlencode()}&" if query else ""
