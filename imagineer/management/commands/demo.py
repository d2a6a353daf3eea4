"""`make demo`: the whole house on one machine, and a first album that it draws by itself."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from imagineer.accounts.services import make_admin
from imagineer.jobs.models import JobStatus
from imagineer.jobs.processes import die_with
from templates_app import ordering
from templates_app.management.run_command import follow
from templates_app.models import BatchGenerationRun, BatchTemplate

CURATOR = "curator@demo.localhost"
TEMPLATE = "Zodiac Signs"
ALBUM = "Zodiac"
THEME = "flat colours"  # the style that the starter model draws most clearly
HOST = "127.0.0.1"
PATIENCE = 60  # seconds in which a program that ends three times is not worth another start


class Command(BaseCommand):
    help = "Start the web server and both workers, draw the Zodiac set, and keep serving."

    def add_arguments(self, parser):
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--exit", action="store_true", help="stop everything when the album is there")

    def handle(self, *args, port, exit, **options):
        self.stderr.style_func = None  # progress is no error, so it is not red
        if not settings.DEBUG:
            raise CommandError("The demo hands out a sign-in link, so it runs with DJANGO_DEBUG=1 only.")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise CommandError(
                    f"Port {port} is taken ({error.strerror}), perhaps by a demo that still runs. "
                    f"Choose another: make demo PORT={port + 1}"
                ) from error
        self.stderr.write("Preparing the library …")
        settings.ADMIN_EMAILS.append(CURATOR)
        with _alone_in_the_library():
            call_command("migrate", interactive=False, verbosity=0)
            call_command("seed_templates", verbosity=0, stdout=self.stderr)
            curator = make_admin(CURATOR)
            run = self._order_zodiac(curator)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        connection.close()
        programs = [
            Program("runserver", f"{HOST}:{port}", "--noreload"),
            Program("work", "default"),
            Program("work", "gpu"),
        ]
        base = f"http://{HOST}:{port}"
        try:
            self._look_after(programs)
            run = self._follow(run, programs)
            while not exit and not answers(port):
                self._look_after(programs)
                time.sleep(0.1)
            self.stdout.write(f"\nThe album:  {base}/albums/{run.album_id}")
            self.stdout.write(f"Sign in:    {base}{sign_in_link(curator)}   (once, as the demo's curator)")
            self.stdout.write(f"The admin:  {base}/admin/      The API: {base}/api/docs")
            self.stdout.write(
                f"An API key: IMAGINEER_ADMIN_EMAILS={CURATOR} DJANGO_DEBUG=1 "
                f"{sys.executable} manage.py create_api_token {CURATOR}"
            )
            if not exit:
                self.stdout.write("Serving until Ctrl-C.")
            self.stdout.flush()
            while not exit:
                self._look_after(programs)
                time.sleep(1)
        except KeyboardInterrupt:
            self.stderr.write("\nStopping …")
        finally:
            for program in programs:
                program.process and program.process.terminate()
            for program in programs:
                program.process and program.process.wait(timeout=20)

    def _look_after(self, programs: list["Program"]) -> None:
        """Start what does not run, as a service manager would."""
        for program in programs:
            if program.process and program.process.poll() is None:
                continue
            if program.process:
                ended = f"`{program}` ended with status {program.process.returncode}"
                if len(program.starts) == 3 and time.monotonic() - program.starts[0] < PATIENCE:
                    raise CommandError(
                        f"{ended}, for the third time within a minute; its log is {program.log}. Nothing is lost: "
                        "`make demo` goes on where this one stops."
                    )
                self.stderr.write(f"\n{ended}; it is started again. Its log is {program.log}.")
            program.start()

    def _order_zodiac(self, curator) -> BatchGenerationRun:
        """The demo's run: the one there is, however far it came, else a new one."""
        template = BatchTemplate.objects.get(name=TEMPLATE)
        run = BatchGenerationRun.objects.filter(
            album_name=ALBUM, template_version__template=template, job__created_by=curator
        ).first()
        if run is None:
            run = ordering.start_run(
                template,
                album_name=ALBUM,
                user_theme=THEME,
                seed=2024,
                created_by=curator,
            )
        elif run.job.status in (JobStatus.FAILED, JobStatus.CANCELLED) or run.job.failed:
            run = ordering.retry_run(run)
        return run

    def _follow(self, run: BatchGenerationRun, programs) -> BatchGenerationRun:
        job = follow(run.pk, while_waiting=lambda: self._look_after(programs))
        run = BatchGenerationRun.objects.for_lists().get(pk=run.pk)
        if job.status != JobStatus.COMPLETED or run.album_id is None:
            raise CommandError(f"The demo's run is {job.status}. {run.job.error}")
        return run


class Program:
    """One of the three that the demo keeps running."""

    process: subprocess.Popen | None = None

    def __init__(self, *command: str):
        self.command = command
        self.log = settings.DATA_DIR / f"demo-{command[0]}-{command[1].rpartition(':')[0] or command[1]}.log"
        self.starts = deque(maxlen=3)  # when the latest were, by the monotonic clock

    def __str__(self):
        return f"manage.py {' '.join(self.command)}"

    def start(self) -> None:
        """It ends with this command, even when that is killed."""
        mine = os.getpid()
        self.starts.append(time.monotonic())
        with self.log.open("ab") as log:
            # a session of its own: Ctrl-C reaches the demo alone, which then stops them in order
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *self.command],
                cwd=settings.BASE_DIR,
                env=os.environ
                | {"DJANGO_DEBUG": "1", "IMAGINEER_ADMIN_EMAILS": ",".join(settings.ADMIN_EMAILS)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with(mine),
            )


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex((HOST, port))


def sign_in_link(user) -> str:
    """A link that signs in once: its token is bound to the last sign-in, which using it changes."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("demo-sign-in", args=[uid, default_token_generator.make_token(user)])


@contextmanager
def _alone_in_the_library():
    """One demo after the other; the kernel lets go of the lock when this process ends, however it ends."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with (settings.DATA_DIR / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _leave(signum, frame):
    raise KeyboardInterrupt
