"""System checks: a wrong setting is an id and a sentence that says what to write instead."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http.request import validate_host

from imagineer.engine.model_folder import is_folder

# A corruption bug of SQLite's write-ahead log lives in every version before this one.
FIRST_SOUND_SQLITE = (3, 51, 3)


@register
def settings_can_be_used(app_configs, **kwargs):
    return [Error(sentence, id="imagineer.E001") for sentence in settings.SETTINGS_PROBLEMS]


@register
def data_directory_is_writable(app_configs, **kwargs):
    place = Path(settings.DATA_DIR)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
    else:
        if os.access(place, os.W_OK | os.X_OK):
            return []
        reason = "it cannot be written to"
    return [
        Error(
            f"IMAGINEER_DATA_DIR names {place}, but {reason}.",
            hint="Make the directory and give it to the user that runs Imagineer, or name another one.",
            id="imagineer.E002",
        )
    ]


@register
def model_setting_names_a_model(app_configs, **kwargs):
    model = settings.MODEL
    looks_like_path = model.startswith(("/", "./", "../", "~"))
    if looks_like_path and not is_folder(Path(model).expanduser()):
        # a warning: the gallery serves, and light work goes on, without a model
        return [
            Warning(
                f"IMAGINEER_MODEL names the folder {model}, which is not there.",
                hint="Write the path of a diffusers folder, the name of a folder in IMAGINEER_MODELS_DIR, or 'starter'.",
                id="imagineer.W003",
            )
        ]
    return []


@register
def queues_agree(app_configs, **kwargs):
    """A process that inherits a queue's name from its environment would ring the wrong bell without a word."""
    name = os.environ.get("Q_CLUSTER_NAME")
    known = {settings.Q_CLUSTER["name"], "default", *settings.Q_CLUSTER["ALT_CLUSTERS"]}
    if name and name not in known:
        return [
            Error(
                f"Q_CLUSTER_NAME is {name!r}, and there is no such queue.",
                hint="Leave it unset; `manage.py work QUEUE` sets it for its own workers.",
                id="imagineer.E004",
            )
        ]
    return []


@register
def admin_addresses_are_addresses(app_configs, **kwargs):
    """One that nobody can have lets nobody in, which looks like a broken sign-in."""
    errors = []
    for address in settings.ADMIN_EMAILS:
        try:
            validate_email(address)
            is_good = address.isascii()
        except ValidationError:
            is_good = False
        if not is_good:
            errors.append(
                Error(
                    f"IMAGINEER_ADMIN_EMAILS holds {address!r}, which is no e-mail address that can sign in.",
                    hint="Write plain addresses, separated by commas: ada@example.org,grace@example.org",
                    id="imagineer.E005",
                )
            )
    return errors


@register
def google_is_set_whole(app_configs, **kwargs):
    if bool(settings.GOOGLE_CLIENT_ID) == bool(settings.GOOGLE_CLIENT_SECRET):
        return []
    there, missing = "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"
    if settings.GOOGLE_CLIENT_SECRET:
        there, missing = missing, there
    return [
        Error(
            f"{there} is set and {missing} is not, so nobody can sign in with Google.",
            hint="Set both, from the same client in Google's console, or neither.",
            id="imagineer.E006",
        )
    ]


@register
def google_knows_the_way_back(app_configs, **kwargs):
    """Google compares the whole address that it sends people back to; behind a proxy we cannot know it by ourselves."""
    if not settings.HAS_GOOGLE:
        return []
    site = urlsplit(settings.SITE_URL)
    if not settings.SITE_URL:
        if settings.DEBUG:
            return []  # a machine that only its owner reaches, by the address in the browser
        problem = "IMAGINEER_SITE_URL is not set"
    elif site.scheme == "http" and site.hostname not in ("localhost", "127.0.0.1", "::1"):
        problem = f"IMAGINEER_SITE_URL is {settings.SITE_URL}, which is not https"
    else:
        return []
    return [
        Error(
            f"{problem}, so Google would send nobody back here.",
            hint="Write the public address, such as https://gallery.example.org. In Google's console it stands "
            "with /auth/google/callback at its end.",
            id="imagineer.E007",
        )
    ]


@register
def site_address_is_served(app_configs, **kwargs):
    host = urlsplit(settings.SITE_URL).hostname
    if (
        not host
        or settings.DEBUG
        or validate_host(f"[{host}]" if ":" in host else host, settings.ALLOWED_HOSTS)
    ):
        return []
    return [
        Warning(
            f"IMAGINEER_SITE_URL names {host}, and DJANGO_ALLOWED_HOSTS does not, so requests for it are refused.",
            hint=f"Add {host} to DJANGO_ALLOWED_HOSTS.",
            id="imagineer.W004",
        )
    ]


@register(Tags.security, deploy=True)
def admins_are_named(app_configs, **kwargs):
    if settings.ADMIN_EMAILS:
        return []
    return [
        Warning(
            "IMAGINEER_ADMIN_EMAILS is empty, so nobody can be given an API token or sign in as an admin by address.",
            hint="Write the addresses of your admins, separated by commas.",
            id="imagineer.W001",
        )
    ]


@register(Tags.database, deploy=True)
def sqlite_is_sound(app_configs, **kwargs):
    if not settings.IS_SQLITE or sqlite3.sqlite_version_info >= FIRST_SOUND_SQLITE:
        return []
    return [
        Warning(
            f"SQLite {sqlite3.sqlite_version} can lose pages when two processes write and checkpoint at one instant.",
            hint="It is rare. Use a Python linked with SQLite 3.51.3 or later, or PostgreSQL (DATABASE_URL), "
            "and keep backups.",
            id="imagineer.W002",
        )
    ]
