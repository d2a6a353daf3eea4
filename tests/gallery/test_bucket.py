"""Files in an S3 bucket: a real server of the protocol, asked by the real client."""

import io
import zipfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import boto3
import pytest
from django.core.cache import caches
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.management import call_command
from PIL import Image as Pillow

from gallery.addresses import media_url
from gallery.models import Lora
from gallery.orphans import find_orphans, sweep
from gallery.renditions import BLURRED, FULL, GRID, LARGE, open_rendition
from gallery.sharing import create_shared_link
from gallery.storage import local_path
from gallery.weights import lora_path
from imagineer.outages import Outage, find_outage

pytestmark = pytest.mark.django_db

KEYS = {"access_key": "test", "secret_key": "test-secret"}


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server, settings, request):
    """An empty bucket, in which the library lies."""
    name = f"library-{abs(hash(request.node.name))}"
    client = boto3.client(
        "s3",
        endpoint_url=server,
        region_name="us-east-1",
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
    )
    client.create_bucket(Bucket=name)
    caches["process"].clear()
    options = {"bucket_name": name, "endpoint_url": server, "region_name": "us-east-1", **KEYS}
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "gallery.bucket.BucketStorage", "OPTIONS": options}
    }
    return client, name


def keys(bucket):
    client, name = bucket
    return sorted(entry["Key"] for entry in client.list_objects_v2(Bucket=name).get("Contents", ()))


def fetch(url):
    with urlopen(url) as answer:
        return answer.read(), answer.headers


def test_a_picture_is_taken_in_and_its_renditions_lie_under_their_own_keys(bucket, take_in, tmp_path):
    image = take_in(1)
    expected = [image.file.name, *(spec.key(image.sha256) for spec in (GRID, LARGE, BLURRED))]
    assert keys(bucket) == sorted(expected)
    again = take_in(1)
    assert again == image and keys(bucket) == sorted(expected)
    assert Pillow.open(image.file.open()).size == (96, 128)
    assert not list(tmp_path.glob("media/**/*.png"))


def test_a_clear_picture_is_sent_by_the_bucket_itself_for_two_minutes(bucket, take_in, album, visitor):
    image = take_in(1, album=album, source_type="batch_generation", filename="Ace of Spades.png")
    for address, key, kind, disposition in (
        (media_url(image, GRID), GRID.key(image.sha256), "image/webp", "inline"),
        (f"/api/images/{image.pk}/thumbnail", GRID.key(image.sha256), "image/webp", "inline"),
        (
            f"/api/images/{image.pk}/file",
            image.file.name,
            "image/png",
            'attachment; filename="Ace of Spades.png"',
        ),
    ):
        response = visitor.get(address)
        assert response.status_code == 302 and response.headers["Cache-Control"] == "private, no-store"
        asked = parse_qs(urlsplit(response.url).query)
        assert asked["X-Amz-Expires"] == ["120"] and asked["X-Amz-Signature"]
        body, headers = fetch(response.url)
        assert body == default_storage.open(key).read()
        assert headers["Content-Type"] == kind and headers["Content-Disposition"] == disposition


def test_a_blurred_picture_comes_from_here_because_the_bucket_s_address_would_tell_its_hash(
    bucket, take_in, album, visitor
):
    image = take_in(1, album=album, rating="adult")
    blurred = open_rendition(image, "blurred").read()
    for address in (media_url(image, BLURRED), f"/api/images/{image.pk}/thumbnail"):
        response = visitor.get(address)
        assert response.status_code == 200 and b"".join(response) == blurred
        assert image.sha256[:8] not in str(response.headers)
    assert visitor.get(f"/api/images/{image.pk}/file").status_code == 404
    key = create_shared_link(image=take_in(2))[1]
    page = visitor.get(f"/s/{key}").content.decode()
    assert "X-Amz" not in page
    shared = visitor.get(f"/s/{key}/media/{image.pk + 1}/large.webp", headers={"Range": "bytes=4-7"})
    assert shared.status_code == 206 and len(b"".join(shared)) == 4


def test_what_the_bucket_has_lost_is_made_again_or_not_there(bucket, take_in, album, visitor):
    image = take_in(1, album=album)
    default_storage.delete(GRID.key(image.sha256))
    response = visitor.get(media_url(image, GRID))
    assert Pillow.open(io.BytesIO(fetch(response.url)[0])).format == "WEBP"
    assert (
        visitor.get(f"/api/images/{image.pk}/file").status_code == 302
    )  # the whole copy, made when first asked for
    assert FULL.key(image.sha256) in keys(bucket)
    default_storage.delete(image.file.name)
    default_storage.delete(LARGE.key(image.sha256))
    assert visitor.get(media_url(image, LARGE)).status_code == 404


