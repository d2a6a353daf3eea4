"""What a visitor does in the gallery, in a real browser."""

import io
import json
import zipfile

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MANY = 65  # pictures; a page of an album holds 60
PROGRAM = f"""
import io, json
from PIL import Image as Pillow
from gallery.ingest import ingest_image
from gallery.services import add_images, create_album
album = create_album(name="Sixty_five")
images = []
for number in range({MANY}):
    buffer = io.BytesIO()
    Pillow.new("RGB", (96, 64 + number), (3 * number, 90, 255 - 3 * number)).save(buffer, "PNG")
    rating = "adult" if number == 64 else "safe"
    images.append(ingest_image(buffer.getvalue(), source_type="manual", rating=rating, filename=f"No_{{number + 1}}.png",
                               prompt=f"plate number {{number + 1}}", generation_params={{"seed": number}}).image)
add_images(album, images)
print("MADE", json.dumps({{"album": album.pk, "last": images[-1].pk, "first": images[0].pk}}))
"""


@pytest.fixture(scope="module")
def many(demo):
    """An album of two pages, whose last picture is for adults."""
    done = demo.manage("shell", "-v", "0", "-c", PROGRAM)
    assert "MADE" in done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.partition("MADE ")[2].splitlines()[0])


def open_picture(page, number):
    page.wait_for_selector("[data-lightbox=ready]")  # until then a picture is a link
    page.locator("main .tiles a").nth(number).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".pswp--open")
    page.wait_for_function("document.querySelector('.lightbox-caption strong')?.textContent")


def shown(page):
    return page.locator(".lightbox-caption strong").inner_text()


def step(page, key, expected):
    """Press until it shows: keys that come while a page is fetched, or before it has opened, do not count."""
    for _ in range(100):
        if shown(page) == expected:
            return
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    raise AssertionError(f"{expected} never showed; {shown(page)} does")


def test_the_lightbox_goes_over_the_end_of_a_page_and_back_by_keyboard(visit, many):
    page = visit()
    page.goto(f"/albums/{many['album']}")
    open_picture(page, 57)
    assert shown(page) == "No 58"
    for number in (59, 60, 61, 62, 63, 64):
        step(page, "ArrowRight", f"No {number}")
    step(page, "ArrowRight", "Blurred picture")  # and there it ends
    page.keyboard.press("ArrowRight")
    assert page.locator(".pswp__counter").inner_text() == "65 / 65"
    page.keyboard.press("Escape")
    page.wait_for_selector(".pswp--open", state="detached")
    assert page.locator("main .tiles > li").count() == 65
    assert page.locator("nav.pages a").count() == 0


def test_it_goes_over_the_beginning_of_a_later_page_too(visit, many):
    page = visit()
    page.goto(f"/albums/{many['album']}")
    page.locator("nav.pages a[rel=next]").click()
    page.wait_for_url("**?after=*")
    open_picture(page, 1)
    assert shown(page) == "No 62"
    for number in (61, 60, 59, 58):
        step(page, "ArrowLeft", f"No {number}")
    step(page, "ArrowRight", "No 59")
    page.keyboard.press("Escape")
    page.wait_for_selector(".pswp--open", state="detached")
    assert page.locator("main .tiles > li").count() == 65


def test_the_lightbox_tells_the_recipe_and_leads_to_the_picture(visit, many):
    page = visit(width=390, height=844)
    page.goto(f"/albums/{many['album']}")
    open_picture(page, 0)
    page.get_by_role("button", name="Recipe").click()
    page.locator(".lightbox-recipe").get_by_text("plate number 1", exact=True).wait_for()
    page.get_by_role("link", name="Details").click()
    page.wait_for_url("**/images/*")
    page.get_by_role("heading", name="No 1", exact=True).wait_for()


def test_what_is_worth_copying_has_a_button(visit, many, demo):
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=demo.base)
    page.goto(f"/images/{many['first']}")
    read = "navigator.clipboard.readText()"
    page.get_by_role("button", name="Copy prompt").click()
    page.get_by_role("button", name="Copy prompt").get_by_text("Copied").wait_for()
    assert page.evaluate(read) == "plate number 1"
    page.get_by_text("All of it as text for other programs").click()
    everything = page.get_by_role("button", name="Copy everything")
    everything.click()
    everything.get_by_text("Copied").wait_for()
    assert page.evaluate(read) == "plate number 1\nSeed: 0, Size: 96x64"


def test_who_is_of_age_sees_the_blur_go_and_may_hide_such_pictures(visit, many):
    page = visit(width=390, height=844, dark=True)
    page.goto(f"/images/{many['last']}")
    page.get_by_text("shown to adults only").wait_for()
    page.get_by_role("link", name="I am of age").click()
    page.get_by_role("button", name="I am of age, show them").click()
    page.get_by_role("heading", name="No 65").wait_for()
    assert page.get_by_text("shown to adults only").count() == 0
    page.get_by_role("button", name="Hide", exact=True).click()
    page.goto(f"/albums/{many['album']}")
    page.get_by_text("64 pictures").wait_for()


def test_an_album_comes_as_a_zip_of_the_chosen_size(visit, many):
    page = visit()
    page.goto(f"/albums/{many['album']}")
    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Medium").click()
    assert waiting.value.suggested_filename == "Sixty_five.zip"
    with zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes())) as archive:
        assert len(archive.namelist()) == 65 and archive.namelist()[0] == "No_1.webp"
        assert archive.namelist()[-1] == "Blurred picture.webp"


def test_the_header_of_who_is_signed_in_fits_a_phone_in_one_line(curator):
    page = curator
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    header = page.locator(".site-header")
    assert header.bounding_box()["height"] < 70
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sign out").wait_for(state="hidden")
