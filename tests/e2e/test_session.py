"""A picture is refined over three steps, in a browser, with a branch, and one alternative is kept."""

import re

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DRAWN = "count => document.querySelectorAll('.alternative img').length >= count"


def wait_for_alternatives(page, count):
    """They appear while the page stays: nothing is reloaded."""
    page.wait_for_function(DRAWN, arg=count, timeout=240_000)
    page.locator("[data-live=progress] progress").wait_for(state="detached", timeout=60_000)


def draw_next(page, prompt, alternatives=2):
    form = page.locator("#draw")
    form.get_by_label("Prompt", exact=True).fill(prompt)
    form.get_by_label("Alternatives").fill(str(alternatives))
    form.get_by_role("button", name="Draw the").click()
    page.get_by_role("heading", name=re.compile(r"Step \d+")).wait_for()


def go_on_from(page, number):
    page.locator(".alternative").nth(number - 1).get_by_role("button", name=re.compile("Go on from")).click()
    page.get_by_text("Goes on from this alternative").wait_for()


def test_a_picture_is_refined_over_three_steps_branched_and_one_is_kept(curator, demo):
    page = curator
    image = demo.get("/api/images")["images"][0]
    page.goto(f"/images/{image['id']}")
    page.get_by_role("link", name="Refine").click()
    assert page.get_by_label("Prompt", exact=True).input_value() == image["prompt"]
    page.get_by_label("Name", exact=True).fill("Crab & <b>crown</b>")
    draw_next(page, "a red crab on a teal background")
    page.wait_for_url(re.compile(r"/sessions/\d+$"))

    # what is written while it is drawn stays
    page.locator("#draw").get_by_label("Negative prompt").fill("my own words")
    wait_for_alternatives(page, 2)
    assert page.locator("#draw").get_by_label("Negative prompt").input_value() == "my own words"

    go_on_from(page, 2)
    page.locator("#draw").get_by_text("Put in words from the library").click()
    page.locator("#draw").get_by_role("link", name="Neon sign").first.click()
    assert "neon" in page.locator("#draw").get_by_label("Prompt", exact=True).input_value()
    draw_next(page, "a red crab on a teal background, neon")
    page.wait_for_url(re.compile(r"step=2"))
    wait_for_alternatives(page, 2)

    go_on_from(page, 1)
    draw_next(page, "a red crab on a teal background, stained glass")
    page.wait_for_url(re.compile(r"step=3"))
    wait_for_alternatives(page, 2)

    # back to the first step, and on from its other alternative
    page.locator("#tree a", has_text="1").first.click()
    page.wait_for_url(re.compile(r"step=1"))
    go_on_from(page, 1)
    draw_next(page, "a blue crab on a teal background")
    page.wait_for_url(re.compile(r"step=4"))
    assert page.locator("#tree li.lane-1 a[aria-current=step]").count() == 1, "a branch, one lane further in"
    page.reload()
    wait_for_alternatives(page, 2)

    page.get_by_label("Pick 2").check()
    page.get_by_label("Name of the new album").fill("Kept crabs")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_text("1 picture kept in Kept crabs, which is public").wait_for()
    [album] = [album for album in demo.get("/api/albums")["albums"] if album["name"] == "Kept crabs"]
    assert album["image_count"] == 1

    page.get_by_label("Pick 1").check()
    page.get_by_role("button", name="Discard").click()
    page.get_by_text("In the trash").wait_for()
    page.get_by_text("End this session").click()
    page.get_by_role("button", name="Complete it").click()
    page.get_by_text("The session is completed").wait_for()
    public = demo.get(f"/api/sessions/{re.search(r'/sessions/([0-9]+)', page.url)[1]}")
    assert (public["status"], public["step_count"], public["kept_count"], public["name"]) == (
        "completed",
        4,
        1,
        None,
    )


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_pages_fit_every_screen(curator, demo, width, dark):
    page = curator
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme="dark" if dark else "light")
    for address in ("/generate", "/sessions", "/sessions/new", "/sessions/1"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address


def test_a_size_is_put_in_as_the_model_draws_it(curator):
    page = curator
    page.goto("/generate")
    page.get_by_role("link", name=re.compile("Portrait")).click()
    width, height = (int(page.get_by_label(name, exact=True).input_value()) for name in ("Width", "Height"))
    assert 0 < width < height < 1216, "scaled to what the model draws"
