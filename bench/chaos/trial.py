"""A house at work suffers one fault after the other; each is judged by a line. Run by ``bench.chaos`` in a process of
its own, whose environment names the database before Django reads it."""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from bench.chaos.faults import (
    BrokerFlushed,
    BrokerHangs,
    BrokerStopped,
    ClockMoved,
    DatabaseLocked,
    DatabaseRestarted,
    DatabaseStopped,
    DiskFull,
    Fault,
    ModelGone,
    SmallDisk,
    build_clock,
)
from bench.chaos.house import House
from tests.clusters import PostgresServer, RedisServer, postgres_programs

# to an upload while a disk is full; SQLite goes on for a while in the pages that its log has already
UPLOADS = ((507,), (201,), (201, 507))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--around", choices=["sqlite", "postgresql", "redis"], required=True)
    parser.add_argument("--fault", default="", help="only those whose names hold this")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        surroundings = Surroundings(options.folder, options.around, stack)
        faults = [fault for fault in surroundings.faults if options.fault.lower() in fault.name.lower()]
        for reason in surroundings.skipped:
            print(json.dumps({"skipped": reason}), flush=True)
        if faults:
            surroundings.settle()
            trial = Trial(surroundings, is_short=options.short)
            stack.callback(trial.house.kill)
            trial.settle()
            for fault in faults:
                print(json.dumps(trial.suffer(fault)), flush=True)
            left = trial.house.close()
            print(json.dumps({"processes_left": len(left), "which": left}), flush=True)
    return 0


class Surroundings:
    """The disks, servers and the clock of one house; ``faults`` is what can happen to them here."""

    def __init__(self, folder: Path, around: str, stack: ExitStack):
        self.folder, self.faults, self.skipped = folder, [], []
        self.environment, redis_url = {}, ""
        data, logs, rows = (folder / name for name in ("data", "logs", "rows"))
        url = f"sqlite:///{rows}/house.sqlite3"
        if around == "sqlite":
            try:
                disks = []
                for place, what in ((data, "pictures"), (logs, "log"), (rows, "database")):
                    disk = SmallDisk(place)
                    stack.callback(disk.remove)
                    disks.append((disk, what))
            except Exception as error:  # noqa: BLE001  without root, or in a container
                disks = []
                self.skipped.append(f"full disks: a small one cannot be mounted here ({error})")
            self.faults = [
                DatabaseLocked(rows / "house.sqlite3"),
                *(DiskFull(*disk, upload=upload) for disk, upload in zip(disks, UPLOADS, strict=False)),
                ModelGone(folder / "model"),
            ]
            try:
                self.environment |= build_clock(folder)
                self.faults += [ClockMoved(folder / "clock", hours) for hours in (1, -1)]
            except Exception as error:  # noqa: BLE001
                self.skipped.append(f"clock jumps: {error}")
        if around == "postgresql":
            programs = postgres_programs()
            if programs:
                server = PostgresServer(programs)
                stack.callback(server.remove)
                url, self.faults = server.url, [DatabaseStopped(server), DatabaseRestarted(server)]
            else:
                self.skipped.append("PostgreSQL stopped: initdb and pg_ctl are not installed")
        if around == "redis":
            program = shutil.which("redis-server")
            if program:
                server = RedisServer(program, folder)
                stack.callback(server.stop)
                redis_url = server.url
                self.faults = [BrokerFlushed(server), BrokerStopped(server), BrokerHangs(server)]
            else:
                self.skipped.append("Redis stopped: redis-server is not installed")
        for place in (data, logs, rows):
            place.mkdir(exist_ok=True)
        os.environ |= {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "IMAGINEER_DATA_DIR": str(data),
            "IMAGINEER_MODEL": str(folder / "model"),
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        }
        self.logs = logs

    def settle(self) -> None:
        """A migrated database, a model, static files, and an album that everybody may read."""
        from tests.imagineer.engine.tiny_model import build_tiny_model

        build_tiny_model(self.folder / "model")
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        from gallery.ingest import ingest_image
        from gallery.services import add_images, create_album
        from imagineer.accounts.services import create_api_token, make_admin
        from tests.gallery.pictures import png

        call_command("migrate", verbosity=0)
        self.album = create_album(name="Readable")
        image = ingest_image(png(1), source_type="manual", rating="safe").image
        add_images(self.album, [image])
        self.pages = ("/", f"/albums/{self.album.pk}", f"/images/{image.pk}", f"/api/images/{image.pk}/file")
        self.token = create_api_token(make_admin(settings.ADMIN_EMAILS[0]))[1]
        self.lease = settings.JOB_LEASE


