import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage, default_storage
from django.utils.deconstruct import deconstructible

TEMPORARY_PREFIX = ".part-"


class ExactKeys:
    """A file lies under exactly the key that was asked for: Django would rename a second one."""

    def get_available_name(self, name, max_length=None):
        if not name or (max_length and len(name) > max_length):
            raise SuspiciousFileOperation(f"A storage key has 1 to {max_length} characters, not {len(name)}.")
        return name


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


def local_path(key: str) -> str:
    """Where the stored file lies on this machine; out of a bucket it is fetched the first time.

    :param key: made from the content, as that of LoRAs, so that a copy never grows old.
    :raises FileNotFoundError: it is not there.
    """
    try:
        return default_storage.path(key)
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
