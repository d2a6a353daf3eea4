"""The project's settings and an app with jobs that need no card: for the clusters that tests start."""

from imagineer.settings import *  # noqa: F403
from imagineer.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.jobs_app"]
