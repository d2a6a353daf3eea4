"""What a newcomer sees after `make demo`, and what the curator then does."""

import hashlib
import re
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.clusters import ROOT, free_port, wait_until
from tests.e2e.running import start_demo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SIGNS = [
    "Aries",
    "Taurus",
    "Gemini",
    "Cancer",
    "Leo",
    "Virgo",
    "Libra",
    "Scorpio",
    "Sagittarius",
    "Capricorn",
    "Aquarius",
    "Pisces",
]


def wait_for_pictures(page, count):
    page.wait_for_function(
        "count => { const all = [...document.querySelectorAll('main img')];"
        " all.forEach(picture => picture.scrollIntoView());"
        " return all.length >= count && all.every(picture => picture.complete && picture.naturalWidth > 0) }",
        arg=count,
    )


def test_the_demo_draws_twelve_different_signs_into_a_public_album(demo):
    [run] = demo.get("/api/runs")["runs"]
    assert (run["status"], run["completed_items"], run["total_items"]) == ("completed", 12, 12)
    [album] = demo.get("/api/albums")["albums"]
    assert (album["source_type"], album["is_public"], album["image_count"]) == ("batch_generation", True, 12)
    assert demo.printed("The album").endswith(f"/albums/{album['id']}")
    items = demo.get(f"/api/runs/{run['id']}/items")["items"]
    assert [item["name"] for item in items] == SIGNS
    bodies = set()
    for item in items:
        with urllib.request.urlopen(f"{demo.base}/api/images/{item['image_id']}/file", timeout=30) as answer:
            bodies.add(hashlib.sha256(answer.read()).hexdigest())
    assert len(bodies) == 12


def test_the_house_says_that_it_is_well(demo):
    assert demo.get("/api/health")["status"] == "ok"


def test_a_second_demo_on_the_same_library_finds_the_album_and_draws_nothing(demo):
    done = demo.manage("demo", "--port", "0", "--exit")
    assert done.returncode == 0, done.stderr[-2000:]
    assert demo.get("/api/runs")["total"] == 1


def test_two_demos_at_once_on_a_new_library_order_one_album_and_a_kill_leaves_nothing_behind(tmp_path):
    ports = [free_port(), free_port()]
    with ThreadPoolExecutor(2) as pool:
        starts = [pool.submit(start_demo, tmp_path, port, f"demo-{port}.txt") for port in ports]
    demos = [start.result() for start in starts if not start.exception()]
    try:
        for start in starts:
            start.result()
        assert {demo.get("/api/runs")["total"] for demo in demos} == {1}
        below = [
            child for demo in demos for child in psutil.Process(demo.process.pid).children(recursive=True)
        ]
        assert below
    finally:
        for demo in demos:
            demo.process.kill()
            demo.process.wait()
    wait_until(lambda: not any(is_alive(process) for process in below), "all of them have ended")


def is_alive(process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE  # nobody may collect it
    except psutil.NoSuchProcess:
        return False


def test_what_is_killed_of_a_demo_is_started_again(demo):
    killed = psutil.Process(demo.process.pid).children()
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=10)
    wait_until(
        lambda: len(psutil.Process(demo.process.pid).children()) == len(killed) == 3,
        "all three are there again",
    )

    def is_well():
        try:
            return demo.get("/api/health")["status"] == "ok"
        except urllib.error.URLError:
            return False

    wait_until(is_well, "the house is well again", timeout=90)
    assert demo.output.read_text().count("ended with status -9; it is started again") == 3


def test_the_command_that_the_demo_prints_makes_a_key_that_its_api_knows(demo):
    command = re.search("An API key: (.+)", demo.output.read_text())[1]
    key = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=demo.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
    request = urllib.request.Request(f"{demo.base}/api/images/upload", method="POST")
    for authorization, status in ((f"Bearer {key}", 401), (f"Token {key}", 400)):
        request.headers["Authorization"] = authorization
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == status
        assert ("Token KEY" in refused.value.read().decode()) == (status == 401)


def test_a_taken_port_is_a_sentence(demo):
    done = demo.manage("demo", "--port", demo.base.rpartition(":")[2], "--exit")
    assert done.returncode == 1
    assert "is taken" in done.stderr


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_the_album_shows_its_pictures_in_order_on_every_screen(visit, demo, width, dark):
    page = visit(width=width, height=844, dark=dark)
    page.goto(demo.printed("The album"))
    wait_for_pictures(page, 12)
    texts = page.eval_on_selector_all("main img", "all => all.map(picture => picture.alt)")
    assert [text for text in texts if not text.strip()] == []
    sizes = page.eval_on_selector_all(
        "main img",
        "all => all.map(picture => [picture.getAttribute('width'), picture.getAttribute('height')])",
    )
    assert all(width and height for width, height in sizes)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling"


