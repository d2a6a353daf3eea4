"""Plain functions that make what tests need, by the services that the program itself uses."""

from templates_app import authoring, ordering

ROWS = [
    {"name": "The Sun", "text": "a yellow sun on a blue background"},
    {"name": "The Moon", "text": "a white moon on a black background"},
    {"name": "The Star", "text": "a yellow star on a purple background"},
]


def make_template(*, name="Skies", rows=ROWS, **content):
    content = {
        "prompt_template": "{text}",
        "base_prompt": "Tarot card",
        "style_suffix": "crisp lines",
        "negative_prompt": "blurry",
        "width": 64,
        "height": 96,
    } | content
    return authoring.save_template(name=name, rows=rows, **content)


def start_run(template=None, **options):
    options = {"album_name": "Skies", "user_theme": "neon", "steps": 2, "seed": 7} | options
    return ordering.start_run(template or make_template(), **options)
