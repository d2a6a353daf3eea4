"""The web program, for gunicorn. It refuses to start on settings that ``manage.py check`` calls wrong."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagineer.settings")
application = get_wsgi_application()

from django.core.management.base import BaseCommand  # noqa: E402  the apps are loaded only now

BaseCommand().check()
