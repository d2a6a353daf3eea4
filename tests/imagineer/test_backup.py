"""Backup and restore: whole while others write, and nothing is taken back that is not as it was."""

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import uuid
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from gallery.ingest import ingest_image
from gallery.models import Album, Image, SourceType
from gallery.orphans import hold_sweep, is_held, sweep
from gallery.services import add_images, create_album
from gallery.storage import ContentStorage, LibraryStorage
from imagineer.accounts.services import make_admin
from imagineer.backup import BackupError, make_backup
from imagineer.restore import check_is_empty, restore_backup
from templates_app.models import BatchTemplate, GenerationSession
from tests.clusters import POSTGRES, ROOT, Site, the_database, wait_until
from tests.gallery.pictures import png
from tests.gallery.test_bucket import bucket, server  # noqa: F401  fixtures
from tests.jobs_app.tasks import submit_items

KINDS = ["sqlite", "postgresql"]
COUNT = int(os.environ.get("IMAGINEER_BACKUPS", 10))  # 50 is the figure of docs/RELIABILITY.md


def take_in(numbers) -> list[Image]:
    return [
        ingest_image(png(number), source_type=SourceType.MANUAL, filename=f"{number}.png").image
        for number in numbers
    ]


def contents(storage=default_storage) -> list:
    """Every picture with the hash of its bytes as they lie there, and every album."""
    pictures = []
    for sha256, key, name in Image.objects.order_by("pk").values_list("sha256", "file", "filename"):
        with storage.open(key) as file:
            pictures.append((name, sha256, hashlib.sha256(file.read()).hexdigest() == sha256))
    return [pictures, list(Album.objects.order_by("pk").values_list("name", "image_count"))]


@pytest.fixture
def library(site_on):
    def make(kind: str) -> Site:
        site = site_on(kind)
        make_admin("ada@example.org")
        add_images(create_album(name="Keep", is_public=True), take_in(range(6)))
        return site

    return make


@pytest.fixture
def empty_site(request, tmp_path_factory):
    """``empty_site(kind)``: another data directory and an empty database, as a machine that has lost everything."""
    undo = []

    def make(kind: str) -> Site:
        directory = tmp_path_factory.mktemp("empty")
        url = f"sqlite:///{directory / 'imagineer.sqlite3'}"
        if kind == "postgresql":
            query, name = request.getfixturevalue("postgres"), f"imagineer_test_{uuid.uuid4().hex[:8]}"
            query(f'CREATE DATABASE "{name}"')
            undo.append(lambda: query(f'DROP DATABASE "{name}" WITH (FORCE)'))
            url = f"{POSTGRES.rpartition('/')[0]}/{name}"
        return Site(directory, url, lease=3)

    yield make
    for action in undo:
        action()


@pytest.fixture
def elsewhere(empty_site, settings):
    """``with elsewhere() as site:`` this process works for an empty site."""

    @contextmanager
    def elsewhere(kind: str = "sqlite"):
        site, before = empty_site(kind), settings.STORAGES
        settings.STORAGES = before | {
            "default": before["default"] | {"OPTIONS": {"location": site.directory / "media"}}
        }
        with the_database(site.environment["DATABASE_URL"]):
            yield site
        settings.STORAGES = before

    return elsewhere


@contextmanager
def there(site: Site):
    """Read another site's library; gives its storage, as a writer may be at work in ours meanwhile."""
    with the_database(site.environment["DATABASE_URL"]):
        yield ContentStorage(location=site.directory / "media")


