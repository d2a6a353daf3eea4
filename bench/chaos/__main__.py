"""``make chaos``: clusters are killed at random on every database, and what is lost is counted.

A line a database; exit 1 when anything was lost, doubled or left behind. ``short=1`` hurts 60 times in all, as CI does.
"""

import argparse
import json
import os
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
MUST_BE_NOTHING = (
    "jobs_lost",
    "items_lost",
    "items_doubled",
    "albums_doubled",
    "files_without_row",
    "rows_without_file",
    "processes_left",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="60 times in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["sqlite", "postgresql", "redis"])
    parser.add_argument("--kills", type=int, help="for each campaign, instead of the plan")
    options = parser.parse_args()
    is_whole = True
    for (work, database), kills in (SHORT if options.short else PLAN).items():
        if options.only in (None, database):
            is_whole &= campaign(work, database, options.kills or kills, options.seed)
    return 0 if is_whole else 1


def campaign(work: str, database: str, kills: int, seed: int) -> bool:
    print(f"{work} on {database}: {kills} times, seed {seed}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imagineer-chaos-")))
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.cluster_settings",
            "DJANGO_SECRET_KEY": "a key for chaos, which protects nothing and is long enough for the checks",
            "DATABASE_URL": f"sqlite:///{folder}/chaos.sqlite3",
            "IMAGINEER_DATA_DIR": str(folder),
            "IMAGINEER_JOB_LEASE": "3",
            "IMAGINEER_THREADS": "1",
            "IMAGINEER_LOG_LEVEL": "ERROR",
            "OMP_NUM_THREADS": "1",
        }
        if database == "postgresql":
            environment["DATABASE_URL"] = stack.enter_context(postgresql())
        if database == "redis":
            environment["REDIS_URL"] = stack.enter_context(redis_server(folder))
        if work == "decks":
            from tests.imagineer.engine.tiny_model import build_tiny_model

            environment["IMAGINEER_MODEL"] = str(build_tiny_model(folder / "tiny"))
        options = [f"--folder={folder}", f"--work={work}", f"--kills={kills}", f"--seed={seed}"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
        done = subprocess.run(
            [sys.executable, "-m", "bench.chaos.campaign", *options],
            env=inherited | environment,
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
