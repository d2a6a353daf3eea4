import contextlib
import errno
import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import DatabaseError
from django.utils.deconstruct import deconstructible

from gallery.models import Image
from imagineer.outages import NO_TABLE, find_outage

TEMPORARY_PREFIX = ".part-"


class ExactKeys:
    """A file lies under exactly the key that was asked for: Django would rename a second one."""

    def get_available_name(self, name, max_length=None):
        if not name or (max_length and len(name) > max_length):
            raise SuspiciousFileOperation(f"A storage key has 1 to {max_length} characters, not {len(name)}.")
        return name

    def check_is_here(self) -> None:
        """:raises OSError: the place is away. A bucket says so by itself."""


@deconstructible(path="gallery.storage.ContentStorage")
class ContentStorage(ExactKeys, FileSystemStorage):
    """Files under keys that are made from their content.

    Django's own storage renames a second file of the same name and overwrites in place, so that a reader may see
    half of it. Here a file appears whole under exactly the key that was asked for, or not at all. It is written
    even where equal bytes lie already: so its age is true, and the sweeper leaves it alone until its row is there.
    """

    def path(self, name):
        check_key(name)
        return super().path(name)

    def list_sizes(self, name) -> dict[str, int]:
        """The files of a folder with their bytes."""
        sizes = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path(name)) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # swept since the folder was read
                    if not entry.is_dir():
                        sizes[entry.name] = entry.stat().st_size
        return sizes

    def _save(self, name, content):
        target = Path(self.path(name))
        made = make_directories(target.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=target.parent)
        temporary = Path(temporary)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                os.fchmod(file.fileno(), self.file_permissions_mode or 0o644)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for directory in made:
            sync_directory(directory)
        return name


@deconstructible(path="gallery.storage.LibraryStorage")
class LibraryStorage(ContentStorage):
    """The library's own files, on a disk that may be away.

    What is left of a disk that is not mounted is an empty folder. Whatever were stored there would be hidden as soon
    as the disk is back, and what is missing there is not lost.
    """

    def _save(self, name, content):
        self.check_is_here()
        return super()._save(name, content)

    def _open(self, name, mode="rb"):
        try:
            return super()._open(name, mode)
        except FileNotFoundError:
            self.check_is_here()
            raise

    def size(self, name):
        try:
            return super().size(name)
        except FileNotFoundError:
            self.check_is_here()
            raise

    def check_is_here(self) -> None:
        """:raises OSError: there are pictures, and no folder of theirs: one that jobs wait for."""
        originals = Path(self.location, "originals")
        # Looked for again last: the library's first picture may have come in between.
        if not originals.is_dir() and has_pictures() and not originals.is_dir():
            raise OSError(
                errno.ENODEV, "The folder of the pictures is empty although the library has pictures"
            )


def has_pictures() -> bool:
    try:
        return Image.objects.exists()
    except DatabaseError as error:
        if NO_TABLE in str(error) or not find_outage(error):
            return False  # no tables yet: a restore puts the files first
        raise


def open_whole(key: str, size: int | None = None) -> File:
    """The stored file, of so many bytes; where nobody knows how many, of any at all.

    :raises FileNotFoundError: it is lost or damaged.
    """
    file = default_storage.open(key)
    if has_size(file.size, size):
        return file
    file.close()
    raise FileNotFoundError(errno.ENOENT, f"It has {file.size} bytes, not as many as it had", key)


def is_whole(key: str, size: int | None = None) -> bool:
    """Whether :func:`open_whole` would open it."""
    try:
        return has_size(default_storage.size(key), size)
    except FileNotFoundError:
        return False


def has_size(found: int, size: int | None) -> bool:
    return found == size if size is not None else found > 0


def local_path(key: str) -> str:
    """Where the stored file lies on this machine; out of a bucket it is fetched the first time.

    :param key: made from the content, as that of LoRAs, so that a copy never grows old.
    :raises FileNotFoundError: it is not there.
    :raises OSError: the disk is away.
    """
    try:
        path = default_storage.path(key)
        if not Path(path).exists():
            default_storage.check_is_here()
        return path
    except NotImplementedError:  # not a disk
        copies = ContentStorage(location=settings.DATA_DIR / "cache")
        if not copies.exists(key):
            with default_storage.open(key) as file:
                copies.save(key, file)
        return copies.path(key)


def check_key(name: str) -> None:
    """Refuse keys that leave the storage. An empty key names the storage itself.

    :raises SuspiciousFileOperation: absolute, with a NUL or a backslash, or with an empty, ``.`` or ``..`` part.
    """
    parts = str(name).split("/") if name else []
    if any(part in {"", ".", ".."} or "\0" in part or "\\" in part for part in parts):
        raise SuspiciousFileOperation(f"{name!r} is no storage key.")


def make_directories(path: Path) -> list[Path]:
    """Make the directory; return those, deepest first, whose entries have to reach the disk for a new file to last."""
    to_sync = [path]
    while not path.exists():
        path = path.parent
        to_sync.append(path)
    to_sync[0].mkdir(parents=True, exist_ok=True)
    return to_sync


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