class Trial:
    def __init__(self, surroundings: Surroundings, *, is_short: bool):
        from bench.chaos.work import Decks, Errands

        self.around, self.is_short, self.problems = surroundings, is_short, []
        names = ("IMAGINEER_MODEL", "IMAGINEER_DATA_DIR", "DJANGO_ALLOWED_HOSTS", "IMAGINEER_ADMIN_EMAILS")
        environment = {name: os.environ[name] for name in names} | surroundings.environment
        self.house = House(surroundings.logs, environment, lease=surroundings.lease)
        self.works = [
            Errands(surroundings.logs, seconds=0.5),
            Decks(surroundings.logs, row_selection="1-12", steps=30),
        ]

    def settle(self) -> None:
        # in a process of its own: where pytest is loaded, as in this one, static files get no manifest
        self.house.site.manage("collectstatic", "--noinput", "--verbosity=0")
        self.house.open()
        self._wait(self._is_well, "all is well before anything happens")
        if unreadable := [page for page in self.around.pages if self.house.ask(page)[0] != 200]:
            raise SystemExit(f"{unreadable} cannot be read before anything has happened.")

    def suffer(self, fault: Fault) -> dict:
        self.problems, self.seen, self.told = [], Counter(), set()
        before = self._judge()
        self._wait(self._is_busy, "both queues work")
        if fault.is_quiet:
            self._drain()
        restarts = self.house.restarts
        began = time.monotonic()
        fault.begin(self.house)
        if fault.can_order:
            self._feed()
        self._watch(fault, until=began + (fault.short_seconds if self.is_short else fault.seconds))
        fault.end(self.house)
        lasted, ended = time.monotonic() - began, time.monotonic()
        finished = self._finished()
        waits = [0.0 for _ in self.works]

        def goes_on():
            self._feed()  # what was ordered may be done already
            self._look(fault)
            for number, work in enumerate(self.works):
                if not waits[number] and work.finished() > finished[number]:
                    waits[number] = time.monotonic() - ended
            return all(waits)

        self._wait(goes_on, "work goes on")
        self._drain()
        self._wait(self._is_well, "all is well again")
        after = self._judge()
        return {
            "fault": fault.name,
            "lasted": round(lasted, 1),
            "goes_on_after": {
                work.queue: round(wait, 1) for work, wait in zip(self.works, waits, strict=True)
            },
            **{name: after[name] - before[name] for name in after},
            "clusters_started_again": self.house.restarts - restarts,
            "pages": dict(self.seen),
            "problems": sorted(set(self.problems)),
        }

    # ---- What is seen of the house

    def _watch(self, fault: Fault, *, until: float) -> None:
        """Look at the pages again and again; ask health, doctor and an upload what is wrong."""
        has_asked = False
        patience = time.monotonic() + 60
        while time.monotonic() < until or (fault.health and not self.told and time.monotonic() < patience):
            self._look(fault)
            _code, status, sentences = self.house.health()
            if fault.health and fault.health in sentences:
                self.told.add(status)
            if not has_asked and (self.told or not fault.health):
                has_asked = True
                if fault.health:
                    self._ask_doctor(fault)
                self._try_upload(fault)
            time.sleep(0.5)
        if fault.health and not self.told:
            self.problems.append(f"health never said “{fault.health}” but: {sentences}")
        if not fault.health and fault.seconds:
            if (status := self.house.health()[1]) != "ok":
                self.problems.append(f"health is {status} in the end.")
            self._ask_doctor(fault)

    def _look(self, fault: Fault) -> None:
        for page in self.around.pages:
            code, text = self.house.ask(page)
            self.seen[code] += 1
            if code not in (200, fault.page) or (code == 503 and "Try again" not in text):
                self.problems.append(f"{page} answers {code}: {' '.join(text.split())[-300:]}")

    def _ask_doctor(self, fault: Fault) -> None:
        is_well, sentences = self.house.doctor()
        if is_well == bool(fault.doctor) or fault.doctor not in sentences:
            self.problems.append(f"doctor says not “{fault.doctor or 'all is well'}” but: {sentences}")

    def _try_upload(self, fault: Fault) -> None:
        """A new picture each time, since one that is here already is not stored again."""
        if not fault.upload:
            return
        from tests.gallery.pictures import draw, encode

        number = int(time.monotonic() * 1000) % 10**9
        picture = encode(draw(number, size=(900, 900)), "WEBP", lossless=True)
        mark = "imagineer-chaos"
        head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{number}.webp"\r\n\r\n'
        body = head.encode() + picture + f"\r\n--{mark}--\r\n".encode()
        type_ = f"multipart/form-data; boundary={mark}"
        code, text = self.house.ask("/api/images/upload", token=self.around.token, body=(body, type_))
        if code not in fault.upload:
            self.problems.append(f"an upload is answered {code} instead of {fault.upload}: {text[:200]}")

    def _is_well(self) -> bool:
        return self.house.health()[1] == "ok" and self.house.doctor()[0]

    # ---- What is done in it

    def _is_busy(self) -> bool:
        self._feed()
        return all(work.is_under_way() for work in self.works)

    def _feed(self) -> None:
        for work in self.works:
            work.feed()

    def _finished(self) -> list[int]:
        """How much is, of each work, as soon as the database can be asked."""
        found = []

        def ask():
            found[:] = [work.finished() for work in self.works]
            return True

        self._wait(ask, "the database answers")
        return found

    def _drain(self) -> None:
        from imagineer.jobs.models import Job

        self._wait(lambda: not Job.objects.active().exists(), "the jobs have ended")

    def _judge(self) -> dict:
        from imagineer.jobs.models import Job, JobStatus

        judged = Counter(failed=Job.objects.filter(status=JobStatus.FAILED).count())
        for work in self.works:
            judged.update(work.judge())
        return judged

    def _wait(self, condition, what: str) -> None:
        from django.db import DatabaseError, close_old_connections

        patience = 120 + 4 * self.around.lease  # seconds; ends a hang, and is no promise
        end = time.monotonic() + patience
        while True:
            try:
                if condition():
                    return
            except DatabaseError:
                close_old_connections()
            if time.monotonic() > end:
                raise SystemExit(
                    f"Waited {patience} s in vain until {what}.\n"
                    f"health: {self.house.health()}\n{self.house.doctor()}\n{self.house.site.logs[-6000:]}"
                )
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
