import html
import re

import pytest

from gallery.models import Image, Label
from gallery.services import add_images, create_album, set_album_public, trash_image
from gallery.similar import find_similar, rank
from gallery.visibility import Viewer
from imagineer.engine.infotext import read_parameters

pytestmark = pytest.mark.django_db


def text(response):
    assert response.status_code == 200
    return response.content.decode()


def section(page, title):
    """The ids of the pictures under this heading."""
    found = re.search(rf"<h2>{title}</h2>.*?</section>", page, re.S)
    return [int(pk) for pk in re.findall(r'href="/images/(\d+)"', found[0])] if found else []


RECIPE = {
    "prompt": "an ace of <spades>",
    "negative_prompt": "blur",
    "seed": 41,
    "steps": 30,
    "guidance_scale": 7.5,
    "scheduler": "dpm++_2m_karras",
    "width": 96,
    "height": 128,
    "model": {"name": "starter", "hash": "ab" * 32},
    "loras": [{"name": "brass_etching", "weight": 0.8, "sha256": "c" * 64, "autov3": "d" * 64}],
}


def test_everything_is_offered_as_text_that_other_programs_read(visitor, take_in, album):
    image = take_in(
        album=album,
        source_type="batch_generation",
        prompt=RECIPE["prompt"],
        negative_prompt="blur",
        generation_params=RECIPE,
    )
    page = text(visitor.get(f"/images/{image.pk}"))
    written = html.unescape(re.search(r'<pre data-copy="everything">(.*?)</pre>', page, re.S)[1])
    read = read_parameters(written)
    assert (read["seed"], read["steps"], read["guidance_scale"]) == (41, 30, 7.5)
    assert read["prompt"].startswith("an ace of <spades>") and read["negative_prompt"] == "blur"
    assert read["loras"] == [{"name": "brass_etching", "weight": 0.8}]
    assert "DPM++ 2M Karras" in page and "brass etching × 0.8" in page


@pytest.mark.parametrize(
    "parameters", [{}, {"seed": 5, "steps": "x"}, {"loras": "x", "model": [], "scheduler": {}}, {"seed": {}}]
)
def test_of_a_foreign_picture_as_much_as_is_known_is_offered(visitor, take_in, album, parameters):
    image = take_in(album=album, prompt="a cat", negative_prompt="a dog")
    Image.objects.filter(pk=image.pk).update(generation_params=parameters)
    page = text(visitor.get(f"/images/{image.pk}"))
    written = html.unescape(re.search(r'<pre data-copy="everything">(.*?)</pre>', page, re.S)[1])
    assert written.startswith("a cat\nNegative prompt: a dog\n") and "Size: 96x128" in written


def test_labels_say_who_said_them(visitor, take_in, album):
    image = take_in(album=album)
    Label.objects.create(image=image, text="red_fox", source="claude")
    Label.objects.create(image=image, text="A fox.", type="caption", source="manual")
    page = text(visitor.get(f"/images/{image.pk}"))
    assert "said by: Claude" in page and ">red fox<" in page and "A fox." in page and "A person" in page


def test_the_neighbours_are_those_of_the_newest_album_unless_one_is_named(visitor, take_in):
    first, second = create_album(name="First"), create_album(name="Second")
    images = [take_in(number, album=first) for number in range(3)]
    add_images(second, [images[1], images[0]])
    page = text(visitor.get(f"/images/{images[0].pk}"))
    assert f'rel="prev" href="/images/{images[1].pk}?album={second.pk}"' in page
    set_album_public(second, is_public=False)
    assert f'href="/images/{images[1].pk}?album={first.pk}"' in text(visitor.get(f"/images/{images[0].pk}"))


def test_what_a_picture_was_made_from_and_what_was_made_from_it(visitor, curator, take_in, album):
    source = take_in(1, album=album)
    made = take_in(2, album=album, source_type="batch_generation", reference_image=source)
    hidden = take_in(3, source_type="batch_generation", reference_image=source)
    assert section(text(visitor.get(f"/images/{made.pk}")), "Made from") == [source.pk]
    assert section(text(visitor.get(f"/images/{source.pk}")), "Made from this picture") == [made.pk]
    seen = section(text(curator.get(f"/images/{source.pk}")), "Made from this picture")
    assert seen == [hidden.pk, made.pk]
    trash_image(source)
    assert section(text(visitor.get(f"/images/{made.pk}")), "Made from") == []


