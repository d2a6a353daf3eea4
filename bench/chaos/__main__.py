"""``make chaos``: clusters are killed at random on every database, and what is lost is counted; then what stands
around them goes away and comes back: databases, broker, disks, model, the time of day.

A summary for each database and a line for each fault; exit 1 when anything was lost, doubled or left behind, or a
page, health or doctor told anything but the truth. ``short=1`` hurts 60 times in all, with faults of seconds, as CI does.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.clusters import POSTGRES, RedisServer

# (work, database) → how often of 1,000
PLAN = {
    ("errands", "sqlite"): 450,
    ("errands", "postgresql"): 450,
    ("errands", "redis"): 50,
    ("decks", "sqlite"): 25,
    ("decks", "postgresql"): 25,
}
SHORT = dict(zip(PLAN, (26, 20, 8, 3, 3), strict=True))
AROUND = ("sqlite", "postgresql", "redis")
MUST_BE_NOTHING = (
    "jobs_lost",
    "items_lost",
    "items_doubled",
    "albums_doubled",
    "repeated_beyond_a_batch_a_worker",
    "files_without_row",
    "rows_without_file",
    "processes_left",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="60 times in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["sqlite", "postgresql", "redis", "kills", "faults"])
    parser.add_argument("--around", choices=AROUND, action="append", help="only faults of houses on these")
    parser.add_argument("--fault", default="", help="only faults whose names hold this")
    parser.add_argument(
        "--lease", type=int, help="seconds, of the faults: 90 as set by default, 3 in the short form"
    )
    parser.add_argument("--kills", type=int, help="for each campaign, instead of the plan")
    options = parser.parse_args()
    is_whole = True
    for (work, database), kills in (SHORT if options.short else PLAN).items():
        if options.only in (None, "kills", database):
            is_whole &= campaign(work, database, options.kills or kills, options.seed)
    for around in options.around or AROUND:
        if options.only in (None, "faults"):
            is_whole &= trial(around, options)
    return 0 if is_whole else 1


@contextmanager
def a_house_of_its_own():
    """A folder, and the environment of a program that works in it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
    with tempfile.TemporaryDirectory(prefix="imagineer-chaos-") as folder:
        yield (
            Path(folder),
            inherited
            | {
                "DJANGO_SETTINGS_MODULE": "tests.cluster_settings",
                "DJANGO_SECRET_KEY": "a key for chaos, which protects nothing and is long enough for the checks",
                "IMAGINEER_THREADS": "1",
                "IMAGINEER_LOG_LEVEL": "ERROR",
                "OMP_NUM_THREADS": "1",
            },
        )


def trial(around: str, options) -> bool:
    """What may go wrong around a house on one database or broker."""
    lease = options.lease or (3 if options.short else 90)
    print(f"faults around a house on {around}, leases of {lease} s", flush=True)
    with a_house_of_its_own() as (folder, environment):
        environment |= {
            "DJANGO_DEBUG": "0",
            "IMAGINEER_JOB_LEASE": str(lease),
            "IMAGINEER_ADMIN_EMAILS": "ada@example.org",
        }
        command = [sys.executable, "-m", "bench.chaos.trial", f"--folder={folder}", f"--around={around}"]
        command += [f"--fault={options.fault}", *(["--short"] if options.short else [])]
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        with running:
            are_good = [tell_fault(json.loads(line)) for line in running.stdout if line[0] == "{"]
    if running.returncode:
        print(f"  BROKE OFF with {running.returncode}", flush=True)
    return running.returncode == 0 and all(are_good)


def do_without(what: str) -> bool:
    """Whether that is as good as done: not where all services must be there, as in CI."""
    print(f"  skipped, {what}", flush=True)
    return os.environ.get("IMAGINEER_TEST_SERVICES") != "required"


def tell_fault(told: dict) -> bool:
    """A line for a fault, or for what is left when all are over."""
    if "skipped" in told:
        return do_without(told["skipped"])
    wrong = {name: told[name] for name in (*MUST_BE_NOTHING, "failed") if told.get(name)}
    problems = told.get("problems", [])
    verdict = "nothing lost, doubled or failed" if not wrong and not problems else f"WRONG {wrong or ''}"
    if "fault" not in told:
        print(f"  {told['processes_left']} processes left {' '.join(told['which'])}", flush=True)
        return not wrong
    waits = ", ".join(f"{queue} after {wait} s" for queue, wait in told["goes_on_after"].items())
    print(
        f"  {told['fault']}: {told['lasted']} s; work goes on: {waits}; {told['items']} items of {told['jobs']} jobs, "
        f"{told['items_begun_again']} begun again, clusters started again {told['clusters_started_again']} times; "
        f"pages {told['pages']}; {verdict}",
        flush=True,
    )
    for problem in problems:
        print(f"    {problem}", flush=True)
    return not wrong and not problems


def campaign(work: str, database: str, kills: int, seed: int) -> bool:
    import psycopg

    print(f"{work} on {database}: {kills} times, seed {seed}", flush=True)
    if database == "redis" and not shutil.which("redis-server"):
        return do_without("redis-server is not installed")
    with ExitStack() as stack:
        folder, environment = stack.enter_context(a_house_of_its_own())
        environment |= {
            "DATABASE_URL": f"sqlite:///{folder}/chaos.sqlite3",
            "IMAGINEER_DATA_DIR": str(folder),
            "IMAGINEER_JOB_LEASE": "3",
        }
        if database == "postgresql":
            try:
                environment["DATABASE_URL"] = stack.enter_context(postgresql())
            except psycopg.OperationalError as error:
                return do_without(f"PostgreSQL does not answer at {POSTGRES}: {error}")
        if database == "redis":
            environment["REDIS_URL"] = stack.enter_context(redis_server(folder))
        if work == "decks":
            from tests.imagineer.engine.tiny_model import build_tiny_model

            environment["IMAGINEER_MODEL"] = str(build_tiny_model(folder / "tiny"))
        options = [f"--folder={folder}", f"--work={work}", f"--kills={kills}", f"--seed={seed}"]
        done = subprocess.run(
            [sys.executable, "-m", "bench.chaos.campaign", *options],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        print(f"  BROKE OFF with {done.returncode}", flush=True)
        return False
    summary = json.loads(done.stdout.splitlines()[-1])
    wrong = {name: summary[name] for name in MUST_BE_NOTHING if summary.get(name)}
    verdict = "nothing lost, doubled or left behind" if not wrong and not summary["problems"] else "WRONG"
    for name, value in summary.items():
        print(f"  {name.replace('_', ' ')}: {value}")
    print(f"  {verdict} {wrong or ''}", flush=True)
    return not wrong and not summary["problems"]


@contextmanager
def postgresql():
    import psycopg

    name = f"imagineer_chaos_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(POSTGRES, connect_timeout=3, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRES.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def redis_server(folder: Path):
    server = RedisServer("redis-server", folder)
    try:
        yield server.url
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
