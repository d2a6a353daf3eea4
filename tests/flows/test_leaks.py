"""Nothing leaks: a crawler asks for everything that it can find or guess, and finds no restricted, private, trashed or
retracted picture, nor a word about one."""

import re
from dataclasses import dataclass

import numpy
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import URLPattern, reverse
from PIL import Image as Pillow
from PIL import ImageDraw

from gallery.ingest import ingest_image
from gallery.models import Album, DiffusionModel, Image, Label, SourceType
from gallery.renditions import BLURRED, GRID, SPECS, open_rendition
from gallery.services import add_images, create_album, retract_image, set_cover, trash_image
from gallery.sharing import create_shared_link
from imagineer.jobs.models import Job
from imagineer.policy import ADMIN, GATED, POLICY
from templates_app.authoring import set_archived
from templates_app.models import BatchTemplate, RunItem
from tests.crawler import Crawl, Secret, perceptual_hash
from tests.factories import make_template, start_run
from tests.gallery.pictures import encode
from tests.test_policy import routes

pytestmark = pytest.mark.django_db

BLURRED_ONLY = ("adult", "explicit", "unrated")  # public, so that they are listed
CLOSED = ("private", "privateadult", "trashed", "retracted")
WORDS = re.compile(r"(?i)canary-\w*")  # every secret word begins so
FIRST_STEPS = ("/", "/albums", "/sitemap.xml", "/robots.txt", "/api", "/api/schema", "/api/docs")


