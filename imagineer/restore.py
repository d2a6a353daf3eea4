"""A backup taken back (``imagineer.backup`` tells what is in one)."""

import errno
import hashlib
import json
import os
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from gallery.models import Album, Image, Lora
from gallery.orphans import hold_sweep
from gallery.storage import check_key
from imagineer.accounts.models import User
from imagineer.backup import (
    FORMAT,
    LISTING,
    MANIFEST,
    BackupError,
    Entry,
    Report,
    UnreadableError,
    reading,
    run_postgresql,
    write_whole,
)
from imagineer.jobs.models import Job, Worker
from templates_app.models import BatchTemplate, GenerationSession
from templates_app.sets import load_sets

AT_WORK = timedelta(minutes=1)  # a worker seen since then is alive
NAMED = 20  # files that a refusal names; more would hide the sentence
MANIFEST_SIZE, LISTING_SIZE = 64 * 2**20, 512 * 2**20  # bytes; what is larger was not written by a backup
UNREADABLE = (OSError, tarfile.TarError)


def restore_backup(path: Path, *, on_file=lambda done, total: None) -> Report:
    """Put a backup into an empty library: first the files, each checked against its hash, then the database.

    The database is touched only when every file is right, so a bad backup changes nothing that anybody sees. What was
    lost or damaged before the backup was made is named in the report, where it is not whole in the backup after all;
    so is what has gone since from where the pictures of a copy of the database alone lie.

    :raises BackupError: it is no whole backup, one of another database, or the library here is not empty.
    """
    with ExitStack() as opened:
        read = opened.enter_context(_open_backup(path))
        manifest, entries = _read_manifest(path, read)
        # what stores the files asks the database whether the library is new
        if connection.vendor == "sqlite":
            with _writing_to("The library here"):
                Path(connection.settings_dict["NAME"]).parent.mkdir(parents=True, exist_ok=True)
        check_is_empty()
        report = Report(str(path))
        renew = opened.enter_context(hold_sweep())
        is_copied = manifest["media"] == "copied"
        lost, damaged, broken = set(manifest["lost"]), set(manifest["damaged"]), []
        for number, entry in enumerate(entries, 1):
            renew()
            problem = _put_back(entry, read) if is_copied else _look_for(entry)
            if problem and (entry.key in lost or not is_copied):
                report.lost.append(entry.key)
            elif problem and entry.key in damaged:
                report.damaged.append(entry.key)
            elif problem:
                broken.append(f"{entry.key} {problem}")
            report.files = number
            on_file(number, len(entries))
        if broken:
            raise BackupError(
                f"{len(broken)} of {len(entries)} files of this backup are not as they were, so the database was "
                f"not touched: {'; '.join(broken[:NAMED])}"
                f"{f'; and {len(broken) - NAMED} more' * (len(broken) > NAMED)}. Take an earlier backup, or make "
                "one more where the library still is: it mends these."
            )
        if not is_copied and len(report.lost) == len(entries) > len(lost):
            raise BackupError(
                "None of the pictures lies here; restore with the IMAGINEER_DATA_DIR that they are in."
            )
        _put_database(manifest["database"], read)
    call_command("migrate", interactive=False, verbosity=0)  # the backup may be of an earlier release
    Worker.objects.all().delete()  # they were of another day; their jobs go on from where they stood
    return report


def check_is_empty() -> None:
    """:raises BackupError: somebody works here, or there is something here that would be lost."""
    try:
        tables = set(connection.introspection.table_names())
        # of a library of an earlier release: only columns that have been there from the first
        workers = Worker.objects.seen_since(timezone.now() - AT_WORK).only("queue", "host", "pid")
        worker = Worker._meta.db_table in tables and workers.first()
        has_rows = any(
            rows.model._meta.db_table in tables and rows.exists()
            for rows in (
                *(model.objects.all() for model in (Image, User, Job, Album, Lora, GenerationSession)),
                # the others come back from the sets folder, or with the release
                BatchTemplate.objects.filter(source_file="").exclude(
                    name__in=[one.name for one in load_sets()]
                ),
            )
        )
    except (DatabaseError, InterfaceError) as error:
        raise BackupError(
            f"The database here cannot be read ({str(error).strip()}), so it may hold a library. Name an empty one."
        ) from error
    ours = {*connection.introspection.django_table_names(), "django_migrations", "cache"}
    if foreign := sorted(tables - ours):
        raise BackupError(
            f"The database here holds tables that are none of ours ({', '.join(foreign[:NAMED])}), and a restore would "
            "replace all of it. Name a database of its own."
        )
    if worker:
        raise BackupError(f"{worker} is at work. Stop the workers and the web server, then try again.")
    if has_rows:
        raise BackupError(
            "The library here is not empty, and a restore would replace it. Restore with another "
            "IMAGINEER_DATA_DIR and DATABASE_URL, look at it, and then make them the real ones."
        )


