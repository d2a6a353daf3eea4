"""What ``/api/health`` and ``manage.py doctor`` say in every state that the house can be in, and what to do."""

import json
import os
import shutil
import sqlite3
from collections import namedtuple
from contextlib import closing, contextmanager, suppress

import pytest
from django.core.files.storage import default_storage, storages
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection
from django.utils.functional import empty

from gallery.ingest import ingest_image
from gallery.models import DiffusionModel
from imagineer.jobs import doorbell
from imagineer.jobs import health as work
from imagineer.jobs.models import Worker
from imagineer.starter_model import STARTER_MODEL_PATH
from tests.gallery.pictures import png

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def workers(db):
    """Both queues have one, and it has just given a sign of life."""
    for queue in doorbell.QUEUES:
        Worker.objects.create(host="h", queue=queue, pid=1, boot="b", process_started=1.0)


@pytest.fixture
def health(client):
    def health():
        response = client.get("/api/health")
        return response.status_code, response.json()

    return health


@pytest.fixture
def doctor(capsys):
    """The checks that found something: their names and what they say."""

    def doctor():
        with suppress(CommandError):
            call_command("doctor", "--json")
        return {
            check["name"]: check["message"]
            for check in json.loads(capsys.readouterr().out)["checks"]
            if not check["ok"]
        }

    return doctor


@pytest.fixture
def disks(monkeypatch):
    """``disks[place]`` is how many bytes are free there: the measuring is the system's, the judging ours."""
    free = {}
    measure = shutil.disk_usage

    def usage(place):
        real = measure(place)
        return Usage(real.total, real.used, free.get(str(place), 50 * 2**30))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return free


def test_all_is_well(workers, health, doctor, disks, tiny):
    assert doctor() == {}
    code, told = health()
    assert (code, told["status"], told["problems"]) == (200, "ok", [])


def test_pictures_whose_files_are_not_as_they_were_stored(workers, doctor, disks, tiny):
    image = ingest_image(png(1), source_type="manual").image
    os.truncate(image.file.path, 0)
    assert doctor() == {
        "orphans": "0 files have no row, 0 rows no file and 1 a damaged one; `manage.py find_orphans` names them."
    }


# ---- The database


@contextmanager
def database_away(error):
    def away(*_):
        raise error

    with connection.execute_wrapper(away):
        yield


@pytest.mark.parametrize(
    "error", [OperationalError("refused by db.internal"), InterfaceError("connection already closed")]
)
def test_a_database_that_is_away(workers, health, doctor, error):
    with database_away(error):
        code, told = health()
        names = doctor()
    assert (code, told["status"], told["database"]) == (503, "unavailable", work.DATABASE_AWAY)
    assert told["problems"][0].startswith("The database does not answer. Is it running")
    assert "db.internal" not in str(told)
    assert (
        names["database"].startswith("The database does not answer.") and "DATABASE_URL" in names["database"]
    )


def test_a_database_that_another_program_has_locked(site, client, monkeypatch):
    """Pages are read, so it is no outage of the site; a worker that shows life proves that it can be written."""
    monkeypatch.setattr(work, "LOCK_PATIENCE", 0.1)
    path = connection.settings_dict["NAME"]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = client.get("/api/health").json()
        answer = json.loads(site.manage("doctor", "--json").stdout)
        other.execute("ROLLBACK")
    assert told["status"] == "degraded"
    assert "can be read and not written to (database is locked)" in told["database"]
    assert "End the program that holds it" in told["problems"][0]
    [database] = [check for check in answer["checks"] if check["name"] == "database"]
    assert not database["ok"] and "not written to" in database["message"]
    assert client.get("/api/health").json()["database"] == "ok"


# ---- The broker


def test_a_broker_that_is_away(site_on, redis_server, client):
    site = site_on("redis")
    redis_server.stop()
    told = client.get("/api/health").json()
    answer = json.loads(site.manage("doctor", "--json").stdout)
    redis_server.start()
    assert told["status"] == "degraded"
    assert told["problems"][0].startswith("The broker (REDIS_URL) does not answer. Jobs that run go on")
    [broker] = [check for check in answer["checks"] if check["name"] == "broker"]
    assert broker["message"] == told["problems"][0]
    assert "broker" not in str(client.get("/api/health").json()["problems"])


def test_a_broker_that_takes_connections_and_says_nothing_holds_nobody(site_on, redis_server):
    """As one behind a broken network; without a limit whoever rings would wait for ever."""
    site = site_on("redis")
    redis_server.freeze()
    answer = json.loads(site.manage("doctor", "--json").stdout)
    redis_server.thaw()
    [broker] = [check for check in answer["checks"] if check["name"] == "broker"]
    assert broker["message"].startswith("The broker (REDIS_URL) does not answer.")


# ---- Disks


@pytest.mark.parametrize(
    ("what", "word"), [("pictures", "jobs wait"), ("database", "jobs wait"), ("log", "no log is kept")]
)
def test_a_full_disk(workers, health, doctor, disks, settings, tmp_path, what, word):
    places = {"pictures": tmp_path, "database": tmp_path / "rows", "log": tmp_path / "logs"}
    for place in places.values():
        place.mkdir(exist_ok=True)
    settings.IS_SQLITE = True
    settings.DATABASES = {"default": {"NAME": str(places["database"] / "rows.sqlite3")}}
    settings.LOG_FILE = str(places["log"] / "imagineer.log")
    disks[str(places[what])] = 2**20
    code, told = health()
    assert (code, told["status"]) == (200, "degraded")
    [problem] = told["problems"]
    assert problem.startswith(f"The disk of the {what} is full, or nearly: ")
    assert word in problem and "Make room" in problem
    assert str(tmp_path) not in problem, "everybody may read it"
    assert doctor()["disk"] == problem