def test_the_sweep_finds_and_deletes_what_has_no_row(bucket, take_in):
    image = take_in(1)
    for key in ("originals/ab/cd/abcd00.png", "renditions/grid/ab/abcd00.webp"):
        default_storage.save(key, ContentFile(b"x"))
    young = find_orphans(["ab", image.sha256[:2]])
    assert young.without_row == [] and young.without_file == []
    swept = sweep(["ab", image.sha256[:2]], older_than=timedelta(0))
    assert swept.without_row == ["originals/ab/cd/abcd00.png", "renditions/grid/ab/abcd00.webp"]
    assert not [key for key in keys(bucket) if "abcd00" in key] and image.file.name in keys(bucket)
    default_storage.delete(image.file.name)
    assert find_orphans([image.sha256[:2]]).without_file == [image.file.name]


def test_what_the_bucket_holds_cut_short_is_named_not_sent_and_put_back(bucket, take_in, album, visitor):
    image = take_in(1, album=album, source_type="manual")
    drawn = take_in(2, album=album, source_type="batch_generation")
    whole = default_storage.open(image.file.name).read()
    for key in (image.file.name, drawn.file.name, GRID.key(image.sha256), GRID.key(drawn.sha256)):
        default_storage.save(key, ContentFile(b""))
    findings = find_orphans([image.sha256[:2], drawn.sha256[:2]])
    assert sorted(findings.damaged) == sorted([image.file.name, drawn.file.name])
    assert findings.without_file == []
    for address in (f"/api/images/{drawn.pk}/file", media_url(image, GRID)):
        assert visitor.get(address).status_code == 404
    assert take_in(1) == image and default_storage.open(image.file.name).read() == whole
    assert visitor.get(media_url(image, GRID)).status_code == 302
    assert default_storage.size(GRID.key(image.sha256)) > 0


def test_missing_renditions_are_made_by_the_command(bucket, take_in, capsys):
    image = take_in(1)
    before = default_storage.open(GRID.key(image.sha256)).read()
    default_storage.delete(GRID.key(image.sha256))
    call_command("rebuild_renditions")
    assert default_storage.open(GRID.key(image.sha256)).read() == before


def test_an_album_is_downloaded_as_a_zip_out_of_the_bucket(bucket, take_in, album, visitor):
    take_in(1, album=album, filename="sun.png"), take_in(2, album=album, rating="adult")
    sent = b"".join(visitor.get(f"/api/albums/{album.pk}/download?size=large"))
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        assert archive.testzip() is None and archive.namelist() == ["sun.webp", "Blurred picture.webp"]


def test_a_lora_is_fetched_once_to_where_it_can_be_loaded(bucket, tmp_path):
    default_storage.save("loras/ab/abcd.safetensors", ContentFile(b"weights"))
    lora = Lora(name="x", file="loras/ab/abcd.safetensors")
    path = lora_path(lora)
    assert path.startswith(str(tmp_path)) and Path(path).read_bytes() == b"weights"
    default_storage.delete("loras/ab/abcd.safetensors")
    assert lora_path(lora) == path
    with pytest.raises(FileNotFoundError):
        local_path("loras/ab/other.safetensors")


@pytest.mark.parametrize("key", ["../canary", "/etc/canary", "a//b", "a\0b", ".", "a/.."])
def test_a_key_that_is_none_is_refused_before_the_bucket_is_asked(bucket, key):
    with pytest.raises(SuspiciousFileOperation):
        default_storage.save(key, ContentFile(b"x"))
    with pytest.raises(SuspiciousFileOperation):
        default_storage.open(key)
    assert keys(bucket) == []


def test_a_bucket_that_is_away_is_a_disk_that_is_away(bucket, settings, take_in, album, visitor):
    image = take_in(1, album=album)
    away = settings.STORAGES["default"]
    for wrong in ({"bucket_name": "no-such-bucket"}, {"endpoint_url": "http://127.0.0.1:9"}):
        settings.STORAGES = settings.STORAGES | {"default": away | {"OPTIONS": away["OPTIONS"] | wrong}}
        storages._storages.clear()
        with pytest.raises(OSError, match="bucket") as error:
            default_storage.save("originals/ab/cd/x.png", ContentFile(b"x"))
        assert find_outage(error.value) is Outage.STORAGE, "jobs wait for it"
    assert image.file.name


def test_nothing_in_the_bucket_has_an_address_past_the_gate(bucket):
    with pytest.raises(ValueError):
        default_storage.url("a")


def test_the_settings_name_the_bucket_and_let_pages_show_its_pictures():
    """In a process of its own, as a server reads them."""
    import os
    import subprocess
    import sys

    program = (
        "from django.conf import settings as s; import django; django.setup();"
        "from django.core.files.storage import default_storage as d;"
        "print(type(d._wrapped or d).__name__, d.bucket_name, s.SETTINGS_PROBLEMS,"
        "s.CONTENT_SECURITY_POLICY['DIRECTIVES']['img-src'])"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "imagineer.settings",
        "DJANGO_DEBUG": "1",
        "AWS_STORAGE_BUCKET_NAME": "pictures",
        "AWS_S3_ENDPOINT_URL": "https://minio.example.org",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )
    assert "pictures []" in done.stdout, done.stdout + done.stderr
    assert "https://minio.example.org" in done.stdout
