import json
import os
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from gallery.models import Image, Lora
from gallery.orphans import PARTS, SHARDS, find_lost_loras, find_orphans, sweep, sweep_part
from gallery.renditions import FULL, GRID, open_rendition
from gallery.services import trash_image

pytestmark = pytest.mark.django_db


def age(key, **by):
    then = time.time() - timedelta(**by).total_seconds()
    os.utime(default_storage.path(key), (then, then))


def orphan(key="originals/ab/cd/abcd00.png", **by):
    default_storage.save(key, ContentFile(b"x"))
    age(key, **by)
    return key


def test_old_files_without_a_row_are_swept_and_young_ones_are_not(take_in):
    image = take_in()
    for spec in (GRID, FULL):
        open_rendition(image, spec.name)
        age(spec.key(image.sha256), hours=50)
    age(image.file.name, hours=50)
    old = [
        orphan(hours=2),
        orphan("renditions/grid/ab/abcd00.webp", hours=2),
        orphan("renditions/full/ab/abcd00.webp", hours=2),
        orphan("originals/ab/cd/.part-x8s7f6", hours=2),
        orphan("renditions/large/00/.part-x8s7f6", hours=2),
    ]
    young = [orphan("originals/ab/cd/abcd01.png", minutes=55), orphan("originals/ab/cd/.part-y", minutes=1)]
    assert sorted(sweep().without_row) == sorted(old)
    assert not any(default_storage.exists(key) for key in old)
    assert all(default_storage.exists(key) for key in young)
    assert default_storage.exists(image.file.name) and default_storage.exists(GRID.key(image.sha256))
    assert sweep().without_row == []


def test_a_database_whose_pictures_lie_elsewhere_deletes_nothing(take_in):
    """A new one, or another library's, beside the files of this one."""
    orphan_key = orphan(hours=2)
    assert sweep().without_row == []
    image = take_in()
    default_storage.delete(image.file.name)
    assert sweep().without_row == []
    with pytest.raises(CommandError, match="may be another library's"):
        call_command("find_orphans", fix=True)
    assert default_storage.exists(orphan_key)


def test_a_file_that_is_stored_again_while_the_sweep_looks_stays(take_in):
    take_in()
    key = orphan(hours=2)

    def shards():
        yield "ab"
        default_storage.save(key, ContentFile(b"x"))

    assert sweep(shards()).without_row == []
    assert default_storage.exists(key)


def test_looking_deletes_nothing():
    key = orphan(hours=2)
    assert find_orphans().without_row == [key]
    assert default_storage.exists(key)


def test_a_file_is_kept_while_any_row_names_it(take_in):
    first, second = (take_in(1, source_type="batch_generation") for _ in range(2))
    age(first.file.name, hours=2)
    first.delete()
    assert sweep().without_row == []
    trash_image(second)
    assert sweep().without_row == []
    second.delete()
    take_in(2)
    age(GRID.key(second.sha256), hours=2)
    assert sorted(sweep().without_row) == sorted([second.file.name, GRID.key(second.sha256)])


def test_a_writer_that_is_about_to_add_its_row_loses_nothing(take_in):
    """The same bytes lay there as an old orphan: storing them again makes them young."""
    image = take_in()
    Image.objects.all().delete()
    age(image.file.name, hours=9)
    from gallery.ingest import create_image, prepare_image
    from tests.gallery.pictures import png

    prepared = prepare_image(png(1))
    sweep()
    again = create_image(prepared, source_type="manual")
    assert again.file.read()


def test_rows_that_have_lost_their_file_are_named(take_in):
    image = take_in()
    default_storage.delete(image.file.name)
    Lora.objects.create(name="glass", file="loras/glass.safetensors", sha256="0" * 64, family="sd15")
    assert find_orphans().without_file == [image.file.name]


def test_files_that_are_not_as_long_as_their_rows_say_are_named(take_in, capsys):
    whole, empty, short = (take_in(number) for number in range(3))
    for image, size in ((empty, 0), (short, short.file_size - 1)):
        os.truncate(default_storage.path(image.file.name), size)
    damaged = sorted([empty.file.name, short.file.name])
    findings = find_orphans()
    assert sorted(findings.damaged) == damaged and findings.without_file == findings.without_row == []
    with pytest.raises(SystemExit) as end:
        call_command("find_orphans", json=True)
    assert end.value.code == 1 and json.loads(capsys.readouterr().out)["damaged"] == findings.damaged
    with pytest.raises(SystemExit):
        call_command("find_orphans")
    told = capsys.readouterr()
    assert f"damaged: {empty.file.name}" in told.out and "Every file" not in told.out
    assert "of 2 are damaged" in told.err and whole.file.name not in told.out


def test_an_hour_of_ticks_looks_at_every_file(take_in):
    take_in()
    keys = [orphan(f"originals/{shard}/00/{shard}00.png", hours=9) for shard in SHARDS[::17]]
    this_minute = int(time.time() // 60)
    swept = [key for minute in range(PARTS) for key in sweep_part(this_minute + minute).without_row]
    assert sorted(swept) == sorted(keys)


def test_the_command_tells_and_mends(take_in, capsys):
    image, key = take_in(), orphan(hours=2)
    call_command("find_orphans", json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {"without_row": [key], "deleted": 0, "without_file": [], "damaged": []}
    call_command("find_orphans", fix=True)
    assert f"deleted: {key}" in capsys.readouterr().out
    call_command("find_orphans")
    assert "Every file has its row" in capsys.readouterr().out
    default_storage.delete(image.file.name)
    with pytest.raises(SystemExit) as end:
        call_command("find_orphans")
    assert end.value.code == 1 and f"lost: {image.file.name}" in capsys.readouterr().out


# ---- A disk that is away


def test_while_the_disk_is_away_nothing_counts_as_lost(take_in, unmounted):
    take_in()
    default_storage.save("loras/glass.safetensors", ContentFile(b"x"))
    Lora.objects.create(name="glass", file="loras/glass.safetensors", sha256="0" * 64, family="sd15")
    with unmounted():
        for look in (find_orphans, find_lost_loras, sweep):
            with pytest.raises(OSError, match="although the library has pictures"):
                look()
        for command in ({}, {"fix": True}, {"json": True}):
            with pytest.raises(CommandError, match="Is its disk mounted"):
                call_command("find_orphans", **command)
    assert find_orphans().without_file == find_lost_loras() == []


def test_a_disk_that_goes_while_it_is_looked_through_is_seen(take_in, unmounted):
    """It goes between the look at the files and the look at their rows."""
    take_in()
    with ExitStack() as stack:

        def pull_out(execute, *arguments):
            if default_storage.exists("originals"):
                stack.enter_context(unmounted())
            return execute(*arguments)

        with connection.execute_wrapper(pull_out), pytest.raises(OSError, match="has pictures"):
            find_orphans()
    assert find_orphans().without_file == []


def test_while_the_disk_is_away_the_tick_sweeps_nothing_and_does_not_fail(take_in, unmounted):
    take_in()
    key = orphan(hours=2)
    with unmounted():
        assert [sweep_part(minute).without_row for minute in range(PARTS)] == [[]] * PARTS
    assert [key for minute in range(PARTS) for key in sweep_part(minute).without_row] == [key]


def test_what_the_library_did_not_put_there_is_left_alone():
    key = orphan("loras/dear.safetensors", hours=900)
    other = orphan("something/else.txt", hours=900)
    sweep()
    assert default_storage.exists(key) and default_storage.exists(other)
