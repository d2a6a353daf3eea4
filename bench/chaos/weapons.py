"""Ways to hurt a running cluster. Each leaves it ended, or as whole as it was."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.clusters import Cluster, freeze, kill_group, thaw, with_no_complaint


def kill_main(cluster: Cluster, dice: random.Random) -> None:
    cluster.main.kill()


def kill_sentinel(cluster: Cluster, dice: random.Random) -> None:
    cluster.sentinel.kill()


def kill_worker(cluster: Cluster, dice: random.Random) -> None:
    dice.choice(cluster.workers).kill()


def kill_pusher(cluster: Cluster, dice: random.Random) -> None:
    cluster.pusher.kill()


def kill_monitor(cluster: Cluster, dice: random.Random) -> None:
    cluster.monitor.kill()


def kill_everything(cluster: Cluster, dice: random.Random) -> None:
    """As a machine that loses its power, as far as processes go."""
    for process in cluster.processes():
        with_no_complaint(process.kill)


def stop_main(cluster: Cluster, dice: random.Random) -> None:
    cluster.main.terminate()


def stop_group(cluster: Cluster, dice: random.Random) -> None:
    kill_group(cluster, signal.SIGTERM)


def freeze_worker(cluster: Cluster, dice: random.Random) -> None:
    """A worker stands still for longer than its lease, then wakes and finds that another has its work."""
    victim = dice.choice(cluster.workers)
    freeze(victim)
    time.sleep(cluster.site.lease * 1.5)
    thaw(victim)


def freeze_all(cluster: Cluster, dice: random.Random) -> None:
    """As a laptop that is closed and opened again."""
    processes = cluster.processes()
    for process in processes:
        with_no_complaint(lambda process=process: freeze(process))
    time.sleep(cluster.site.lease * 1.5)
    for process in processes:
        with_no_complaint(lambda process=process: thaw(process))


Weapon = Callable[[Cluster, random.Random], None]
# how often of 100; freezing takes seconds, so it is rare
WEAPONS: dict[Weapon, int] = {
    kill_main: 15,
    kill_sentinel: 13,
    kill_worker: 26,
    kill_pusher: 8,
    kill_monitor: 8,
    kill_everything: 10,
    stop_main: 8,
    stop_group: 8,
    freeze_worker: 2,
    freeze_all: 2,
}
ENDS_IN_ORDER = (stop_main, stop_group)
ENDS_NOTHING = (freeze_worker, freeze_all)


def strike(cluster: Cluster, dice: random.Random) -> Weapon:
    """Hurt the cluster in a random way; one that is ending already is left alone."""
    weapon = dice.choices(list(WEAPONS), weights=list(WEAPONS.values()))[0]
    with suppress(psutil.NoSuchProcess, IndexError, ProcessLookupError):  # on its way down by itself
        weapon(cluster, dice)
    return weapon
