import errno
import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.clusters import (  # noqa: F401  fixtures
    do_without,
    migrated_postgres,
    migrated_sqlite,
    postgres,
    redis_server,
    site,
    site_on,
)


@pytest.fixture(autouse=True)
def a_library_of_its_own(settings, tmp_path):
    """Every test writes its pictures into a directory of its own."""
    from django.core.files.storage import storages

    settings.DATA_DIR = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "media"}}
    }
    storages._storages.clear()


@pytest.fixture
def unmounted(tmp_path):
    """``with unmounted() as left:`` what is left of the pictures' disk while it is away is an empty folder."""

    @contextmanager
    def unmounted():
        media, elsewhere = tmp_path / "media", tmp_path / "elsewhere"
        media.rename(elsewhere)
        media.mkdir()
        yield media
        media.rmdir()  # fails where something was put
        elsewhere.rename(media)

    return unmounted


@pytest.fixture
def locked(tmp_path):
    """``with locked():`` nothing can be put among the pictures; even root is refused."""

    @contextmanager
    def locked():
        originals = tmp_path / "media" / "originals"
        assert originals.is_dir(), "there is something to lock"
        shutil.which("chattr") or do_without("locking a folder needs chattr")
        if subprocess.run(["chattr", "-R", "+i", originals], capture_output=True, check=False).returncode:
            do_without("locking a folder needs root and a file system that knows of it")
        try:
            yield
        finally:
            subprocess.run(["chattr", "-R", "-i", originals], check=True)

    return locked


@pytest.fixture
def full_disk(tmp_path):
    """The library on a disk of its own in memory, filled by the one file that this is; without it there is 1 MiB."""
    media = tmp_path / "media"
    media.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", media]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        do_without("mounting a small disk needs root")
    filler = media / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(b"x" * 2**21)
    yield filler
    subprocess.run(["umount", media], check=True)


@pytest.fixture
def disk_that_holds():
    """A disk on which no file of this process grows beyond so many bytes: the system refuses it, as a full one does."""

    @contextmanager
    def disk_that_holds(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return disk_that_holds


@pytest.fixture
def beside():
    """``with beside(act, at=words) as answers:`` somebody else begins to act at the first statement with these words.

    What they do goes on beside the block and has ended with it; ``answers`` then holds what they got, or the error.
    """
    from django.db import connection

    @contextmanager
    def beside(act, *, at):
        answers = []

        def do():
            try:
                answers.append(act())
            except Exception as error:  # noqa: BLE001
                answers.append(error)
            finally:
                connection.close()

        other = Thread(target=do)

        def watch(execute, sql, *arguments):
            if at in sql and not other.ident:
                other.start()
                other.join(0.5)  # as far as it comes
            return execute(sql, *arguments)

        with connection.execute_wrapper(watch):
            yield answers
        assert other.ident, f"a statement has {at!r}"
        other.join(60)

    return beside


@pytest.fixture
def cut_off(monkeypatch):
    """``cut_off(folder)``: as a share whose server is gone, it is there and nothing can be asked of it."""

    def cut_off(folder):
        def refuse(function):
            def ask(path, *args, **kwargs):
                if isinstance(path, (str, os.PathLike)) and Path(path).is_relative_to(folder):
                    raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(path))
                return function(path, *args, **kwargs)

            return ask

        for name in ("stat", "listdir", "scandir"):
            monkeypatch.setattr(os, name, refuse(getattr(os, name)))

    return cut_off


@pytest.fixture
def as_nobody():
    """``with as_nobody():`` this process has no rights, as one of another user; somebody else's files are shut."""

    @contextmanager
    def as_nobody():
        if os.geteuid():
            do_without("becoming somebody else needs root")
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return as_nobody


@pytest.fixture
def ada(db):
    """An admin."""
    from imagineer.accounts.services import make_admin

    return make_admin("ada@example.org")


@pytest.fixture
def stranger(db):
    """Somebody signed in who is no admin."""
    from imagineer.accounts.models import User

    return User.objects.create_user("stranger@example.org", "a stranger's passphrase")


@pytest.fixture
def api(db):
    """A program without a token."""
    from rest_framework.test import APIClient

    return APIClient()


@pytest.fixture
def admin_api(ada):
    """A program with an admin's token."""
    from rest_framework.test import APIClient

    from imagineer.accounts.services import create_api_token

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {create_api_token(ada)[1]}")
    return client


@pytest.fixture(scope="session")
def starter():
    """The committed starter model, through the loading code that everybody uses."""
    import torch
    from diffusers import StableDiffusionPipeline

    from imagineer.starter_model import STARTER_MODEL_PATH

    torch.set_num_threads(1)
    pipeline = StableDiffusionPipeline.from_pretrained(STARTER_MODEL_PATH, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A diffusers folder with random weights: real code, small numbers."""
    from tests.imagineer.engine.tiny_model import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def tiny(settings, tiny_folder):
    """The tiny model is what IMAGINEER_MODEL names."""
    from imagineer.engine import warm

    settings.MODEL = str(tiny_folder)
    yield tiny_folder
    warm.release_engine()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What the clusters said, beside the failure of a test that started some."""
    report = yield
    if report.failed and hasattr(item, "site"):
        report.sections.append(("clusters", item.site.logs))
    return report
