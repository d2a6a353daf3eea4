"""System checks: a wrong setting is an id and a sentence that says what to write instead."""

import os
import sqlite3
from pathlib import Path

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

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
    if looks_like_path and not Path(model).expanduser().is_dir():
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