def test_the_lightbox_opens_moves_and_closes_by_keyboard(visit, demo):
    page = visit()
    page.goto(demo.printed("The album"))
    wait_for_pictures(page, 12)
    page.wait_for_selector("[data-lightbox=ready]")
    page.locator("main .tiles a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".pswp--open")
    counter = page.locator(".pswp__counter")
    counter.get_by_text("1 / 12").wait_for()

    def moved():  # keys count once it has opened
        page.keyboard.press("ArrowRight")
        return not counter.inner_text().startswith("1 ")

    wait_until(moved, "the next picture shows", timeout=30)
    page.keyboard.press("Escape")
    page.wait_for_selector(".pswp--open", state="detached")


def test_a_picture_page_tells_the_recipe_and_the_run_behind_it(visit, demo):
    page = visit()
    image = demo.get("/api/images")["images"][0]
    page.goto(f"/images/{image['id']}")
    page.get_by_text(image["prompt"][:40]).first.wait_for()
    page.get_by_role("link", name="Generated").click()
    page.wait_for_url(re.compile(r"/runs/\d+"))
    page.get_by_text("12 of 12").wait_for()


def test_the_printed_link_signs_in_once(visit, demo):
    link = demo.printed("Sign in")
    page = visit()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(link, timeout=30)
    assert caught.value.code == 404


def hashes_in(demo, album_id) -> list[str]:
    """Of the bytes that anybody gets of an album's pictures, in its order."""
    found = []
    for image in demo.get(f"/api/images?album={album_id}&per_page=100")["images"]:
        with urllib.request.urlopen(f"{demo.base}/api/images/{image['id']}/file", timeout=30) as answer:
            found.append(hashlib.sha256(answer.read()).hexdigest())
    return found


def test_the_curator_orders_a_set_watches_cancels_retries_and_draws_one_row_again(curator, demo):
    page = curator
    page.get_by_role("link", name="Draw a set …").click()
    page.get_by_label("Template:").select_option(label="Tarot Major Arcana")
    page.get_by_text("Tick rows").wait_for()
    page.get_by_label("Album name:").fill("Arcana & <b>bold</b>")
    page.get_by_role("button", name="Surprise me").click()
    assert page.get_by_label("Theme:").input_value()
    page.get_by_label("Theme:").fill("stained glass")
    page.get_by_label("Rows:").fill("1-8")
    page.get_by_label("Steps:").fill("100")
    page.get_by_role("button", name="Look at the order …").click()
    page.get_by_text("8 rows").wait_for()
    page.get_by_role("button", name="Draw 8 pictures").click()
    page.wait_for_url(re.compile(r"/runs/\d+$"))
    address = page.url
    page.get_by_text("Running", exact=True).first.wait_for(timeout=120_000)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled", exact=True).first.wait_for(timeout=60_000)
    page.get_by_role("button", name="Retry what is missing").click()
    page.get_by_text("makes only what is missing").wait_for()
    page.evaluate("window.isTheSamePage = true")
    page.wait_for_function("() => document.querySelector('progress[data-bar]').value > 0", timeout=240_000)
    assert float(page.locator("progress[data-bar]").get_attribute("max")) == 8
    page.locator(".slot img").first.wait_for()
    page.get_by_text("Completed", exact=True).first.wait_for(timeout=300_000)
    page.wait_for_function("() => document.querySelectorAll('.slot img').length === 8")
    assert page.evaluate("window.isTheSamePage"), "pictures appear without the page being loaded again"
    album = demo.get("/api/albums")["albums"][0]
    assert (album["name"], album["image_count"]) == ("Arcana & <b>bold</b>", 8)
    before = hashes_in(demo, album["id"])

    page.goto(f"{address}/slots/3")
    page.get_by_label("How many:").fill("2")
    page.get_by_label("Steps:").fill("6")
    page.get_by_role("button", name="Draw again").click()
    page.get_by_role("button", name="Use this one").nth(1).wait_for(timeout=120_000)
    assert hashes_in(demo, album["id"]) == before
    page.get_by_role("button", name="Use this one").nth(1).click()
    page.get_by_text("It stands in the album now").wait_for()
    after = hashes_in(demo, album["id"])
    assert [place for place in range(8) if before[place] != after[place]] == [2]
    assert demo.get(f"/api/albums/{album['id']}")["is_public"] is True


def test_a_template_that_is_chosen_before_the_script_is_there_shows_its_rows(curator):
    page, held = curator, []
    page.route("**/order*.js", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/order*.js"):
        page.goto("/admin/templates_app/batchgenerationrun/add/", wait_until="commit")
    page.get_by_label("Template:").select_option(label="Zodiac Signs")
    held[0].continue_()
    page.get_by_text("Tick rows").wait_for()


def test_a_wrong_order_is_explained_beside_its_field(curator):
    page = curator
    page.goto("/admin/templates_app/batchgenerationrun/add/")
    page.get_by_label("Template:").select_option(label="Zodiac Signs")
    page.get_by_label("Album name:").fill("Wrong")
    page.get_by_label("Theme:").fill("neon")
    page.get_by_label("Rows:").fill("99")
    page.get_by_role("button", name="Look at the order …").click()
    page.get_by_text("not within the rows 1 to 12").wait_for()


def test_every_admin_page_opens(curator, demo):
    page = curator
    page.goto("/admin/")
    addresses = page.eval_on_selector_all(
        "#content-main a[href^='/admin/']", "all => [...new Set(all.map(link => link.getAttribute('href')))]"
    )
    assert len(addresses) > 8
    for address in addresses:
        answer = page.goto(address)
        assert answer.status == 200, address


def test_a_schedule_cannot_be_written_from_the_admin(curator):
    """A row of django-q2's schedule runs any function there is."""
    assert curator.request.get("/admin/django_q/schedule/").status == 404


def test_the_api_docs_open_within_the_content_policy(visit):
    page = visit()
    page.goto("/api/docs")
    page.get_by_text("/api/albums").first.wait_for()