def scene(number: int) -> Pillow.Image:
    """Soft shapes with fine lines over them, unlike those of all other numbers."""
    values = numpy.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=numpy.uint8)
    picture = Pillow.fromarray(values).resize((256, 320), Pillow.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for step in range(0, 256, 5):
        pen.line((step, 0, 256 - step, 320), fill=(step % 256, 90, 90))
    return picture


@dataclass
class Library:
    images: dict[str, Image]
    secrets: dict[str, Secret]
    shown: Album
    hidden: Album
    other: Album  # private too

    def keeping(self, *names: str, blurred=BLURRED_ONLY) -> list[Secret]:
        """The secrets of these names; of those in ``blurred`` the blurred rendition is allowed."""
        return [
            Secret(
                secret.name,
                secret.hash,
                secret.sha256,
                secret.files,
                secret.blurred if secret.name in blurred else None,
            )
            for secret in (self.secrets[name] for name in names)
        ]


@pytest.fixture
def library(db):
    """One picture of each kind, every one with words of its own in every field that can hold some."""
    shown = create_album(name="Shown", description="Open to all")
    hidden = create_album(name="canary-hiddenalbum", description="canary-hiddendescription", is_public=False)
    other = create_album(name="canary-otheralbum", is_public=False)
    images, secrets = {}, {}
    for number, name in enumerate(("open", *BLURRED_ONLY, *CLOSED, "other")):
        word = "free" if name == "open" else f"canary-{name}"
        rating = "adult" if name.endswith("adult") else name if name in BLURRED_ONLY else "safe"
        picture = scene(number)
        image = ingest_image(
            encode(picture),
            source_type=SourceType.MANUAL,
            filename=f"{word}file.png",
            prompt=f"{word}prompt",
            negative_prompt=f"{word}negative",
            model=DiffusionModel.objects.create(name=f"{word}model", location="x", is_enabled=name == "open"),
            generation_params={
                "seed": 1,
                "loras": [{"name": f"{word}lora", "weight": 1}],
                "comment": f"{word}comment",
            },
            rating=None if rating == "unrated" else rating,
        ).image
        for kind in ("caption", "tag", "category"):
            Label.objects.create(image=image, type=kind, text=f"{word}{kind}")
        album = other if name == "other" else hidden if name.startswith("private") else shown
        add_images(album, [image])
        {"trashed": trash_image, "retracted": retract_image}.get(name, lambda image: None)(image)
        images[name] = Image.objects.get(pk=image.pk)
        if name != "open":
            made = {
                spec.name: open_rendition(image, spec.name).read()
                for spec in SPECS.values()
                if spec.above == 0
            }
            secrets[name] = Secret(
                name,
                perceptual_hash(picture),
                image.sha256,
                {encode(picture), *made.values()},
                made["blurred"],
            )
    Image.objects.filter(pk=images["open"].pk).update(reference_image=images["private"])
    set_cover(shown, images["explicit"])
    order(images, "explicit", shown, is_public=True)
    order(images, "private", hidden, is_public=False)
    Album.objects.filter(pk=shown.pk).update(source_type=SourceType.MANUAL)
    return Library(images, secrets, shown, hidden, other)


def order(images, name, album, *, is_public):
    """A run that has made this picture, as far as its rows tell."""
    rows = [{"name": f"canary-{name}row", "text": f"canary-{name}text"}]
    template = make_template(name=f"canary-{name}template", base_prompt=f"canary-{name}base", rows=rows)
    run = start_run(
        template,
        album_name=f"canary-{name}run",
        user_theme=f"canary-{name}theme",
        negative_prompt=f"canary-{name}negative",
        is_public=is_public,
        rating="explicit",
    )
    set_archived(template, is_archived=True)
    run.album = album
    run.save(update_fields=["album"])
    RunItem.objects.filter(run=run).update(status="completed", image=images[name])
    Image.objects.filter(pk=images[name].pk).update(source_type=SourceType.BATCH_GENERATION, source_id=run.pk)


def guesses(library: Library) -> list[str]:
    """Every address of the house, with every number that could be somebody's."""
    kinds = (Image, Album, Job, BatchTemplate, DiffusionModel)
    numbers = {number for kind in kinds for number in kind.objects.values_list("pk", flat=True)}
    numbers.add(max(numbers) + 1)
    found = []
    for name, entry in routes():
        if not isinstance(entry, URLPattern) or "key" in entry.pattern.regex.groupindex:
            continue
        if name == "media" or POLICY[name] == ADMIN:
            continue
        parameters = list(entry.pattern.regex.groupindex)
        examples = {"kind": "images", "uid": "x", "token": "x"}
        for number in sorted(numbers) if parameters else (0,):
            address = reverse(name, kwargs={part: examples.get(part, number) for part in parameters})
            found.append(address)
            if name.startswith("api:") and POLICY[name] == GATED:
                found += [f"{address}?nsfw=show", f"{address}?nsfw=hide"]
            if name.endswith("download"):
                found.append(f"{address}?size=original&nsfw=show")
            if name == "image":
                found += [f"{address}?album={album.pk}" for album in (library.hidden, library.shown)]
    for album in Album.objects.all():
        found += [f"/api/images?album={album.pk}", f"/api/images?album={album.pk}&nsfw=show"]
    found += [f"/api/images?tag=canary-{name}tag" for name in library.secrets]
    found += [f"/api/images?model=canary-{name}model" for name in library.secrets]
    return found


@pytest.fixture
def anonymous():
    return Client()


def test_the_pictures_of_this_test_are_told_apart_by_their_hashes_and_known_by_them_when_blurred(library):
    hashes = [perceptual_hash(scene(number)) for number in range(len(library.images))]
    assert min((a ^ b).bit_count() for place, a in enumerate(hashes) for b in hashes[:place]) > 12
    for secret in library.secrets.values():
        for spec in ("grid", "large", "full", "blurred"):
            image = library.images[secret.name]
            seen = perceptual_hash(Pillow.open(open_rendition(image, spec)))
            assert (seen ^ secret.hash).bit_count() <= 10


@pytest.mark.parametrize("who", ["anonymous", "stranger"])
def test_whoever_has_not_confirmed_their_age_finds_nothing_that_they_may_not_see(library, who, request):
    client = Client()
    if who == "stranger":
        client.force_login(request.getfixturevalue("stranger"))
    crawl = Crawl(client, library.keeping(*library.secrets), WORDS).run(*FIRST_STEPS, *guesses(library))
    assert not crawl.leaks, "\n".join(sorted(set(crawl.leaks))[:40])
    # it has seen what there is to see
    open_, adult = library.images["open"], library.images["adult"]
    assert crawl.blurred >= len(BLURRED_ONLY) and crawl.pictures > crawl.blurred
    for address in (
        f"/images/{open_.pk}",
        f"/images/{adult.pk}",
        f"/api/images/{open_.pk}/file",
        f"/api/images/{open_.pk}/provenance",
        f"/api/albums/{library.shown.pk}/download?size=original&nsfw=show",
    ):
        assert crawl.visited.get(address) == 200 or address.endswith("provenance"), address
    for name, status in (("private", 404), ("trashed", 404), ("retracted", 410)):
        pk = library.images[name].pk
        assert {crawl.visited[f"/images/{pk}"], crawl.visited[f"/api/images/{pk}/thumbnail"]} == {status}


def test_who_hides_restricted_pictures_meets_none_on_any_page(library, anonymous):
    anonymous.post("/content-filter", {"nsfw": "hide"})
    starts = ("/", "/albums", "/sitemap.xml", "/api/images?nsfw=hide", "/api/albums?nsfw=hide")
    crawl = Crawl(anonymous, library.keeping(*library.secrets, blurred=()), WORDS).run(*starts)
    assert not crawl.leaks, "\n".join(sorted(set(crawl.leaks))[:40])
    restricted = "|".join(str(library.images[name].pk) for name in (*BLURRED_ONLY, *CLOSED))
    met = [address for address in crawl.visited if re.search(rf"/(images|media)/({restricted})\b", address)]
    assert not met and crawl.pictures


def test_an_adult_sees_restricted_pictures_and_nothing_that_is_closed(library, anonymous):
    anonymous.post("/age-confirmation")
    closed = re.compile(rf"(?i)canary-(?!{'|'.join(BLURRED_ONLY)})\w*")
    crawl = Crawl(anonymous, library.keeping(*CLOSED, "other", blurred=()), closed)
    crawl.run(*FIRST_STEPS, *guesses(library))
    assert not crawl.leaks, "\n".join(sorted(set(crawl.leaks))[:40])
    page = anonymous.get(f"/images/{library.images['adult'].pk}").content.decode()
    assert "canary-adultprompt" in page and not crawl.blurred


def test_a_shared_link_followed_from_its_page_opens_nothing_but_what_it_names(library, anonymous):
    key = create_shared_link(album=library.hidden)[1]
    others = [name for name in library.secrets if name != "private"]
    secret_words = re.compile(r"(?i)canary-(?!private(?!adult)|hidden)\w*")
    crawl = Crawl(anonymous, library.keeping(*others, blurred=("privateadult",)), secret_words, within="/s/")
    asked = [f"/s/{key}", f"/s/{key}/download?size=original"]
    for image in library.images.values():
        asked += [f"/s/{key}/images/{image.pk}{end}" for end in ("", "/file")]
        asked += [f"/s/{key}/media/{image.pk}/{spec}.webp" for spec in (*SPECS, "original")]
    crawl.run(*asked)
    assert not crawl.leaks, "\n".join(sorted(set(crawl.leaks))[:40])
    inside = library.images["private"].pk, library.images["privateadult"].pk
    opened = {address for address, status in crawl.visited.items() if status == 200}
    numbers = {int(pk) for address in opened for pk in re.findall(r"/(?:images|media)/(\d+)", address)}
    assert numbers == set(inside) and crawl.blurred and crawl.pictures > crawl.blurred


# ---- The crawler would find a leak


def plant_a_private_picture_that_is_said_to_be_public(library):
    Image.objects.filter(pk=library.images["private"].pk).update(is_public=True)
    return {"canary-privateprompt", "shows private"}


def plant_a_wrong_rating(library):
    Image.objects.filter(pk=library.images["adult"].pk).update(rating="safe")
    return {"canary-adultprompt", "canary-adultcaption", "shows adult", "the hash of adult"}


def plant_a_blur_that_blurs_nothing(library):
    image = library.images["explicit"]
    default_storage.save(BLURRED.key(image.sha256), ContentFile(open_rendition(image, GRID.name).read()))
    return {"shows explicit"}


def plant_a_word(library):
    Album.objects.filter(pk=library.shown.pk).update(description="See canary-adultprompt")
    return {"canary-adultprompt"}


def plant_a_copy_of_a_trashed_picture_in_another_format_and_size(library):
    data = encode(scene(6).resize((200, 250)), "JPEG", quality=60)
    add_images(library.shown, [ingest_image(data, source_type=SourceType.MANUAL, rating="safe").image])
    return {"shows trashed"}


@pytest.mark.parametrize(
    "plant",
    [
        plant_a_private_picture_that_is_said_to_be_public,
        plant_a_wrong_rating,
        plant_a_blur_that_blurs_nothing,
        plant_a_word,
        plant_a_copy_of_a_trashed_picture_in_another_format_and_size,
    ],
)
def test_the_crawler_finds_a_leak_where_one_is_planted(library, anonymous, plant):
    expected = plant(library)
    crawl = Crawl(anonymous, library.keeping(*library.secrets), WORDS).run("/", "/api/images")
    found = "\n".join(crawl.leaks)
    assert not [what for what in expected if what not in found], found
