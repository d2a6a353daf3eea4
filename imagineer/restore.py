"""A backup taken back (``imagineer.backup`` tells what is in one)."""

import hashlib
import json
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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
from gallery.storage import check_key
from imagineer.accounts.models import User
from imagineer.backup import (
    FORMAT,
    LISTING,
    MANIFEST,
    BackupError,
    Entry,
    Report,
    run_postgresql,
    write_whole,
)
from imagineer.jobs.models import Job, Worker
from templates_app.models import BatchTemplate, GenerationSession

AT_WORK = timedelta(minutes=1)  # a worker seen since then is alive
NAMED = 20  # files that a refusal names; more would hide the sentence


def restore_backup(path: Path, *, on_file=lambda done, total: None) -> Report:
    """Put a backup into an empty library: first the files, each checked against its hash, then the database.

    The database is touched only when every file is right, so a bad backup changes nothing that anybody sees.

    :raises BackupError: it is no whole backup, one of another database, or the library here is not empty.
    """
    with _open_backup(path) as read:
        manifest, entries = _read_manifest(path, read)
        # what stores the files asks the database whether the library is new
        if connection.vendor == "sqlite":
            Path(connection.settings_dict["NAME"]).parent.mkdir(parents=True, exist_ok=True)
        check_is_empty()
        report = Report(str(path), lost=manifest["lost"])
        broken = []
        for number, entry in enumerate(entries, 1):
            if entry.key not in report.lost:
                problem = _put_back(entry, read, is_copied=manifest["media"] == "copied")
                if problem and entry.key in manifest["damaged"]:  # in the library, before the backup was made
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
        with tempfile.TemporaryDirectory(prefix="imagineer-restore-") as scratch:
            copy = Path(scratch, "database")
            if write_whole(copy, read(manifest["database"]["file"])) != manifest["database"]["sha256"]:
                raise BackupError("The database in this backup is damaged. Take an earlier backup.")
            (_put_sqlite if connection.vendor == "sqlite" else _put_postgresql)(copy)
    call_command("migrate", interactive=False, verbosity=0)  # the backup may be of an earlier release
    Worker.objects.all().delete()  # they were of another day; their jobs go on from where they stood
    return report


def check_is_empty() -> None:
    """:raises BackupError: somebody works here, or there are pictures, people or orders here, or what somebody made."""
    try:
        tables = set(connection.introspection.table_names())
        # of a library of an earlier release: only columns that have been there from the first
        workers = Worker.objects.seen_since(timezone.now() - AT_WORK).only("queue", "host", "pid")
        worker = Worker._meta.db_table in tables and workers.first()
        has_rows = any(
            rows.model._meta.db_table in tables and rows.exists()
            for rows in (
                *(model.objects.all() for model in (Image, User, Job, Album, Lora, GenerationSession)),
                BatchTemplate.objects.filter(source_file=""),  # the others come back from the sets folder
            )
        )
    except (DatabaseError, InterfaceError) as error:
        raise BackupError(
            f"The database here cannot be read ({str(error).strip()}), so it may hold a library. Name an empty one."
        ) from error
    if worker:
        raise BackupError(f"{worker} is at work. Stop the workers and the web server, then try again.")
    if has_rows:
        raise BackupError(
            "The library here is not empty, and a restore would replace it. Restore with another "
            "IMAGINEER_DATA_DIR and DATABASE_URL, look at it, and then make them the real ones."
        )


@contextmanager
def _open_backup(path: Path) -> Iterator[Callable[[str], BinaryIO]]:
    """A function that opens a member by its name."""
    try:
        if path.is_dir():
            yield lambda name: (path / name).open("rb")
            return
        with tarfile.open(path, mode="r:") as tar:

            def read(name: str) -> BinaryIO:
                member = tar.extractfile(name) if tar.getmember(name).isreg() else None
                if member is None:
                    raise BackupError(f"{name} in {path} is no file.")
                return member

            yield read
    except (OSError, KeyError, tarfile.TarError) as error:
        raise BackupError(f"{path} cannot be read as a backup: {error}.") from error


def _read_manifest(path: Path, read) -> tuple[dict, list[Entry]]:
    try:
        with read(MANIFEST) as file:
            manifest = json.load(file)
        if manifest["format"] != FORMAT:
            raise BackupError(f"{path} is a backup of a newer release (format {manifest['format']}).")
        database = manifest["database"]
        listing_name = manifest.get("listing", LISTING)  # the only list of backups that name none
        check_key(listing_name)
        with read(listing_name) as file:
            listing = file.read()
        check_key(database["file"])
        entries = []
        for line in listing.decode().splitlines():
            sha256, name = line.split("  ", 1)
            entries.append(Entry(sha256, name.removeprefix("media/")))
            check_key(entries[-1].key)
        if hashlib.sha256(listing).hexdigest() != manifest["listing_sha256"]:
            raise BackupError(
                f"{listing_name} of this backup is not as it was written. Take an earlier backup."
            )
    except (ValueError, TypeError, KeyError, SuspiciousFileOperation) as error:
        raise BackupError(f"{path} is no whole backup: {MANIFEST} is missing or broken.") from error
    if database["vendor"] != connection.vendor:
        raise BackupError(
            f"This is a backup of {database['vendor']}, and DATABASE_URL names {connection.vendor}. "
            "Point DATABASE_URL at an empty database of the same kind."
        )
    return manifest, entries


def _put_back(entry: Entry, read, *, is_copied: bool) -> str:
    """What is wrong with the file, or "" when it is in the library."""
    if not is_copied:
        return "" if default_storage.exists(entry.key) else "is not where the pictures lie"
    with read(entry.name) as source:
        if hashlib.file_digest(source, "sha256").hexdigest() != entry.sha256:
            return "is damaged"
        source.seek(0)
        default_storage.save(entry.key, File(source, name=entry.key))
    return ""


def _put_sqlite(copy: Path) -> None:
    connection.close()
    database = Path(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(copy)) as saved, closing(sqlite3.connect(database, timeout=20)) as live:
        saved.backup(
            live
        )  # through SQLite itself, so whoever has it open sees the old or the new, never a mixture
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
