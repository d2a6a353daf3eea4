import os
import time
from pathlib import Path

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from gallery.storage import ContentStorage, local_path
from imagineer.outages import Outage, find_outage


def files_under(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if found.is_file())


@pytest.mark.django_db
def test_a_file_lies_under_exactly_the_key_that_was_asked_for():
    assert default_storage.save("originals/ab/cd/abcd.png", ContentFile(b"one")) == "originals/ab/cd/abcd.png"
    assert default_storage.save("originals/ab/cd/abcd.png", ContentFile(b"two")) == "originals/ab/cd/abcd.png"
    assert default_storage.open("originals/ab/cd/abcd.png").read() == b"two"


def test_writing_equal_bytes_makes_the_file_young_again(tmp_path):
    storage = ContentStorage(location=tmp_path)
    storage.save("a/b", ContentFile(b"same"))
    long_ago = time.time() - 7200
    os.utime(tmp_path / "a/b", (long_ago, long_ago))
    storage.save("a/b", ContentFile(b"same"))
    assert (tmp_path / "a/b").stat().st_mtime > long_ago + 3600


def test_a_reader_of_the_old_file_is_not_disturbed_by_a_new_one(tmp_path):
    storage = ContentStorage(location=tmp_path)
    storage.save("a", ContentFile(b"old" * 1000))
    with storage.open("a") as reader:
        assert reader.read(3) == b"old"
        storage.save("a", ContentFile(b"new" * 1000))
        assert reader.read() == b"old" * 999


def test_a_writer_that_fails_half_way_leaves_nothing_and_spoils_nothing(tmp_path):
    storage = ContentStorage(location=tmp_path)
    storage.save("a/b", ContentFile(b"whole"))

    class Broken(ContentFile):
        def chunks(self, chunk_size=None):
            yield b"half"
            raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        storage.save("a/b", Broken(b""))
    assert files_under(tmp_path) == ["a/b"]
    assert (tmp_path / "a/b").read_bytes() == b"whole"


HOSTILE = [
    "../canary", "a/../../canary", "a/..", "/etc/canary", "a//b", "./a", "a/.", "a\0b", "..\\canary", "a\\..\\b",
    "", ".", "..", "a/", "x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_that_is_none_is_refused(tmp_path, key):
    storage = ContentStorage(location=tmp_path / "media")
    with pytest.raises((SuspiciousFileOperation, OSError)):
        storage.save(key, ContentFile(b"x"), max_length=200)
    assert files_under(tmp_path) == []


@settings(max_examples=200, deadline=None)
@given(key=st.text(alphabet=st.sampled_from("ab./\\\0~%2e "), min_size=1, max_size=12))
def test_no_key_leads_out_of_the_storage(tmp_path_factory, key):
    root = tmp_path_factory.mktemp("keys")
    (root / "canary").write_bytes(b"alive")
    storage = ContentStorage(location=root / "media")
    try:
        storage.save(key, ContentFile(b"dead"))
        storage.delete(key)
    except (SuspiciousFileOperation, OSError):
        pass
    assert (root / "canary").read_bytes() == b"alive"
    assert all(name.startswith(("media/", "canary")) for name in files_under(root))


def test_nothing_has_an_address_past_the_gate(tmp_path):
    with pytest.raises(ValueError):
        ContentStorage(location=tmp_path).url("a")


def test_a_file_that_the_disk_cannot_hold_leaves_nothing_behind(tmp_path, disk_that_holds):
    storage = ContentStorage(location=tmp_path)
    storage.save("a/whole", ContentFile(b"x" * 50_000))
    with disk_that_holds(100_000), pytest.raises(OSError):
        storage.save("a/whole", ContentFile(b"y" * 500_000))
    assert files_under(tmp_path) == ["a/whole"]
    assert (tmp_path / "a/whole").read_bytes() == b"x" * 50_000


# ---- A disk that is away


def test_on_a_disk_that_is_away_nothing_is_stored_and_nothing_counts_as_lost(take_in, unmounted):
    image = take_in(1)
    attempts = [
        lambda: default_storage.save("renditions/grid/ab/x.webp", ContentFile(b"x")),
        lambda: default_storage.open(image.file.name),
        lambda: local_path("loras/ink.safetensors"),
        lambda: take_in(2),
    ]
    for attempt in attempts:
        with unmounted() as left:
            with pytest.raises(OSError, match="although the library has pictures") as error:
                attempt()
            assert find_outage(error.value) is Outage.STORAGE, "jobs wait for it"
            left.rmdir()  # not even a folder is left
            with pytest.raises(OSError, match="although the library has pictures"):
                attempt()
            assert not left.exists()
            left.mkdir()
    assert default_storage.open(image.file.name).read()


def test_one_file_that_is_lost_on_a_disk_that_is_here_is_lost(take_in):
    image = take_in(1)
    default_storage.delete(image.file.name)
    with pytest.raises(FileNotFoundError):
        default_storage.open(image.file.name)


def test_the_database_is_asked_only_while_there_is_no_folder(take_in, django_assert_num_queries):
    take_in(1)
    with django_assert_num_queries(0):
        default_storage.save("renditions/grid/ab/x.webp", ContentFile(b"x"))


def test_the_first_picture_of_a_library_does_not_make_the_next_one_wait(take_in, tmp_path):
    """Another thread puts it in place between the look for the folder and the look for its row."""

    take_in(1)
    originals = tmp_path / "media" / "originals"
    originals.rename(tmp_path / "not there yet")

    def a_moment_later(execute, sql, *arguments):
        (tmp_path / "not there yet").rename(originals)
        return execute(sql, *arguments)

    with connection.execute_wrapper(a_moment_later):
        assert default_storage.save("originals/ab/cd/two.png", ContentFile(b"two"))
