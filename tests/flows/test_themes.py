"""What a theme says is seen: the three sets, drawn by the starter model and named by its judge."""

import numpy as np
import pytest
from django.core.management import call_command

from templates_app.models import BatchTemplate
from templates_app.ordering import start_run

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.timeout(600)]
STYLE_OF = {"neon": "neon", "vintage engraving": "engraving", "watercolour": "watercolour"}
ROWS = 6


def styles_of(pictures) -> list[str]:
    """What the judge calls the style of each."""
    from imagineer.starter_model.judge import load_judge, name_styles

    return name_styles(load_judge(), [np.asarray(picture) for picture in pictures])


@pytest.mark.parametrize("name", ["Playing Card Deck", "Tarot Major Arcana", "Zodiac Signs"])
def test_a_theme_changes_the_pictures_of_a_set_as_its_words_say(starter, name):
    from imagineer.starter_model.sampling import draw_prompts

    call_command("seed_templates", verbosity=0)
    template = BatchTemplate.objects.get(name=name)
    seen = {}
    for theme in STYLE_OF:
        run = start_run(template, album_name="A set", user_theme=theme, row_selection=f"1-{ROWS}", seed=1)
        items = run.items.order_by("position")
        seen[theme] = styles_of(draw_prompts(starter, [item.prompt for item in items], seed=1))
    for theme, style in STYLE_OF.items():
        assert seen[theme].count(style) > ROWS / 2, (theme, seen[theme])