def restored(site: Site, path) -> dict:
    result = site.manage("restore", str(path), "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_restored_library_is_the_one_that_was_backed_up(kind, name, library, empty_site, tmp_path):
    library(kind)
    call_command("backup", str(tmp_path / name), "--json", stdout=io.StringIO())
    before = contents()
    other = empty_site(kind)
    assert restored(other, tmp_path / name)["files"] == 6
    with there(other) as storage:
        assert contents(storage) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_the_database_alone_is_taken_back_where_the_pictures_lie(
    kind, library, empty_site, tmp_path
):
    site = library(kind)
    before = contents()
    report = make_backup(tmp_path / "copy.tar", is_listing_only=True)
    assert (report.files, report.copied) == (6, 0)
    other = empty_site(kind)
    refused = other.manage("restore", str(tmp_path / "copy.tar"))
    assert refused.returncode == 1 and "None of the pictures lies here" in refused.stderr
    other.environment["IMAGINEER_DATA_DIR"] = str(site.directory)
    assert restored(other, tmp_path / "copy.tar")["files"] == 6
    with there(other):
        assert contents() == before


def test_a_copy_of_the_database_alone_is_taken_back_though_a_picture_has_been_purged_since(
    library, empty_site, tmp_path
):
    site = library("sqlite")
    make_backup(tmp_path / "copy.tar", is_listing_only=True)
    purged = Image.objects.first().file.name
    default_storage.delete(purged)
    other = empty_site("sqlite")
    other.environment["IMAGINEER_DATA_DIR"] = str(site.directory)
    result = other.manage("restore", str(tmp_path / "copy.tar"))
    assert "the database and 5 files" in result.stdout
    assert f"have gone since from where the pictures lie; the first is {purged}" in result.stderr
    with there(other):
        assert Image.objects.count() == 6


def test_a_copy_of_the_database_alone_does_not_take_the_place_of_a_backup_with_its_pictures(
    library, tmp_path
):
    library("sqlite")
    make_backup(tmp_path / "backup")
    with files_unchanged(tmp_path / "backup"), pytest.raises(BackupError, match="Name another place"):
        make_backup(tmp_path / "backup", is_listing_only=True)


def test_the_copy_of_a_library_in_a_bucket_lists_its_files_and_is_taken_back_beside_them(
    bucket,  # noqa: F811
    library,
    empty_site,
    tmp_path,
):
    library("sqlite")
    make_backup(tmp_path / "backup")
    default_storage.delete(Image.objects.first().file.name)
    report = make_backup(tmp_path / "backup")
    assert (report.is_listing_only, report.files, len(report.lost)) == (True, 6, 1)
    with the_database(empty_site("sqlite").environment["DATABASE_URL"]):
        assert restore_backup(tmp_path / "backup").lost == report.lost
        assert Image.objects.count() == 6


def test_a_backup_while_the_bucket_is_away_leaves_the_one_before(
    bucket,  # noqa: F811
    library,
    settings,
    tmp_path,
):
    library("sqlite")
    make_backup(tmp_path / "backup")
    away = settings.STORAGES["default"]
    wrong = away["OPTIONS"] | {"endpoint_url": "http://127.0.0.1:9"}
    settings.STORAGES = settings.STORAGES | {"default": away | {"OPTIONS": wrong}}
    before = (tmp_path / "backup" / "backup.json").read_bytes()
    with pytest.raises(BackupError, match=r"The bucket does not give .* The earlier backup is as it was"):
        make_backup(tmp_path / "backup")
    check_folder(tmp_path / "backup", is_copied=False)
    assert (tmp_path / "backup" / "backup.json").read_bytes() == before


def backups_under_load(count, library, empty_site, tmp_path, kind):
    library(kind)
    is_over, problems = threading.Event(), []

    def write():
        number = 100
        try:
            while not is_over.is_set():
                take_in([number])
                number += 1
                is_over.wait(0.1)  # the library grows for minutes, and each restore writes all of it
        except Exception as error:  # noqa: BLE001  told by the test, whatever it is
            problems.append(error)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(count):
            path = tmp_path / f"backup-{number}.tar"
            seen = Image.objects.count()
            call_command("backup", str(path), "--json", stdout=io.StringIO())
            other = empty_site(kind)
            restored(other, path)
            with there(other) as storage:
                pictures, _albums = contents(storage)
            assert len(pictures) >= seen
            assert all(is_whole for _name, _sha256, is_whole in pictures)
            path.unlink()
            wait_until(lambda seen=seen: Image.objects.count() > seen or problems, "the writer goes on")
    finally:
        is_over.set()
        writer.join()
    assert not problems


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_made_while_others_write_is_whole(kind, library, empty_site, tmp_path):
    backups_under_load(2, library, empty_site, tmp_path, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(300 + 90 * COUNT)
def test_many_backups_made_while_others_write_are_whole(kind, library, empty_site, tmp_path):
    backups_under_load(COUNT, library, empty_site, tmp_path, kind)
    print(f"R17: {COUNT} of {COUNT} backups under write load were whole, {kind}")


def test_a_second_backup_into_the_same_folder_copies_only_what_is_new(library, tmp_path):
    library("sqlite")
    first, second = io.StringIO(), io.StringIO()
    call_command("backup", str(tmp_path / "backup"), "--json", stdout=first)
    take_in([50])
    call_command("backup", str(tmp_path / "backup"), "--json", stdout=second)
    assert json.loads(first.getvalue())["copied"] == 6
    assert (json.loads(second.getvalue())["copied"], json.loads(second.getvalue())["files"]) == (1, 7)
    assert len(list((tmp_path / "backup").glob("database-*"))) == 1
    check = ["sha256sum", "--quiet", "-c", "files.txt"]
    assert subprocess.run(check, cwd=tmp_path / "backup").returncode == 0


def rot(path: Path) -> None:
    """One byte becomes another; the size stays."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_rots_in_the_backup_is_mended_by_the_next_one(library, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    picture = Image.objects.first()
    kept = tmp_path / "backup" / "media" / picture.file.name
    rot(kept)
    said = io.StringIO()
    call_command("backup", str(tmp_path / "backup"), stdout=said)
    assert "0 are new, 1 had changed there and were mended." in said.getvalue()
    assert sha256_of(kept) == picture.sha256


@pytest.mark.parametrize("spoil", [rot, lambda path: path.write_bytes(b"")])
def test_a_good_file_in_the_backup_outlives_the_librarys_own(spoil, library, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    picture = Image.objects.first()
    spoil(Path(default_storage.path(picture.file.name)))
    make_backup(tmp_path / "backup")
    assert sha256_of(tmp_path / "backup" / "media" / picture.file.name) == picture.sha256


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_of_two_backups_to_one_place_the_second_is_refused_and_loses_nothing(name, library, tmp_path):
    library("sqlite")
    path, refusals = tmp_path / name, []

    def meanwhile(done, total):
        with pytest.raises(BackupError, match="Another backup is being written to") as refusal:
            make_backup(path)
        refusals.append(refusal)

    assert make_backup(path, on_file=meanwhile).copied == len(refusals) == 6
    if path.suffix == ".tar":
        with tarfile.open(path) as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
        path = tmp_path / "unpacked"
    check_folder(path)
    assert make_backup(path).copied == 0


def check_folder(folder: Path, *, is_copied: bool = True) -> None:
    """What the manifest names is there, as it was written."""
    manifest = json.loads((folder / "backup.json").read_text())
    assert sha256_of(folder / manifest["database"]["file"]) == manifest["database"]["sha256"]
    assert sha256_of(folder / manifest["listing"]) == manifest["listing_sha256"]
    for listing in (manifest["listing"], "files.txt") * is_copied:
        assert subprocess.run(["sha256sum", "--quiet", "-c", listing], cwd=folder).returncode == 0


@contextmanager
def files_unchanged(folder: Path):
    def read():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = read()
    yield
    assert read() == before


def test_a_backup_while_the_disk_of_the_pictures_is_away_leaves_the_one_before(library, unmounted, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    sentence = (
        "empty although the library has pictures: .*/media. Is its disk mounted[?] The earlier backup is as"
    )
    for is_listing_only in (False, True):
        with files_unchanged(tmp_path / "backup"), unmounted(), pytest.raises(BackupError, match=sentence):
            make_backup(tmp_path / "backup", is_listing_only=is_listing_only)


def test_a_disk_that_goes_away_during_a_backup_leaves_the_one_before(library, unmounted, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    before = (tmp_path / "backup" / "backup.json").read_bytes()
    disk = unmounted()
    with pytest.raises(BackupError, match="Is its disk mounted"):
        make_backup(tmp_path / "backup", on_file=lambda done, total: done == 2 and disk.__enter__())
    disk.__exit__(None, None, None)
    check_folder(tmp_path / "backup")
    assert (tmp_path / "backup" / "backup.json").read_bytes() == before


def test_what_the_library_has_lost_comes_back_from_the_folder_that_still_holds_it(
    library, empty_site, tmp_path
):
    library("sqlite")
    before = contents()
    make_backup(tmp_path / "backup")
    lost = Image.objects.first().file.name
    default_storage.delete(lost)
    assert make_backup(tmp_path / "backup").lost == [lost]
    other = empty_site("sqlite")
    assert restored(other, tmp_path / "backup")["lost"] == []
    with there(other) as storage:
        assert contents(storage) == before


class WornFile(File):
    def read(self, size=-1):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class WornDisk(LibraryStorage):
    """A disk that gives one file no more."""

    bad_key = ""

    def _open(self, name, mode="rb"):
        file = super()._open(name, mode)
        return WornFile(file.file) if name == self.bad_key else file


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_an_original_that_cannot_be_read_is_named_and_the_rest_is_kept(
    name, library, settings, monkeypatch, elsewhere, tmp_path
):
    library("sqlite")
    bad = Image.objects.order_by("file")[2].file.name
    monkeypatch.setattr(WornDisk, "bad_key", bad)
    disk = settings.STORAGES["default"] | {"BACKEND": f"{__name__}.WornDisk"}
    settings.STORAGES = settings.STORAGES | {"default": disk}
    report = make_backup(tmp_path / name)
    assert (report.files, report.copied, report.lost, report.damaged) == (6, 5, [], [bad])
    monkeypatch.undo()
    with elsewhere():
        assert restore_backup(tmp_path / name).damaged == [bad]
        assert [is_right for _, _, is_right in contents_but(bad)] == [True] * 5


def contents_but(key: str) -> list:
    Image.objects.filter(file=key).delete()
    return contents()[0]


def test_a_backup_that_finds_no_room_for_its_copy_of_the_database_says_so(library, disk_that_holds, tmp_path):
    library("sqlite")
    with disk_that_holds(2**16), pytest.raises(BackupError, match="The database cannot be copied: d"):
        make_backup(tmp_path / "backup")


def test_a_backup_of_a_database_that_does_not_answer_says_so(library, tmp_path):
    library("sqlite")
    with (
        the_database("postgres://nobody@127.0.0.1:9/nothing"),
        pytest.raises(BackupError, match="The database cannot be copied: "),
    ):
        make_backup(tmp_path / "backup")


def test_a_database_whose_path_has_signs_of_an_address_is_copied(library, tmp_path):
    library("sqlite")
    connection.close()
    strange = tmp_path / "50%41 #1?mode=rw" / "imagineer.sqlite3"
    strange.parent.mkdir()
    shutil.copy(tmp_path / "site.sqlite3", strange)
    with the_database(f"sqlite:///{quote(str(strange))}"):
        assert Path(connection.settings_dict["NAME"]) == strange
        assert make_backup(tmp_path / "backup").files == 6


def test_a_backup_does_not_write_through_a_link_that_lies_at_its_temporary_name(library, tmp_path):
    library("sqlite")
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (tmp_path / ".part-backup.tar").symlink_to(precious)
    with pytest.raises(BackupError, match="cannot be written"):
        make_backup(tmp_path / "backup.tar")
    assert precious.read_bytes() == b"mine"


KILLED = """
import os, signal, sys
from pathlib import Path
import django
django.setup()
from imagineer.backup import make_backup
folder, doomed, rename = Path(sys.argv[1]), sys.argv[2], Path.replace
def replace(path, target):
    if Path(target).name.startswith(doomed):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
Path.replace = replace
make_backup(folder)
"""


def test_a_backup_that_is_killed_at_any_file_leaves_a_whole_one(library, empty_site, tmp_path):
    site = library("sqlite")
    folder = tmp_path / "backup"
    make_backup(folder)
    first = (folder / "backup.json").read_bytes()
    (new,) = take_in([50])
    for doomed in ("database-", new.sha256, "files-", "backup.json", "files.txt"):
        backup = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), doomed],
            cwd=ROOT,
            env=site.environment | {"TMPDIR": str(tmp_path)},
        )
        assert backup.returncode == -signal.SIGKILL
        check_folder(folder)
        if doomed == "backup.json":
            assert (folder / "backup.json").read_bytes() == first
            assert restored(empty_site("sqlite"), folder)["files"] == 6
    assert {path.parent for path in folder.rglob(".part-*")} > {folder}, "kill -9 has no handlers"
    make_backup(folder)
    assert not list(folder.rglob(".part-*"))
    assert len(list(folder.glob("database-*"))) == len(list(folder.glob("files-*"))) == 1
    assert len((folder / "files.txt").read_text().splitlines()) == 7


def test_a_backup_of_a_release_that_had_one_list_is_taken_back(library, empty_site, tmp_path):
    library("sqlite")
    folder = tmp_path / "backup"
    make_backup(folder)
    manifest = json.loads((folder / "backup.json").read_text())
    (folder / manifest.pop("listing")).unlink()
    (folder / "backup.json").write_text(json.dumps(manifest))
    assert restored(empty_site("sqlite"), folder)["files"] == 6


def test_sessions_stay_out_of_a_backup(library, tmp_path):
    library("sqlite")
    session = SessionStore()
    session["canary"] = "nobody else's"
    session.save()
    call_command("backup", str(tmp_path / "backup"), "--json", stdout=io.StringIO())
    (database,) = (tmp_path / "backup").glob("database-*")
    assert session.session_key.encode() not in database.read_bytes()
    assert sqlite3.connect(database).execute("SELECT count(*) FROM gallery_image").fetchone() == (6,)


def test_a_lost_and_a_damaged_file_are_named_and_the_rest_is_kept(library, empty_site, tmp_path):
    library("sqlite")
    lost, damaged = Image.objects.order_by("pk")[:2]
    default_storage.delete(lost.file.name)
    Path(default_storage.path(damaged.file.name)).write_bytes(b"no PNG")
    with pytest.raises(CommandError, match="1 files are lost and 1 damaged"):
        call_command("backup", str(tmp_path / "backup"), stdout=io.StringIO())
    other = empty_site("sqlite")
    result = other.manage("restore", str(tmp_path / "backup"))
    assert "2 files were lost or damaged before" in result.stderr
    with there(other):
        assert Image.objects.count() == 6


def test_a_restore_refuses_a_library_that_is_not_empty(library, tmp_path):
    site = library("sqlite")
    call_command("backup", str(tmp_path / "backup"), "--json", stdout=io.StringIO())
    result = site.manage("restore", str(tmp_path / "backup"))
    assert result.returncode == 1
    assert "The library here is not empty" in result.stderr
    assert Image.objects.count() == 6


@pytest.mark.parametrize(
    "work",
    [
        lambda: submit_items(1),
        lambda: create_album(name="Plans"),
        lambda: BatchTemplate.objects.create(name="Mine"),
        lambda: GenerationSession.objects.create(name="Looking"),
    ],
    ids=["order", "album", "template", "session"],
)
def test_a_restore_refuses_a_library_that_holds_but_somebodys_work(work, site_on, tmp_path):
    site_on("sqlite")
    make_backup(tmp_path / "backup")
    check_is_empty()
    work()
    with pytest.raises(BackupError, match="The library here is not empty"):
        restore_backup(tmp_path / "backup")


def test_a_new_library_with_the_sets_of_the_release_takes_a_backup(library, empty_site, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    other = empty_site("sqlite")
    for command in ("migrate", "seed_templates"):
        assert other.manage(command).returncode == 0
    assert restored(other, tmp_path / "backup")["files"] == 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_keeps_what_comes_into_the_library_meanwhile(kind, library, elsewhere, tmp_path):
    library(kind)
    make_backup(tmp_path / "backup")
    with elsewhere(kind):
        call_command("migrate", verbosity=0)

        def somebody_comes(done, total):
            assert is_held(), "nothing is swept before its row is there"
            if done == total:
                create_album(name="Plans")

        with pytest.raises(BackupError, match="The library here is not empty"):
            restore_backup(tmp_path / "backup", on_file=somebody_comes)
        assert [album.name for album in Album.objects.all()] == ["Plans"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_refuses_a_database_that_others_use(kind, library, elsewhere, tmp_path):
    library(kind)
    make_backup(tmp_path / "backup")
    with elsewhere(kind):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE customers (name text)")
        with pytest.raises(BackupError, match=r"none of ours \(customers\)"):
            restore_backup(tmp_path / "backup")
        assert "customers" in connection.introspection.table_names()


def scribble(path: Path, *, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"scribble" * 500)


@pytest.mark.parametrize("at", [0, 100])
def test_a_restore_refuses_a_database_that_it_cannot_read(at, library, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    connection.close()
    scribble(tmp_path / "site.sqlite3", at=at)
    before = sha256_of(tmp_path / "site.sqlite3")
    with pytest.raises(BackupError, match=r"The database here cannot be read .* so it may hold a library"):
        restore_backup(tmp_path / "backup")
    assert sha256_of(tmp_path / "site.sqlite3") == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_refuses_a_library_of_a_release_that_knew_less(kind, library, tmp_path):
    library(kind)
    make_backup(tmp_path / "backup")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_worker DROP COLUMN memory")
        cursor.execute("DROP TABLE templates_app_generationstep")
        cursor.execute("DROP TABLE templates_app_generationsession")
    with pytest.raises(BackupError, match="The library here is not empty"):
        restore_backup(tmp_path / "backup")


def test_a_restore_into_a_place_that_takes_no_files_blames_that_place(library, elsewhere, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    with elsewhere() as site:
        (site.directory / "media").write_bytes(b"in the way")
        with pytest.raises(BackupError, match="The library here cannot be written to: "):
            restore_backup(tmp_path / "backup")


def test_a_restore_without_room_for_the_database_blames_its_place(
    library, elsewhere, disk_that_holds, tmp_path
):
    library("sqlite")
    make_backup(tmp_path / "backup")
    with (
        elsewhere(),
        disk_that_holds(2**16),
        pytest.raises(BackupError, match=r"folder .* cannot be written to"),
    ):
        restore_backup(tmp_path / "backup")


def test_files_that_are_missing_from_a_backup_are_named_with_the_other_broken_ones(
    library, elsewhere, tmp_path
):
    library("sqlite")
    make_backup(tmp_path / "backup")
    missing, link, rotten = sorted((tmp_path / "backup" / "media").rglob("*.png"))[:3]
    missing.unlink()
    link.rename(tmp_path / "picture.png")
    link.symlink_to(tmp_path / "picture.png")
    rot(rotten)
    sentence = rf"3 of 6 files .*{missing.name} is missing; .*{link.name} cannot be read .*; .*{rotten.name} is damaged"
    with elsewhere(), pytest.raises(BackupError, match=sentence):
        restore_backup(tmp_path / "backup")


def break_a_picture(folder):
    next((folder / "media").rglob("*.png")).write_bytes(b"other bytes")


def break_the_listing(folder):
    next(folder.glob("files-*")).write_text("0" * 64 + "  media/../../outside\n")


def lose_the_manifest(folder):
    (folder / "backup.json").unlink()


def break_the_database(folder):
    (database,) = folder.glob("database-*")
    database.write_bytes(database.read_bytes()[:-4096])


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (break_a_picture, "the database was not touched: originals/"),
        (break_the_listing, "no whole backup"),
        (lose_the_manifest, "cannot be read as a backup"),
        (break_the_database, "The database in this backup is damaged"),
    ],
)
def test_a_backup_that_is_not_as_it_was_written_is_not_taken_back(
    break_it, sentence, library, empty_site, tmp_path
):
    library("sqlite")
    call_command("backup", str(tmp_path / "backup"), "--json", stdout=io.StringIO())
    break_it(tmp_path / "backup")
    other = empty_site("sqlite")
    result = other.manage("restore", str(tmp_path / "backup"))
    assert result.returncode == 1
    assert sentence in result.stderr
    assert not (other.directory.parent / "outside").exists()
    with closing(sqlite3.connect(other.directory / "imagineer.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_backup_of_another_kind_of_database_is_refused(library, empty_site, tmp_path):
    library("sqlite")
    call_command("backup", str(tmp_path / "backup"), "--json", stdout=io.StringIO())
    result = empty_site("postgresql").manage("restore", str(tmp_path / "backup"))
    assert "This is a backup of sqlite, and DATABASE_URL names postgresql" in result.stderr


def test_what_is_no_backup_is_neither_overwritten_nor_taken_back(library, empty_site, tmp_path):
    library("sqlite")
    folder = tmp_path / "holidays"
    folder.mkdir()
    (folder / "beach.jpg").write_bytes(b"mine")
    with pytest.raises(CommandError, match="holds other things"):
        call_command("backup", str(folder))
    link = tmp_path / "evil.tar"
    with tarfile.open(link, "w") as tar:
        member = tarfile.TarInfo("backup.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    assert "is no file" in empty_site("sqlite").manage("restore", str(link)).stderr


def put_a_pipe(manifest: Path):
    manifest.unlink()
    os.mkfifo(manifest)


def put_a_link(manifest: Path):
    manifest.symlink_to(manifest.rename(manifest.parent.parent / "outside.json"))


def make_it_huge(manifest: Path):
    os.truncate(manifest, 64 * 2**20 + 1)


def nest_it_deeply(manifest: Path):
    manifest.write_text("[" * 10**6)


def list_the_storage_itself(manifest: Path):
    described = json.loads(manifest.read_text())
    listing = manifest.parent / described["listing"]
    listing.write_text("0" * 64 + "  media/\n")
    manifest.write_text(json.dumps(described | {"listing_sha256": sha256_of(listing)}))


def name_a_number(manifest: Path):
    described = json.loads(manifest.read_text())
    described["database"]["file"] = 5
    manifest.write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (put_a_pipe, "cannot be read as a backup: .*no file"),
        (put_a_link, "cannot be read as a backup: .*link"),
        (make_it_huge, "has more than 64 MiB"),
        (nest_it_deeply, "no whole backup"),
        (list_the_storage_itself, "no whole backup"),
        (name_a_number, "no whole backup"),
    ],
)
def test_a_folder_that_somebody_has_prepared_is_refused(spoil, sentence, library, elsewhere, tmp_path):
    library("sqlite")
    make_backup(tmp_path / "backup")
    spoil(tmp_path / "backup" / "backup.json")
    with elsewhere(), pytest.raises(BackupError, match=sentence):
        restore_backup(tmp_path / "backup")


def test_an_archive_whose_member_claims_more_bytes_than_it_has_is_refused(site_on, tmp_path):
    site_on("sqlite")
    (tmp_path / "backup.json").touch()
    os.truncate(tmp_path / "backup.json", 3 * 2**30)
    subprocess.run(["tar", "--sparse", "-cf", "evil.tar", "backup.json"], cwd=tmp_path, check=True)
    assert (tmp_path / "evil.tar").stat().st_size < 2**16
    with pytest.raises(BackupError, match="no file"):
        restore_backup(tmp_path / "evil.tar")


@pytest.mark.timeout(60)
def test_an_archive_that_leads_round_in_circles_is_refused(site_on, tmp_path):
    site_on("sqlite")
    member = tarfile.TarInfo("backup.json")
    member.size = -tarfile.BLOCKSIZE
    (tmp_path / "evil.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(tarfile.RECORDSIZE))
    with pytest.raises(BackupError, match=r"cannot be read as a backup: .*negative"):
        restore_backup(tmp_path / "evil.tar")


def test_the_sweep_waits_while_files_are_copied(library, tmp_path):
    library("sqlite")
    image = Image.objects.first()
    key = image.file.name
    image.places.all().delete()
    image.delete()
    with hold_sweep():
        sweep(older_than=timedelta(0))
        assert default_storage.exists(key)
    sweep(older_than=timedelta(0))
    assert not default_storage.exists(key)
