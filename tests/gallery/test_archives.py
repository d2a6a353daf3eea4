import io
import os
import zipfile

import pytest
from PIL import Image as Pillow

from gallery import archives
from gallery.models import Image
from gallery.services import add_images, create_album, retract_image, set_album_public, trash_image
from gallery.visibility import Viewer

pytestmark = pytest.mark.django_db


def unzip(response) -> dict[str, bytes]:
    """Names and bytes, in the order of the file."""
    assert response.status_code == 200, response.content
    with zipfile.ZipFile(io.BytesIO(b"".join(response))) as archive:
        assert archive.testzip() is None
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def original(image):
    with image.file.storage.open(image.file.name) as file:
        return file.read()


def size_of(data):
    return Pillow.open(io.BytesIO(data)).size


@pytest.fixture
def three(take_in, album):
    """Two that were drawn here and one that was not, in an order of their own."""
    drawn = {"source_type": "batch_generation", "size": (1200, 900)}
    images = [
        take_in(1, filename="Ace_of_Spades.png", **drawn),
        take_in(2, filename="King.png", **drawn),
        take_in(3, filename="Photo.jpg", size=(1200, 900)),
    ]
    add_images(album, images, positions=[3, 1, 2])
    return images


def test_a_zip_holds_the_album_s_pictures_in_its_order_under_their_names(visitor, album, three):
    response = visitor.get(f"/api/albums/{album.pk}/download")
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Disposition"] == 'attachment; filename="Zodiac.zip"'
    assert response.headers["Cache-Control"] == "private, no-store"
    files = unzip(response)
    assert list(files) == ["King.png", "Photo.webp", "Ace_of_Spades.png"]
    assert files["Ace_of_Spades.png"] == original(three[0]) and files["King.png"] == original(three[1])


def test_a_foreign_original_goes_to_admins_alone_and_re_encoded_to_all_others(
    visitor, admin_api, album, three
):
    public = unzip(visitor.get(f"/api/albums/{album.pk}/download?size=original"))
    assert size_of(public["Photo.webp"]) == (1200, 900) and original(three[2]) not in public.values()
    assert unzip(admin_api.get(f"/api/albums/{album.pk}/download"))["Photo.png"] == original(three[2])


def test_the_reader_chooses_the_size(visitor, album, three):
    sizes = {
        size: {
            size_of(data)
            for data in unzip(visitor.get(f"/api/albums/{album.pk}/download?size={size}")).values()
        }
        for size in ("original", "large", "medium")
    }
    assert sizes == {"original": {(1200, 900)}, "large": {(1200, 900)}, "medium": {(800, 600)}}
    wrong = visitor.get(f"/api/albums/{album.pk}/download?size=huge")
    assert wrong.status_code == 400 and "size" in wrong.json()["fields"]


def test_the_page_of_an_album_offers_each_size(visitor, album, three):
    page = visitor.get(f"/albums/{album.pk}").content.decode()
    for size in archives.SIZES:
        assert f"/api/albums/{album.pk}/download?size={size}&amp;nsfw=blur" in page


def test_restricted_pictures_are_left_out_blurred_or_shown_as_the_viewer_sees_them(
    visitor, adult, album, take_in, three
):
    secret = take_in(4, album=album, rating="adult", filename="secret.png", size=(1200, 900))
    address = f"/api/albums/{album.pk}/download?size=large"
    assert len(unzip(visitor.get(f"{address}&nsfw=hide"))) == 3
    shown = unzip(adult.get(f"{address}&nsfw=show"))
    assert list(shown)[-1] == "secret.webp" and size_of(shown["secret.webp"]) == (1200, 900)
    for mode in ("", "&nsfw=show"):  # without an age
        blurred = unzip(visitor.get(address + mode))
        assert len(blurred) == 4 and "secret.webp" not in blurred
        assert max(size_of(blurred["Blurred picture.webp"])) == 300
        assert not {original(secret), shown["secret.webp"]} & set(blurred.values())


def test_what_is_gone_is_in_no_zip_and_a_private_album_has_none(visitor, album, three):
    trash_image(three[0])
    retract_image(three[1])
    assert list(unzip(visitor.get(f"/api/albums/{album.pk}/download"))) == ["Photo.webp"]
    set_album_public(album, is_public=False)
    assert visitor.get(f"/api/albums/{album.pk}/download").status_code == 404
    assert visitor.get("/api/albums/999/download").status_code == 404


