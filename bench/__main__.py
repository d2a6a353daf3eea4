"""``python -m bench``: every measurement next to the baseline it is compared with; see docs/BENCHMARKS.md.

Each subject is a module of this package with ``measure(full) -> iterable of lines``, run in a process of its own so that
none warms another. A line is a dict: id, what, ours, baseline, ratio, goal, met.
"""

import argparse
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

SUBJECTS = ("generation", "run", "jobs", "gallery", "visitors", "contention", "reliability", "starter")
RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=SUBJECTS, action="append")
    parser.add_argument("--full", action="store_true", help="true sizes instead of one tenth of them")
    parser.add_argument("--subject", choices=SUBJECTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.subject:
        for line in import_module(f"bench.{options.subject}").measure(full=options.full):
            print(json.dumps(line), flush=True)
        return 0
    lines, broken = [], []
    for subject in options.only or SUBJECTS:
        command = [sys.executable, "-m", "bench", "--subject", subject, *(["--full"] if options.full else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment())
        if done.returncode:
            broken.append(subject)
        for text in done.stdout.splitlines():
            if text.startswith('{"id"'):
                lines.append(json.loads(text))
                show(lines[-1])
    RESULTS.write_text(json.dumps(lines, indent=1))
    if broken:
        print(f"Broke: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def environment() -> dict:
    """One thread, so that processor time is comparable; a library of its own."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "IMAGINEER_THREADS": "1",
        "DJANGO_DEBUG": "0",
        "DJANGO_SECRET_KEY": "a key for measurements, which protects nothing and is long enough",
        "IMAGINEER_LOG_LEVEL": "ERROR",
    }


def show(line: dict) -> None:
    verdict = {True: "met", False: "NOT MET", None: ""}[line["met"]]
    print(
        f"{line['id']:<4} {line['what']}\n     {line['ours']} | {line['baseline']} | {line['ratio']} | goal {line['goal']} {verdict}"
    )


if __name__ == "__main__":
    sys.exit(main())
