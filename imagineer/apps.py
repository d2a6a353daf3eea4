import contextlib
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.core.management import call_command
from django.db.models.signals import post_migrate
from django.utils import timezone


class ImagineerConfig(AppConfig):
    name = "imagineer"

    def ready(self):
        from imagineer import checks  # noqa: F401  registers itself
        from imagineer.jobs.reaper import on_tick

        on_tick(forget_expired_sessions)

        # `migrate` is the first thing that is done, and runs none of the checks; where this fails, they say why
        with contextlib.suppress(OSError):
            Path(settings.DATA_DIR).mkdir(parents=True, exist_ok=True)
        # The shared cache (throttles, statistics) lives in a table that no migration of Django's makes.
        # Without a sender: Django tells of no app that has no models, such as this one.
        post_migrate.connect(make_cache_table, dispatch_uid="imagineer.cache")


def make_cache_table(using, **_):
    call_command("createcachetable", database=using, verbosity=0)


def forget_expired_sessions() -> int:
    """Django leaves them to a command that nobody runs; each visitor who has confirmed an age leaves one."""
    from django.contrib.sessions.models import Session

    return Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]


class ImagineerAdminConfig(AdminConfig):
    default_site = "imagineer.admin_site.ImagineerAdminSite"
