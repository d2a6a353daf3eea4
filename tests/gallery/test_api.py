import json
import re

import pytest

from gallery.models import Image, Label
from gallery.serializers import AlbumDetailSerializer, ImageDetailSerializer, LabelSerializer
from gallery.services import add_images, create_album

pytestmark = pytest.mark.django_db

IMAGE = {
    "id",
    "filename",
    "url",
    "thumbnail_url",
    "source_type",
    "source_id",
    "run_id",
    "position",
    "width",
    "height",
    "file_size",
    "mime_type",
    "sha256",
    "prompt",
    "negative_prompt",
    "generation_params",
    "model",
    "reference_image_id",
    "rating",
    "nsfw_flag",
    "is_public",
    "created_at",
}
ALBUM = {
    "id",
    "name",
    "description",
    "source_type",
    "source_id",
    "source",
    "is_public",
    "is_training_source",
    "image_count",
    "cover_image_id",
    "cover_image_url",
    "created_at",
    "updated_at",
}
LABEL = {"id", "image_id", "text", "type", "confidence", "source", "created_at"}
PAGE = {"total", "total_is_exact", "page", "per_page", "pages", "next", "prev"}


def test_objects_hold_the_promised_keys_and_the_schema_tells_them_all(api, take_in, album):
    image = take_in(album=album)
    Label.objects.create(image=image, text="cat")
    listed = api.get("/api/images").json()
    assert set(listed) == {"images"} | PAGE and set(listed["images"][0]) == IMAGE
    detail = api.get(f"/api/images/{image.pk}").json()
    assert set(detail) == IMAGE | {"labels", "albums"} == set(ImageDetailSerializer().fields)
    assert set(detail["labels"][0]) == LABEL == set(LabelSerializer().fields)
    assert detail["albums"] == [{"id": album.pk, "name": "Zodiac"}]
    albums = api.get("/api/albums").json()
    assert set(albums) == {"albums"} | PAGE and set(albums["albums"][0]) == ALBUM
    shown = api.get(f"/api/albums/{album.pk}").json()
    assert set(shown) == ALBUM | {"images"} == set(AlbumDetailSerializer().fields)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", detail["created_at"])


def test_a_generated_picture_names_its_run_and_its_place(api, take_in, album):
    image = take_in(
        album=album,
        source_type="batch_generation",
        source_id=7,
        generation_params={"position": 17},
        prompt="an ace",
    )
    row = api.get(f"/api/images/{image.pk}").json()
    assert (row["run_id"], row["source_id"], row["position"], row["prompt"]) == (7, 7, 17, "an ace")
    other = take_in(2, album=album, source_type="scrape", source_id=7)
    row = api.get(f"/api/images/{other.pk}").json()
    assert (row["run_id"], row["source_id"], row["position"]) == (None, 7, None)


def test_the_pictures_of_an_album_come_in_its_order_with_cursors(api, take_in, album):
    images = [take_in(number) for number in range(7)]
    add_images(album, images, positions=[7, 6, 5, 4, 3, 2, 1])
    in_order = [image.pk for image in reversed(images)]
    shown = api.get(f"/api/albums/{album.pk}").json()["images"]
    assert [row["id"] for row in shown] == in_order and [row["position"] for row in shown] == list(
        range(1, 8)
    )
    address, found = f"/api/images?album={album.pk}&per_page=3", []
    while address:
        answer = api.get(address).json()
        found.append([row["id"] for row in answer["images"]])
        assert answer["total"] == 7 and answer["pages"] == 3 and answer["page"] == len(found)
        address = answer["next"]
    assert found == [in_order[:3], in_order[3:6], in_order[6:]]
    back = api.get(answer["prev"]).json()
    assert [row["id"] for row in back["images"]] == in_order[3:6]
    second = api.get(f"/api/images?album={album.pk}&per_page=3&page=2").json()
    assert [row["id"] for row in second["images"]] == in_order[3:6]
    assert [row["id"] for row in api.get(second["prev"]).json()["images"]] == in_order[:3]
    assert api.get(f"/api/images?album={album.pk}&page=9").json()["images"] == []


