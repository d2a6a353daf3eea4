"""One campaign: a site of its own on one database, hurt again and again, then judged.

Run by ``bench.chaos`` in a process of its own, whose environment names the database before Django reads it.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from bench.chaos.weapons import ENDS_IN_ORDER, ENDS_NOTHING, strike
from tests.clusters import wait_until

LEASE = 3  # seconds
PATIENCE = 240  # seconds without anything finished until the campaign is given up


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--work", choices=["errands", "decks"], required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from bench.chaos.work import Decks, Errands
    from tests.clusters import Site

    call_command("migrate", verbosity=0)
    site = Site(options.folder, os.environ["DATABASE_URL"], lease=LEASE, redis_url=settings.REDIS_URL)
    site.environment["IMAGINEER_MODEL"] = settings.MODEL
    work = {"errands": Errands, "decks": Decks}[options.work](options.folder)
    try:
        campaign = Campaign(site, work, random.Random(options.seed))
        campaign.fight(options.kills)
        print(json.dumps(campaign.judge()), flush=True)
    finally:
        site.stop()
    return 0


class Campaign:
    def __init__(self, site, work, dice: random.Random):
        self.site, self.work, self.dice = site, work, dice
        self.used, self.waits, self.problems = Counter(), [], []

    def fight(self, kills: int) -> None:
        self.cluster = self.site.start(self.work.queue)
        for number in range(1, kills + 1):
            self._hurt()
            if number % 25 == 0:
                print(f"  {number} of {kills}", file=sys.stderr, flush=True)
        self._wait(lambda: not self._feed_nothing(), "the last jobs have ended")

    def _hurt(self) -> None:
        self.work.feed()
        self._wait(self.work.is_under_way, "somebody works")
        time.sleep(self.dice.uniform(0, 0.6))
        weapon = strike(self.cluster, self.dice)
        self.used[weapon.__name__] += 1
        before, since = self.work.finished(), time.monotonic()
        if weapon in ENDS_NOTHING:
            # the tick has given its job to another; whether the cluster ends over it is its own affair
            if self.cluster.popen.poll() is not None:
                self._restart()
        else:
            status = self.cluster.wait()
            if (status == 0) != (weapon in ENDS_IN_ORDER):
                self.problems.append(f"{weapon.__name__} ended the cluster with {status}")
            self._restart()
        self.work.feed()
        self._wait(lambda: self.work.finished() > before, f"work goes on after {weapon.__name__}")
        self.waits.append(time.monotonic() - since)
        try:
            wait_until(lambda: not self._strays(), "what was hurt has ended", timeout=10)
        except AssertionError:
            self.problems.append(f"{weapon.__name__} left {len(self._strays())} processes")

    def _strays(self) -> list[psutil.Process]:
        """What lives and is no part of the cluster that is at work."""
        try:
            own = {process.pid for process in self.cluster.processes()}
        except psutil.NoSuchProcess:  # it ends by itself
            own = set()
        return [process for process in self.site.processes() if process.pid not in own]

    def _restart(self) -> None:
        """As a service manager does."""
        self.cluster = self.site.start(self.work.queue)

    def _feed_nothing(self) -> int:
        from imagineer.jobs.models import Job

        return Job.objects.active().count()

    def _wait(self, condition, what: str) -> None:
        """A cluster that has ended by itself (a part of it was hurt and it noticed late) is started again."""
        end, finished = time.monotonic() + PATIENCE, self.work.finished()
        while not condition():
            if self.cluster.popen.poll() is not None:
                self._restart()
            if self.work.finished() > finished:
                end, finished = time.monotonic() + PATIENCE, self.work.finished()
            if time.monotonic() > end:
                raise SystemExit(f"Waited {PATIENCE} s in vain until {what}.\n{self.site.logs[-4000:]}")
            time.sleep(0.05)

    def judge(self) -> dict:
        status = self.cluster.terminate()
        if status != 0:
            self.problems.append(f"the last stop ended with {status}")
        left = [" ".join(process.cmdline()) for process in self.site.processes()]
        judged = self.work.judge()
        beyond = judged.pop("left_beyond_one_a_worker", 0)
        # Who wakes after its lease has lost what was in its hand, and lives on to lose something else.
        woken = sum(self.used[weapon.__name__] for weapon in ENDS_NOTHING) * self.cluster.worker_count
        return {
            "times": sum(self.used.values()),
            "by": dict(self.used),
            **judged,
            "repeated_beyond_a_batch_a_worker": max(0, beyond - woken),
            "processes_left": len(left),
            "resumed_after_median": round(statistics.median(self.waits), 1),
            "resumed_after_most": round(max(self.waits), 1),
            "problems": self.problems,
        }


if __name__ == "__main__":
    sys.exit(main())