def test_of_a_blurred_picture_neither_words_nor_relatives_are_told(visitor, take_in, album):
    source = take_in(1, album=album)
    secret = take_in(
        2,
        album=album,
        rating="adult",
        source_type="batch_generation",
        reference_image=source,
        prompt="canary prompt",
        filename="canary.png",
        generation_params=RECIPE,
    )
    Label.objects.create(image=secret, text="canary label")
    page = text(visitor.get(f"/images/{secret.pk}"))
    assert "canary" not in page and "spades" not in page and ">Labelled<" not in page
    assert section(page, "Made from") == [] and section(page, "More like this") == []


# ---- More like this


def test_pictures_that_share_tags_or_rare_words_are_alike(visitor, take_in, album):
    fox = take_in(1, album=album, prompt="A red fox in tall grass, oil on canvas")
    same = take_in(2, album=album, prompt="The fox sleeps, oil on canvas")
    take_in(3, album=album, prompt="A lighthouse above the sea, oil on canvas")
    tagged = take_in(4, album=album)
    for image in (fox, tagged):
        Label.objects.create(image=image, text="wildlife")
    for number in range(5, 12):
        take_in(number, album=album, prompt=f"A teapot number {number}, oil on canvas")
    assert set(section(text(visitor.get(f"/images/{fox.pk}")), "More like this")) == {same.pk, tagged.pk}


def test_a_tag_finds_what_is_far_older_than_the_newest(take_in, album, monkeypatch):
    monkeypatch.setattr("gallery.similar.NEWEST", 3)
    old = take_in(1, album=album)
    Label.objects.create(image=old, text="comet")
    for number in range(2, 9):
        take_in(number, album=album)
    new = take_in(9, album=album)
    Label.objects.create(image=new, text="comet")
    assert find_similar(new, Viewer()) == [old]


def test_what_the_viewer_may_not_see_clear_is_like_nothing(take_in, album):
    shown = take_in(1, album=album, prompt="a comet above the hills")
    private = take_in(2, prompt="a comet above the hills")
    secret = take_in(3, album=album, rating="adult", prompt="a comet above the hills")
    for image in (shown, private, secret):
        Label.objects.create(image=image, text="comet")
    assert find_similar(shown, Viewer()) == [] and find_similar(secret, Viewer()) == []
    adult = Viewer(mode="show", is_of_age=True)
    assert find_similar(shown, adult) == [secret] and find_similar(secret, adult) == [shown]
    assert set(find_similar(shown, Viewer(is_admin=True))) == {private, secret}


def test_words_that_everybody_has_make_nothing_alike():
    same = {"oil", "canvas"}
    crowd = {number: same | {f"word {number}"} for number in range(20)}
    assert rank(crowd | {100: same | {"fox"}, 101: same | {"fox"}, 102: same}, 100) == [101]
    assert rank({1: set(), 2: {"fox"}}, 1) == [] and rank({1: {"fox"}, 2: {"fox"}}, 1) == [2]


def test_finding_asks_no_more_questions_in_a_larger_library(take_in, album, django_assert_num_queries):
    def queries():
        with django_assert_num_queries(9):  # three tags
            found = find_similar(image, Viewer())
        assert found

    image = take_in(0, album=album, source_type="batch_generation", source_id=1, prompt="a comet")
    for tag in ("comet", "sky", "night"):
        Label.objects.create(image=image, text=tag)
    for number in range(100, 112):
        take_in(number, album=album, prompt=f"teapot {number}")
    for number in range(1, 10):
        if number in (2, 9):
            queries()
        other = take_in(number, album=album, source_type="batch_generation", source_id=1, prompt="a comet")
        Label.objects.create(image=other, text="comet")