def test_a_disk_that_is_not_there(workers, health, disks, settings, tmp_path):
    settings.DATA_DIR = tmp_path / "unmounted"
    assert health()[1]["problems"] == ["The folder of the data cannot be found. Is its disk mounted?"]


def test_a_full_disk_is_that_of_the_pictures_only_where_they_lie_on_it(workers, health, disks, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    for place, name in ((media, "pictures"), (tmp_path, "data")):
        disks[str(place)] = 2**20
        [problem] = health()[1]["problems"]
        assert problem.startswith(f"The disk of the {name} is full")
        del disks[str(place)]


@pytest.fixture
def bucket(settings):
    """One that does not answer."""
    options = {"bucket_name": "pictures", "endpoint_url": "http://127.0.0.1:9", "location": ""}
    options |= {"access_key": "a", "secret_key": "s"}
    settings.BUCKET = "pictures"
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "gallery.bucket.BucketStorage", "OPTIONS": options}
    }
    storages._storages.clear()
    default_storage._wrapped = empty
    yield
    storages._storages.clear()
    default_storage._wrapped = empty


def test_pictures_in_a_bucket_need_no_disk(workers, health, doctor, disks, tiny, tmp_path, bucket):
    disks[str(tmp_path)] = 2**20
    [problem] = health()[1]["problems"]
    assert problem.startswith("The disk of the data is full")
    told = doctor()["files"]
    assert told.startswith("Pictures cannot be stored in the bucket pictures: ") and "AWS_" in told
    assert "Mount the disk" not in told


def test_a_disk_of_the_pictures_that_is_not_mounted(workers, health, doctor, disks, tiny, unmounted):
    ingest_image(png(1), source_type="manual")
    with unmounted():
        code, told = health()
        names = doctor()
    sentence = "The folder of the pictures is empty although the library has pictures. Is its disk mounted?"
    assert (code, told["status"], told["problems"]) == (200, "degraded", [sentence])
    assert names["disk"] == sentence
    assert "Mount the disk" in names["files"]
    assert names["orphans"] == (
        "They cannot be looked for: The folder of the pictures is empty although the library has pictures."
    ), "no picture is lost"
    assert names.keys() == {"disk", "files", "orphans"}
    assert doctor() == {}


def test_a_disk_of_the_pictures_that_does_not_answer(workers, health, doctor, disks, tiny, tmp_path, cut_off):
    ingest_image(png(1), source_type="manual")
    cut_off(tmp_path / "media")
    sentence = "The folder of the pictures cannot be looked into (Transport endpoint is not connected). "
    assert health()[1]["problems"] == [sentence + "Is its disk mounted?"]
    assert doctor().keys() == {"disk", "files", "orphans"}


def test_doctor_leaves_nothing_behind_that_its_user_alone_may_write_to(
    workers, doctor, disks, tiny, tmp_path
):
    assert doctor() == {}
    assert list((tmp_path / "media").iterdir()) == []


def test_a_folder_of_the_pictures_that_is_somebody_elses(workers, health, doctor, disks, tiny, locked):
    ingest_image(png(1), source_type="manual")
    with locked():
        [problem] = health()[1]["problems"]
        assert doctor() == {"disk": problem}
    assert problem.startswith("The folder of the pictures cannot be written to") and "jobs wait" in problem
    assert "read-only" in problem and "another user" in problem
    assert health()[1]["status"] == "ok"


def test_little_room_is_told_before_it_is_none(workers, health, doctor, disks, tmp_path, tiny):
    disks[str(tmp_path)] = 2**30
    assert health()[1]["status"] == "ok"
    assert doctor() == {"files": "Only 1.0 GiB are free; runs wait when the disk is full."}


# ---- Models


def test_a_model_whose_folder_is_gone(workers, health, doctor, disks, settings, tmp_path, tiny_folder):
    folder = tmp_path / "moved"
    shutil.copytree(tiny_folder, folder)
    settings.MODEL = str(folder)
    assert doctor() == {}, "the model is there, and has got its row"
    folder.rename(tmp_path / "elsewhere")
    code, told = health()
    assert (code, told["status"]) == (200, "degraded")
    [problem] = told["problems"]
    assert problem.startswith("The folder of a model cannot be found") and "Put it back" in problem
    assert "moved" not in problem
    assert str(folder) in doctor()["model"]
    DiffusionModel.objects.update(is_enabled=False)
    assert health()[1]["status"] == "ok", "nobody needs it"


def test_a_model_whose_folder_cannot_be_looked_into_is_gone(
    workers, health, doctor, disks, settings, tmp_path, cut_off
):
    settings.MODELS_DIR = tmp_path / "share"
    shutil.copytree(STARTER_MODEL_PATH, settings.MODELS_DIR / "fox")
    settings.MODEL = "fox"
    assert doctor() == {}, "it has got its row"
    cut_off(settings.MODELS_DIR)
    settings.MODEL = "starter"
    [problem] = health()[1]["problems"]
    assert problem.startswith("The folder of a model cannot be found")
    told = doctor()
    assert told.keys() == {"model"}
    assert "IMAGINEER_MODELS_DIR cannot be looked into" in told["model"]
    assert str(settings.MODELS_DIR / "fox") in told["model"]
    settings.MODEL = "fox"
    assert doctor().keys() == {"model"}
    settings.MODEL = str(settings.MODELS_DIR / "fox")
    assert {"model"} <= doctor().keys() <= {"model", "settings"}
