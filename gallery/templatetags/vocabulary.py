"""The words that a model knows, as chips beside the fields that prompts are written into."""

from django import template

from gallery.weights import vocabularies

register = template.Library()

# Set off by a comma; every other kind of word follows the one before it after a blank.
_SET_OFF = {"backgrounds", "styles"}


@register.inclusion_tag("gallery/_vocabulary.html")
def vocabulary(fields: str = "prompt", model_field: str = "model"):
    """``{% vocabulary "user_theme negative_prompt" %}``: chips that go into the named field that was used last.

    The first name is that of the field they go into before any was used. `model_field` names the field that chooses
    the model; without one on the page the words of the default model are shown, and without scripts as plain text.
    """
    return {
        "fields": fields,
        "model_field": model_field,
        "vocabularies": [
            {
                "model": model,
                "is_default": is_default,
                "kinds": [(kind, words, kind in _SET_OFF) for kind, words in words_by_kind.items() if words],
            }
            for model, is_default, words_by_kind in vocabularies()
        ],
    }


@register.inclusion_tag("gallery/_styles.html")
def known_styles(address: str):
    """``{% known_styles draw_address %}``: the default model's styles, each a link to an order with it."""
    words = next((words for _, is_default, words in vocabularies() if is_default), {})
    return {"styles": words.get("styles", []), "address": address}
