"""Files without a row, and rows without a file or with another one than they had.

Nothing but the sweep here deletes files.

A file may be without a row because its writer died, or because its writer is still at work. Writers write even over
equal bytes, so a file that is about to get a row is young; only old ones are swept.
"""

import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from gallery.models import Image, Lora
from gallery.renditions import SPECS

logger = logging.getLogger(__name__)

OLD = timedelta(hours=1)
HOLD = "sweep-is-held"
SHARDS = tuple(f"{number:02x}" for number in range(256))
PARTS = 60  # the tick takes a part a minute, so that every file is looked at once an hour


@dataclass
class Findings:
    without_row: list[str] = field(default_factory=list)  # storage keys
    without_file: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)  # of another size than the row says


def find_orphans(shards: Iterable[str] = SHARDS, *, older_than: timedelta = OLD) -> Findings:
    """Look through the pictures whose hashes begin with these two digits; one shard is in memory at a time.

    :raises OSError: the place of the files is away, so nothing counts as lost.
    """
    findings = Findings()
    for shard in shards:
        # the files first: a row that appears in between is seen, and its file is not taken for an orphan
        sizes = {
            f"originals/{shard}/{folder}/{name}": size
            for folder in list_folder(f"originals/{shard}")[0]
            for name, size in default_storage.list_sizes(f"originals/{shard}/{folder}").items()
        }
        rendered = {
            f"renditions/{spec}/{shard}/{name}"
            for spec in SPECS
            for name in list_folder(f"renditions/{spec}/{shard}")[1]
        }
        rows = Image.objects.filter(sha256__gte=shard, sha256__lt=f"{shard}g")
        rows = set(rows.values_list("sha256", "file", "file_size"))
        known = {key for _, key, _ in rows}
        if lost := known - sizes.keys():
            default_storage.check_is_here()  # only now, so that a disk that went since then is seen
        findings.without_file += sorted(lost)
        findings.damaged += sorted({key for _, key, size in rows if sizes.get(key, size) != size})
        for sha256, *_ in rows:
            known.update(spec.key(sha256) for spec in SPECS.values())
        findings.without_row += [
            key for key in sorted((sizes.keys() | rendered) - known) if is_old(key, older_than)
        ]
    return findings


def find_lost_loras() -> list[str]:
    """Keys of LoRA files that have a row and are not there. LoRA files without a row are left alone: they are dear.

    :raises OSError: the place of the files is away, so nothing counts as lost.
    """
    lost = [key for key in Lora.objects.values_list("file", flat=True) if not default_storage.exists(key)]
    if lost:
        default_storage.check_is_here()
    return lost


def sweep(shards: Iterable[str] = SHARDS, *, older_than: timedelta = OLD) -> Findings:
    """Delete files without a row that are older than this, what killed writers left half-written too.

    Nothing while somebody copies files, and nothing on a database whose own pictures lie elsewhere.
    """
    if is_held() or not are_pictures_here():
        return Findings()
    findings = find_orphans(shards, older_than=older_than)
    old, findings.without_row = findings.without_row, []
    for key in old:
        # Since then somebody may have stored these very bytes again, which made the file young. Accepted: between this
        # look and the next line; `doctor` names such a row, and storing the picture once more mends it.
        if is_old(key, older_than):
            default_storage.delete(key)
            findings.without_row.append(key)
    if findings.without_row:
        logger.info("Swept %d files without a row.", len(findings.without_row))
    return findings


def are_pictures_here() -> bool:
    """Whether this database is that of the files: one that is new, or another library's, knows none of them.

    :raises OSError: the place of the files is away.
    """
    newest = Image.objects.order_by("-pk").values_list("file", flat=True)[:10]
    if any(default_storage.exists(key) for key in newest):
        return True
    default_storage.check_is_here()
    return False


@contextlib.contextmanager
def hold_sweep() -> Iterator[Callable[[], None]]:
    """Keep every file while somebody copies them; call what this gives at least once an hour, or the hold ends.

    A file beside the data, since whoever copies may be killed: then it grows old.
    """
    hold = Path(settings.DATA_DIR) / f"{HOLD}-{uuid.uuid4().hex}"
    hold.touch()
    try:
        yield hold.touch
    finally:
        hold.unlink(missing_ok=True)


def is_held() -> bool:
    oldest = (timezone.now() - OLD).timestamp()
    is_held = False
    for hold in Path(settings.DATA_DIR).glob(f"{HOLD}-*"):
        with contextlib.suppress(FileNotFoundError):
            if hold.stat().st_mtime >= oldest:
                is_held = True
            else:
                hold.unlink()
    return is_held


def sweep_part(minute: int | None = None) -> Findings:
    """The part of the sweep that this minute (since 1970) is for; for the tick.

    Nothing while the disk is away: `/api/health` says so already, and the log need not each minute.
    """
    try:
        default_storage.check_is_here()
    except OSError:
        return Findings()
    if minute is None:
        minute = int(timezone.now().timestamp() // 60)
    return sweep([shard for shard in SHARDS if int(shard, 16) % PARTS == minute % PARTS])


def list_folder(path: str) -> tuple[list[str], list[str]]:
    try:
        return default_storage.listdir(path)
    except FileNotFoundError:
        return [], []


def is_old(key: str, older_than: timedelta) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return timezone.now() - default_storage.get_modified_time(key) >= older_than
    return False