def test_filters_find_what_they_name_and_nothing_else(api, take_in, album):
    drawn = take_in(1, album=album, source_type="batch_generation", source_id=5)
    scraped = take_in(2, album=album, source_type="scrape", source_id=5, rating="suggestive")
    other = take_in(3, album=create_album(name="Other"))
    Label.objects.create(image=other, text="cat")
    Label.objects.create(image=drawn, text="cat", superseded_at=drawn.created_at)
    Label.objects.create(image=drawn, text="cat", type="caption")

    def found(**query):
        return {row["id"] for row in api.get("/api/images", query).json()["images"]}

    assert found(source_type="scrape") == {scraped.pk}
    assert found(rating="suggestive") == {scraped.pk}
    assert found(run=5) == {drawn.pk}
    assert found(album=album.pk) == {drawn.pk, scraped.pk}
    assert found(album=album.pk, rating="safe") == {drawn.pk}
    assert found(album=10**6) == set()
    assert found(tag="cat") == {other.pk}
    assert found(tag="ca") == set() and found(model="x") == set()


def test_albums_filter_by_source_and_template_albums_are_no_more(api):
    create_album(name="a"), create_album(name="b", source_type="scrape")
    names = lambda query: [row["name"] for row in api.get(f"/api/albums{query}").json()["albums"]]  # noqa: E731
    assert names("") == ["b", "a"] and names("?source_type=manual") == ["a"]
    assert names("?is_set_template=true") == [] and names("?is_set_template=false") == ["b", "a"]


@pytest.mark.parametrize(
    "query",
    ["nsfw=all", "source_type=x", "rating=nice", "album=x", "album=%20", "album=1.5", "album=-1", "run=1e3", "album=99999999999999999999",
     "page=0", "page=x", "per_page=0", "after=x", "album=1&after=x", "album=1&before=1-2-3", "album=1&page=100000"],
)  # fmt: skip
def test_a_wrong_question_is_answered_by_400_and_a_sentence(api, query, album):
    answer = api.get(f"/api/images?{query}")
    assert answer.status_code == 400 and set(answer.json()) <= {"error", "fields"}, answer.content
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    "query", ["album=", "tag=", "_connector=OR", "pk__in=1", "labels__text=x", "q=x", "order=x"]
)
def test_an_empty_or_unknown_question_changes_nothing(api, take_in, album, query):
    take_in(album=album)
    assert api.get(f"/api/images?{query}").json()["total"] == 1


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_writes_ask_for_the_sign_in_before_they_tell_anything(api, admin_api, take_in, album, method):
    image = take_in(album=album)
    for address in (
        "/api/images",
        f"/api/images/{image.pk}",
        "/api/images/999",
        "/api/albums",
        f"/api/albums/{album.pk}",
    ):
        assert getattr(api, method)(address).status_code == 401
        assert getattr(admin_api, method)(address).status_code in (404, 405)


def test_no_public_answer_tells_a_path_or_an_address_of_an_admin(api, take_in, album, ada, settings):
    image = take_in(album=album, created_by=ada)
    for address in ("/api/images", f"/api/images/{image.pk}", "/api/albums", f"/api/albums/{album.pk}"):
        words = json.dumps(api.get(address).json())
        assert ada.email not in words and str(settings.DATA_DIR) not in words and "originals/" not in words


def test_a_retracted_picture_answers_410_in_the_api_s_shape(api, take_in, album):
    from gallery.services import retract_image

    image = retract_image(take_in(album=album))
    for tail in ("", "/thumbnail", "/file"):
        answer = api.get(f"/api/images/{image.pk}{tail}")
        assert answer.status_code == 410 and answer.json() == {"error": "This picture has been withdrawn."}


def test_a_list_without_pictures_says_so(api):
    answer = api.get("/api/images").json()
    assert (
        answer["images"] == []
        and answer["total"] == 0
        and answer["total_is_exact"]
        and answer["next"] is None
    )


def test_the_schema_is_whole(capsys):
    from django.core.management import call_command

    call_command("spectacular", fail_on_warn=True, validate=True)
    assert "/api/images/{id}/thumbnail" in capsys.readouterr().out


def test_rows_cost_no_question_of_their_own(api, take_in, album, django_assert_num_queries):
    for number in range(5):
        take_in(number, album=album)
    with django_assert_num_queries(2):
        api.get("/api/images")
    assert Image.objects.count() == 5
