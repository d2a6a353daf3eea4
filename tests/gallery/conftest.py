import pytest
from django.test import Client

from gallery.ingest import ingest_image
from gallery.services import add_images, create_album
from tests.gallery.pictures import draw, encode


@pytest.fixture
def take_in(db):
    """Take a drawn picture in; equal numbers are equal pictures."""

    def take_in(number=1, *, album=None, source_type="manual", size=(96, 128), **fields):
        fields.setdefault("rating", "safe")
        picture = draw(number, size=size)
        own = {"pillow": picture} if source_type == "batch_generation" else {}
        image = ingest_image(encode(picture), source_type=source_type, **own, **fields).image
        if album:
            add_images(album, [image])
            image.refresh_from_db()
        return image

    return take_in


@pytest.fixture
def album(db):
    return create_album(name="Zodiac")


@pytest.fixture
def visitor(db):
    """A browser whose user has said nothing yet."""
    return Client()


@pytest.fixture
def adult(db):
    """A browser whose user has confirmed being of age."""
    client = Client()
    client.post("/age-confirmation")
    return client


@pytest.fixture
def curator(ada):
    client = Client()
    client.force_login(ada)
    return client