@contextmanager
def _open_backup(path: Path) -> Iterator[Callable[[str], BinaryIO]]:
    """A function that opens a member by its name; it raises OSError where there is none, or no file."""
    with ExitStack() as opened:
        try:
            if path.is_dir():
                members = None
            else:
                tar = opened.enter_context(tarfile.open(path, mode="r:"))
                members = {}
                for member in tar:
                    if member.size < 0:  # it would lead back to the members before it, for ever
                        raise tarfile.ReadError(f"{member.name} claims a negative size")
                    members[member.name] = member
        except (*UNREADABLE, ValueError, OverflowError) as error:
            raise BackupError(f"{path} cannot be read as a backup: {error}.") from error

        def read(name: str) -> BinaryIO:
            if members is None:
                return _open_file(path / name)
            if name not in members:
                raise FileNotFoundError(errno.ENOENT, "It is not in the archive", name)
            # a sparse one may claim to be larger than any disk
            if not members[name].isreg() or members[name].issparse():
                raise OSError(errno.EINVAL, "It is no file", name)
            return tar.extractfile(members[name])

        yield read


def _open_file(path: Path) -> BinaryIO:
    """A regular file; a pipe would be waited for, and a link followed to what is none of ours."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is no file", str(path))
    return os.fdopen(descriptor, "rb")


def _read_manifest(path: Path, read) -> tuple[dict, list[Entry]]:
    try:
        manifest = json.loads(_read_bounded(read, MANIFEST, MANIFEST_SIZE))
        if manifest["format"] != FORMAT:
            raise BackupError(f"{path} is a backup of a newer release (format {manifest['format']}).")
        database = manifest["database"]
        listing_name = manifest.get("listing", LISTING)  # the only list of backups that name none
        texts = (manifest["media"], listing_name, database["vendor"], database["file"], database["sha256"])
        if not all(isinstance(text, str) for text in (*texts, *manifest["lost"], *manifest["damaged"])):
            raise TypeError(texts)
        check_key(listing_name)
        check_key(database["file"])
        listing = _read_bounded(read, listing_name, LISTING_SIZE)
        entries = []
        for line in listing.decode().splitlines():
            sha256, name = line.split("  ", 1)
            entries.append(Entry(sha256, name.removeprefix("media/")))
            check_key(entries[-1].key)
            if not entries[-1].key:  # the storage itself
                raise ValueError(line)
        if hashlib.sha256(listing).hexdigest() != manifest["listing_sha256"]:
            raise BackupError(
                f"{listing_name} of this backup is not as it was written. Take an earlier backup."
            )
    except UNREADABLE as error:
        raise BackupError(f"{path} cannot be read as a backup: {error}.") from error
    except (ValueError, TypeError, KeyError, RecursionError, SuspiciousFileOperation) as error:
        raise BackupError(f"{path} is no whole backup: {MANIFEST} is missing or broken.") from error
    if database["vendor"] != connection.vendor:
        raise BackupError(
            f"This is a backup of {database['vendor']}, and DATABASE_URL names {connection.vendor}. "
            "Point DATABASE_URL at an empty database of the same kind."
        )
    return manifest, entries


def _read_bounded(read, name: str, size: int) -> bytes:
    with read(name) as file:
        content = file.read(size + 1)
    if len(content) > size:
        raise BackupError(f"{name} of this backup has more than {size // 2**20} MiB, so it is none of ours.")
    return content


def _look_for(entry: Entry) -> str:
    """What is wrong with a file that the backup has but listed, or "" where it lies here."""
    try:
        return "" if default_storage.exists(entry.key) else "is gone"
    except OSError as error:
        raise BackupError(f"The place where the pictures lie does not answer: {error}.") from error


def _put_back(entry: Entry, read) -> str:
    """What is wrong with the file, or "" when it is in the library."""
    try:
        with read(entry.name) as source:
            if hashlib.file_digest(source, "sha256").hexdigest() != entry.sha256:
                return "is damaged"
            source.seek(0)
            with _writing_to("The library here"):
                default_storage.save(entry.key, File(source, name=entry.key))
    except FileNotFoundError:
        return "is missing"
    except UNREADABLE as error:
        return f"cannot be read ({error})"
    return ""


@contextmanager
def _writing_to(place: str):
    try:
        yield
    except (OSError, sqlite3.Error, DatabaseError, InterfaceError) as error:
        raise BackupError(f"{place} cannot be written to: {str(error).strip()}.") from error


def _put_database(database: dict, read) -> None:
    with (
        _writing_to(f"The scratch folder {tempfile.gettempdir()}"),
        tempfile.TemporaryDirectory(prefix="imagineer-restore-") as scratch,
    ):
        copy = Path(scratch, "database")
        try:
            with reading():
                source = read(database["file"])
            with source:
                sha256 = write_whole(copy, source)
        except UnreadableError as error:
            raise BackupError(
                f"The database in this backup cannot be read: {error}. Take an earlier backup."
            ) from error
        if sha256 != database["sha256"]:
            raise BackupError("The database in this backup is damaged. Take an earlier backup.")
        check_is_empty()  # again: the files may have taken hours, and somebody may have begun to work here
        with _writing_to("The database here"):
            (_put_sqlite if connection.vendor == "sqlite" else _put_postgresql)(copy)


def _put_sqlite(copy: Path) -> None:
    connection.close()
    database = Path(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(copy)) as saved, closing(sqlite3.connect(database, timeout=20)) as live:
        # through SQLite itself, so whoever has it open sees the old or the new, never a mixture
        saved.backup(live)
    connection.close()


def _put_postgresql(copy: Path) -> None:
    with connection.cursor() as cursor:  # only tables that hold nobody's work are here: see check_is_empty()
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    connection.close()
    run_postgresql(
        "pg_restore",
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        "--single-transaction",
        f"--dbname={connection.settings_dict['NAME']}",
        str(copy),
    )
