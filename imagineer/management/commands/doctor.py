import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from gallery.models import DiffusionModel
from gallery.orphans import find_orphans
from gallery.services import find_wrong_publicity
from gallery.weights import find_model, model_path
from imagineer.engine.model_folder import is_folder, read_model
from imagineer.engine.types import ModelError
from imagineer.health import disk_problems, pictures_place
from imagineer.jobs.doorbell import describe_silence
from imagineer.jobs.health import DATABASE_AWAY, describe_health, describe_lock
from imagineer.jobs.workers import waiting_migrations
from imagineer.upgrade import describe_upgrade

LOW_SPACE = 2 * 2**30  # bytes


class Command(BaseCommand):
    requires_system_checks = []  # they are among what it looks at
    help = "Look at everything that has to be right, and say in a sentence what is not."

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, **options):
        results = [
            {"name": name, "ok": not problem, "message": problem or "fine"}
            for name, problem in self.examine()
        ]
        wrong = [result for result in results if not result["ok"]]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not wrong, "checks": results}))
        else:
            for result in results:
                self.stdout.write(
                    f"{'ok   ' if result['ok'] else 'WRONG'}  {result['name']}: {result['message']}"
                )
        if wrong:
            raise CommandError(
                f"{len(wrong)} of {len(results)} checks found something: {wrong[0]['message']}"
            )

    def examine(self) -> Iterator[tuple[str, str]]:
        """(what was looked at, what is wrong with it or "")."""
        problems = [issue for issue in checks.run_checks() if issue.level >= checks.ERROR]
        yield "settings", " ".join(str(issue.msg) for issue in problems)
        try:
            waiting = waiting_migrations()
        except Error as error:
            yield "database", f"{DATABASE_AWAY} Look at DATABASE_URL. ({' '.join(str(error).split())})"
            waiting = None
        else:
            unmigrated = f"{len(waiting)} migrations wait. Run `make upgrade`." if waiting else ""
            lock = describe_lock()
            yield "database", unmigrated or lock
        yield "upgrade", describe_upgrade()
        yield "disk", " ".join(disk_problems())
        yield "files", self._files()
        silence = describe_silence()
        yield "broker", silence
        if waiting is None or waiting:
            return
        if not lock:
            yield "model", self._model()
        problems = describe_health()["problems"]
        yield "workers", " ".join(problem for problem in problems if problem not in (lock, silence))
        yield (
            "publicity",
            f"{wrong} pictures are marked public and are not, or the other way round; save their albums again."
            if (wrong := find_wrong_publicity().count())
            else "",
        )
        yield "orphans", self._orphans()

    def _files(self) -> str:
        pictures = pictures_place()
        try:
            name = default_storage.save("tmp/doctor", ContentFile(b"doctor"))
            default_storage.delete(name)
        except OSError as error:
            if pictures is None:
                return (
                    f"Pictures cannot be stored in the bucket {settings.BUCKET}: {error.strerror}. Look whether it "
                    "answers, and at AWS_* in the settings; what waits then goes on by itself."
                )
            return (
                f"Pictures cannot be stored under {settings.DATA_DIR}: {error.strerror}. Mount the disk, make room, or "
                "give the folder to the user that runs Imagineer; what waits then goes on by itself. If all pictures "
                "are lost for good, make an empty folder media/originals there."
            )
        except Error:
            return ""  # told above
        if pictures:
            # made here it may be root's, and others could put nothing into it
            with contextlib.suppress(OSError):
                Path(default_storage.path("tmp")).rmdir()
        try:
            places = filter(None, [pictures, settings.DATA_DIR])
            free = min(shutil.disk_usage(place).free for place in places)
        except OSError:
            return ""  # told above
        return (
            f"Only {free / 2**30:.1f} GiB are free; runs wait when the disk is full."
            if free < LOW_SPACE
            else ""
        )

    def _orphans(self) -> str:
        try:
            found = find_orphans()
        except OSError as error:
            return f"They cannot be looked for: {error.strerror}."
        if not (found.without_row or found.without_file or found.damaged):
            return ""
        return (
            f"{len(found.without_row)} files have no row, {len(found.without_file)} rows no file and "
            f"{len(found.damaged)} a damaged one; `manage.py find_orphans` names them."
        )

    def _model(self) -> str:
        try:
            if find_model("") is None:
                return f"IMAGINEER_MODEL is {settings.MODEL!r}, and there is no such model."
        except ModelError as error:
            return str(error)
        except OSError as error:
            return f"The model that IMAGINEER_MODEL names cannot be looked at: {error.strerror}. Is its disk mounted?"
        except Error as error:  # a model that is asked for the first time gets its row
            return f"The models cannot be looked at while the database takes nothing ({error})."
        folders = {model_path(model) for model in DiffusionModel.objects.enabled()}
        problems = []
        try:
            folders |= {folder for folder in settings.MODELS_DIR.iterdir() if is_folder(folder)}
        except (FileNotFoundError, NotADirectoryError):
            pass  # nobody has to have one
        except OSError as error:
            problems.append(
                f"IMAGINEER_MODELS_DIR cannot be looked into: {error.strerror}. Is its disk mounted?"
            )
        for folder in sorted(folders):
            try:
                read_model(folder)
            except ModelError as error:
                problems.append(str(error))
        return " ".join(problems)
