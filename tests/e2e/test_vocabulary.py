"""The words that the starter model knows, clicked and typed into the forms with a prompt, in a real browser."""

import os

import pytest

from tests.e2e.test_template_editor import desk, some_media_url  # noqa: F401  fixtures
from tests.factories import make_template

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

DRAW = "/generate"


def _open(page, address=DRAW):
    page.goto(address)
    page.locator(".vocabulary summary").first.click()
    return page.locator(".vocabulary")


def _photograph(page, name):
    if folder := os.environ.get("IMAGINEER_TEST_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_clicked_words_make_a_prompt_and_the_caret_is_where_it_was(desk):  # noqa: F811
    page = desk()
    words = _open(page)
    for word in ("blue", "ram", "red background", "neon"):
        words.get_by_role("button", name=word, exact=True).first.click()
    assert page.input_value("[name=prompt]") == "blue ram, red background, neon"
    page.fill("[name=prompt]", "a  in the rain")
    page.locator("[name=prompt]").evaluate("field => { field.focus(); field.setSelectionRange(2, 2) }")
    words.get_by_role("button", name="cat", exact=True).click()
    assert page.input_value("[name=prompt]") == "a cat in the rain"


def test_words_go_into_the_field_that_was_used_last(desk):  # noqa: F811
    page = desk()
    words = _open(page)
    page.locator("[name=prompt]").fill("owl")
    page.locator("[name=negative_prompt]").focus()
    words.get_by_role("button", name="outline", exact=True).click()
    assert page.input_value("[name=prompt]") == "owl"
    assert page.input_value("[name=negative_prompt]") == "outline"
    assert "outline" in words.get_by_role("status").inner_text()


def test_one_stop_of_tab_for_each_kind_and_arrows_within_it(desk):  # noqa: F811
    page = desk()
    words = _open(page)
    words.get_by_role("toolbar", name="Colours").get_by_role("button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert page.input_value("[name=prompt]") == "orange black"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "red background"


def test_the_order_of_a_set_takes_a_style_as_its_theme_and_no_more_than_fits(desk):  # noqa: F811
    template = make_template()
    page = desk()
    words = _open(page, f"/admin/templates_app/batchgenerationrun/add/?template={template.pk}")
    words.get_by_role("button", name="stained glass", exact=True).click()
    assert page.input_value("#id_user_theme") == "stained glass"
    page.fill("#id_user_theme", "x" * 498)
    words.get_by_role("button", name="neon", exact=True).click()
    assert page.input_value("#id_user_theme") == "x" * 498
    assert "500 characters" in words.get_by_role("status").inner_text()
    _photograph(page, "order")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_of_the_page(desk, width, scheme):  # noqa: F811
    page = desk(viewport={"width": width, "height": 900}, color_scheme=scheme)
    _open(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    _photograph(page, f"draw-{width}-{scheme}")


def test_without_javascript_the_words_are_text(desk):  # noqa: F811
    page = desk(java_script_enabled=False)
    words = _open(page)
    assert words.get_by_text("stained glass", exact=True).is_visible()
    assert words.get_by_role("button").count() == 0
