"""Whether the house can serve and work: what the jobs say of themselves, and whether disks and models are there."""

import os
import shutil
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import Error
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from gallery.models import DiffusionModel
from gallery.storage import LibraryStorage
from gallery.weights import model_path
from imagineer.engine.model_folder import is_folder
from imagineer.jobs.health import describe_health
from imagineer.upgrade import describe_upgrade

# Bytes free, below which a disk counts as full: an upload with its renditions needs half of it.
FULL = 64 * 2**20


def describe_house() -> dict:
    """As :func:`imagineer.jobs.health.describe_health`, with what is wrong with disks and models."""
    health = describe_health()
    more = [*filter(None, [describe_upgrade()]), *disk_problems()]
    if health["status"] != "unavailable":
        more += model_problems()
    health["problems"] = [*health["problems"], *more]
    if more and health["status"] == "ok":
        health["status"] = "degraded"
    return health


def disk_problems() -> list[str]:
    """A sentence for each disk that is full, gone or not ours; no paths, since everybody may read it."""
    places = {}
    if pictures := pictures_place():
        places["pictures"] = pictures
    if settings.IS_SQLITE:
        places["database"] = Path(settings.DATABASES["default"]["NAME"]).parent
    if settings.LOG_FILE:
        places["log"] = Path(settings.LOG_FILE).absolute().parent
    places["data"] = Path(settings.DATA_DIR)
    kept: dict[int, list[str]] = {}  # what lies on each full disk
    problems = []
    for name, place in places.items():
        try:
            if shutil.disk_usage(place).free >= FULL:
                continue
            disk = place.stat().st_dev
        except OSError:
            problems.append(f"The folder of the {name} cannot be found. Is its disk mounted?")
            continue
        if name != "data" or disk not in kept:  # what else lies there matters less
            kept.setdefault(disk, []).append(name)
    for names in kept.values():
        what = " and ".join(names)
        stops = "no log is kept" if names == ["log"] else "what does not fit is not stored and jobs wait"
        problems.append(
            f"The disk of the {what} is full, or nearly: {stops}. Make room; all then goes on by itself."
        )
    if isinstance(default_storage, LibraryStorage):
        problems += library_problems()
    return problems


def pictures_place() -> Path | None:
    """The folder of the pictures, or the nearest one above that is there; None where they lie in a bucket."""
    if not isinstance(default_storage, LibraryStorage):
        return None
    location = Path(default_storage.location)
    return next(folder for folder in (location, *location.parents) if is_folder(folder))


def library_problems() -> list[str]:
    """A sentence when pictures cannot be put into their folder, though there may be room."""
    folders = [Path(default_storage.path(name)) for name in ("", "originals")]
    try:
        default_storage.check_is_here()
        if all(os.access(folder, os.W_OK | os.X_OK) for folder in folders if folder.is_dir()):
            return []
    except PermissionError:
        pass  # not even looked into
    except OSError as error:
        sentence = error.strerror
        if error.filename:  # the system's words, not ours
            sentence = f"The folder of the pictures cannot be looked into ({error.strerror})"
        return [f"{sentence}. Is its disk mounted?"]
    except Error:
        return []  # told already
    return [
        "The folder of the pictures cannot be written to, so nothing can be stored and jobs wait: its disk is mounted "
        "read-only (the system's log may tell why), or it belongs to another user than the one that runs Imagineer. "
        "Mend that; all then goes on by itself."
    ]


def model_problems() -> list[str]:
    """A sentence when the folder of a model that may be drawn with is gone, without its name or path."""
    try:
        models = list(DiffusionModel.objects.enabled())
    except Error:
        return []
    gone = sum(not is_folder(model_path(model)) for model in models)
    if not gone:
        return []
    what, it = ("The folder of a model", "it") if gone == 1 else (f"The folders of {gone} models", "them")
    return [
        f"{what} cannot be found, and what is to be drawn with {it} waits. Put {it} back, or disable the model in the "
        "admin; `manage.py doctor` names what is missing."
    ]


class Health(APIView):
    """Whether the house can serve and work, in sentences. 503 when it cannot serve."""

    permission_classes = [AllowAny]
    authentication_classes = []  # it must answer when the database, where the tokens are, does not

    @extend_schema(
        operation_id="health",
        responses={
            code: inline_serializer(
                f"Health{code}",
                {
                    "status": serializers.CharField(),
                    **{name: serializers.JSONField() for name in ("database", "queue", "workers", "gpu")},
                    "problems": serializers.ListField(child=serializers.CharField()),
                },
            )
            for code in (200, 503)
        },
    )
    def get(self, request):
        health = describe_house()
        return Response(health, status=503 if health["status"] == "unavailable" else 200)
