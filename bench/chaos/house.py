"""A whole house at work: the site as gunicorn serves it, both clusters, and who starts again what has ended."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.clusters import ROOT, Site, free_port, wait_until

RESTART_PAUSE = 2  # seconds, as in docs/deploy


class House:
    """``directory`` holds the logs; what the house needs beside it stands in ``environment``."""

    def __init__(self, directory: Path, environment: dict, *, lease: int):
        self.site = Site(
            directory, os.environ["DATABASE_URL"], lease=lease, redis_url=os.environ["REDIS_URL"]
        )
        self.site.environment |= environment
        # clusters speak to the terminal, where tests hear them
        self.web_environment = self.site.environment | {
            "IMAGINEER_LOG_FILE": str(directory / "imagineer.log")
        }
        self.port = free_port()
        self.restarts = 0
        self._is_open, self._keeper = False, None

    def open(self) -> None:
        """Start everything, and wait until it works."""
        for queue in ("default", "gpu"):
            self.site.start(queue, wait=False)
        self._serve()
        for cluster in self.site.clusters[-2:]:
            cluster.wait_until_ready()
        wait_until(lambda: self.ask("/api/health")[0] == 200, "the site answers")
        self._is_open = True
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def close(self) -> list[str]:
        """Stop everything in order, and tell which processes that left behind."""
        self._is_open = False
        self._keeper.join()
        alive = [cluster for cluster in self.site.clusters if cluster.popen.poll() is None]
        for process in [*(cluster.popen for cluster in alive), self.web]:
            process.terminate()
        for process in [*(cluster.popen for cluster in alive), self.web]:
            process.wait(60)
        return [" ".join(process.cmdline()) for process in self.site.processes()]

    def kill(self) -> None:
        """Whatever state it is in."""
        self._is_open = False
        if self._keeper:
            self._keeper.join()
        self.site.stop()

    def _serve(self) -> None:
        command = ["-m", "gunicorn", "imagineer.wsgi", "--threads=4", f"--bind=127.0.0.1:{self.port}"]
        with (self.site.directory / "web.txt").open("ab") as log:
            self.web = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.web_environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _keep(self) -> None:
        """What a service manager does."""
        while self._is_open:
            for queue in ("default", "gpu"):
                last = [cluster for cluster in self.site.clusters if cluster.queue == queue][-1]
                if last.popen.poll() is not None:
                    time.sleep(RESTART_PAUSE)
                    if not self._is_open:
                        return
                    self.site.start(queue, wait=False)
                    self.restarts += 1
            time.sleep(0.2)

    # ---- What people and programs see of it

    def ask(self, path: str, *, token: str = "", body: tuple[bytes, str] | None = None) -> tuple[int, str]:
        """Status and text of an address; 0 when nobody answers. ``body``: bytes and their type, to send by POST."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body and body[0])
        if body:
            request.add_header("Content-Type", body[1])
        if token:
            request.add_header("Authorization", f"Token {token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):  # or an answer that is cut short
            return 0, ""

    def health(self) -> tuple[int, str, str]:
        """The status of the answer, ``ok``, ``degraded`` or ``unavailable``, and the sentences."""
        code, text = self.ask("/api/health")
        told = json.loads(text or "{}")
        return code, told.get("status", ""), " ".join(told.get("problems", ()))

    def doctor(self) -> tuple[bool, str]:
        """Whether all is well, and what is not."""
        command = [sys.executable, "manage.py", "doctor", "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.web_environment, capture_output=True, text=True, check=False
        )
        if not done.stdout:
            raise SystemExit(f"doctor said nothing: {done.stderr[-2000:]}")
        told = json.loads(done.stdout)
        return told["ok"], " ".join(check["message"] for check in told["checks"] if not check["ok"])