def test_what_is_taken_back_while_the_zip_is_on_its_way_is_not_in_the_rest(
    visitor, album, take_in, monkeypatch
):
    monkeypatch.setattr(archives, "AT_ONCE", 1)
    images = [take_in(number, album=album, filename=f"{number}.png") for number in range(4)]
    pieces = archives.stream_archive(
        Image.objects.listed_for(Viewer()).in_album_order(album), Viewer(), size="large"
    )
    begun = next(pieces)
    retract_image(images[2])
    with zipfile.ZipFile(io.BytesIO(begun + b"".join(pieces))) as archive:
        assert archive.namelist() == ["0.webp", "1.webp", "3.webp"]


def test_a_zip_is_never_whole_in_memory(album, take_in):
    noise = Pillow.effect_noise((700, 700), 90)
    buffer = io.BytesIO()
    noise.convert("RGB").save(buffer, "PNG")
    from gallery.ingest import ingest_image

    image = ingest_image(buffer.getvalue(), source_type="manual", rating="safe").image
    add_images(album, [image, *(take_in(number) for number in range(3))])
    pieces = list(
        archives.stream_archive(
            Image.objects.listed_for(Viewer(is_admin=True)).in_album_order(album),
            Viewer(is_admin=True),
            size="original",
        )
    )
    assert len(buffer.getvalue()) > 3 * archives.CHUNK
    assert max(map(len, pieces)) <= archives.CHUNK + 4096


def test_a_lost_file_spoils_no_zip(visitor, album, three):
    three[1].file.storage.delete(three[1].file.name)
    files = unzip(visitor.get(f"/api/albums/{album.pk}/download"))
    assert list(files) == ["Photo.webp", "Ace_of_Spades.png", "Missing pictures.txt"]
    assert b"1 of the pictures" in files["Missing pictures.txt"]


def test_a_file_that_was_cut_short_is_missing_from_a_zip(visitor, album, three):
    os.truncate(three[1].file.path, 9)
    files = unzip(visitor.get(f"/api/albums/{album.pk}/download"))
    assert list(files) == ["Photo.webp", "Ace_of_Spades.png", "Missing pictures.txt"]


def test_an_empty_album_is_an_empty_zip_and_head_reads_no_picture(visitor, album, three):
    empty = create_album(name="Nothing")
    assert unzip(visitor.get(f"/api/albums/{empty.pk}/download")) == {}
    head = visitor.head(f"/api/albums/{album.pk}/download")
    assert head.status_code == 200 and b"".join(head) == b""


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\Windows\\x", "C__Windows_x"),
        ("a\0b\nc", "a b c"),
        ("gnp\u202eexe.", "gnp exe"),
        ("CON", "_CON"),
        ("lpt1.txt", "_lpt1.txt"),
        ("...", "_"),
        ("", "_"),
        ("Ace_of_Spades", "Ace_of_Spades"),
        ("Ünïcødé 日本", "Ünïcødé 日本"),
        ("日" * 200, "日" * 60),
        ("a\ud800b", "a b"),
    ],
)
def test_names_are_safe_on_every_system(written, safe):
    assert archives.safe_name(written) == safe


def test_names_are_unique_even_where_capitals_tell_nothing_apart(visitor, album, take_in):
    for number, name in enumerate(("Sun.png", "sun.png", "SUN (2).png", "Sun.png")):
        take_in(number, album=album, filename=name)
    names = list(unzip(visitor.get(f"/api/albums/{album.pk}/download")))
    assert names == ["Sun.webp", "sun (2).webp", "SUN (2) (2).webp", "Sun (3).webp"]


def test_many_pictures_of_one_name_take_no_longer_each(album):
    taken = {}
    names = [archives.make_unique("Blurred picture.webp", taken) for _ in range(20_000)]
    assert len(set(names)) == 20_000 and names[-1] == "Blurred picture (20000).webp"


def test_a_zip_asks_the_same_number_of_questions_for_each_handful(
    album, take_in, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(archives, "AT_ONCE", 5)
    viewer = Viewer()
    for start, number in ((0, 5), (5, 10)):
        for n in range(start, start + number):
            take_in(n, album=album)
        images = Image.objects.listed_for(viewer).in_album_order(album)
        with django_assert_num_queries((start + number) // 5):
            list(archives.stream_archive(images, viewer, size="medium"))
