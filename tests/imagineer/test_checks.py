"""A wrong setting is explained before anything starts."""

import json
import os
import subprocess
import sys

import pytest

from imagineer.checks import model_setting_names_a_model
from tests.clusters import ROOT


def check(*options, program="", **variables) -> subprocess.CompletedProcess:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("IMAGINEER_", "DJANGO_"))
    }
    return subprocess.run(
        [sys.executable, *(("-c", program) if program else ("manage.py", "check", *options))],
        env=clean
        | {"DJANGO_SETTINGS_MODULE": "imagineer.settings", "DJANGO_DEBUG": "0", "DJANGO_SECRET_KEY": "x" * 60}
        | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"IMAGINEER_JOB_LEASE": "soon"}, ["imagineer.E001", "IMAGINEER_JOB_LEASE", "from 1 to 3600"]),
        (
            {"IMAGINEER_SQLITE_SYNCHRONOUS": "OFF"},
            ["imagineer.E001", "IMAGINEER_SQLITE_SYNCHRONOUS", "NORMAL, FULL"],
        ),
        ({"DJANGO_DEBUG": "perhaps"}, ["imagineer.E001", "DJANGO_DEBUG"]),
        ({"IMAGINEER_DATA_DIR": "/proc/nowhere"}, ["imagineer.E002", "/proc/nowhere"]),
        ({"Q_CLUSTER_NAME": "gpus"}, ["imagineer.E004", "gpus"]),
    ],
)
def test_a_wrong_setting_is_an_id_and_a_sentence(variables, words, tmp_path):
    done = check(**{"IMAGINEER_DATA_DIR": str(tmp_path)} | variables)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr


def test_a_model_that_is_not_there_is_a_warning_since_the_gallery_serves_without_it(tmp_path):
    done = check(IMAGINEER_DATA_DIR=str(tmp_path), IMAGINEER_MODEL="/no/such/model")
    assert done.returncode == 0
    assert "imagineer.W003" in done.stderr
    assert "/no/such/model" in done.stderr


def test_good_settings_pass(tmp_path):
    done = check(IMAGINEER_DATA_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("mode", "level"), [("NORMAL", 1), ("FULL", 2)])
def test_sqlite_waits_for_the_disk_as_it_is_told(tmp_path, mode, level):
    ask = (
        "import django; django.setup(); from django.db import connection as c; "
        "print(c.cursor().execute('PRAGMA synchronous').fetchone())"
    )
    variables = {
        "IMAGINEER_DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "IMAGINEER_SQLITE_SYNCHRONOUS": mode,
    }
    assert check(program=ask, **variables).stdout == f"({level},)\n"


def test_without_a_secret_key_nothing_starts_outside_debug(tmp_path):
    done = check(IMAGINEER_DATA_DIR=str(tmp_path), DJANGO_SECRET_KEY="")
    assert done.returncode == 1
    assert "DJANGO_SECRET_KEY is not set" in done.stderr


def test_the_web_program_refuses_wrong_settings(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import imagineer.wsgi"],
        env=os.environ | {"IMAGINEER_JOB_LEASE": "soon", "IMAGINEER_DATA_DIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "IMAGINEER_JOB_LEASE" in done.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {
                "GOOGLE_CLIENT_ID": "x",
                "IMAGINEER_SITE_URL": "gallery.example.org",
                "CORS_ALLOWED_ORIGINS": "*,null,https://example.org/path",
                "IMAGINEER_TRUSTED_PROXIES": "yes",
                "IMAGINEER_ADMIN_EMAILS": "ada;grace@example.org,\u0430da@example.org",
            },
            [
                "E006) GOOGLE_CLIENT_ID is set and GOOGLE_CLIENT_SECRET is not",
                "IMAGINEER_SITE_URL is 'gallery.example.org'",
                "CORS_ALLOWED_ORIGINS is '*'",
                "CORS_ALLOWED_ORIGINS is 'null'",
                "CORS_ALLOWED_ORIGINS is 'https://example.org/path'",
                "IMAGINEER_TRUSTED_PROXIES is 'yes'",
                "E005) IMAGINEER_ADMIN_EMAILS holds 'ada;grace@example.org'",
                "E005) IMAGINEER_ADMIN_EMAILS holds '\u0430da@example.org'",
            ],
        ),
        (
            {"GOOGLE_CLIENT_SECRET": "x", "IMAGINEER_SITE_URL": "https://example.org/gallery"},
            ["GOOGLE_CLIENT_SECRET is set and GOOGLE_CLIENT_ID is not", "without a path"],
        ),
        (
            {"GOOGLE_CLIENT_ID": "x", "GOOGLE_CLIENT_SECRET": "y"},
            ["imagineer.E007", "IMAGINEER_SITE_URL is not set", "/auth/google/callback"],
        ),
        (
            {
                "GOOGLE_CLIENT_ID": "x",
                "GOOGLE_CLIENT_SECRET": "y",
                "IMAGINEER_SITE_URL": "http://example.org",
            },
            ["imagineer.E007", "not https"],
        ),
    ],
)
def test_a_sign_in_that_could_not_work_is_an_id_and_a_sentence(variables, words, tmp_path):
    done = check(**{"IMAGINEER_DATA_DIR": str(tmp_path)} | variables)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr


def test_a_site_address_that_is_not_served_is_a_warning(tmp_path):
    done = check(IMAGINEER_DATA_DIR=str(tmp_path), IMAGINEER_SITE_URL="https://gallery.example.org")
    assert done.returncode == 0
    assert "imagineer.W004" in done.stderr


def test_google_that_is_set_whole_passes(tmp_path):
    done = check(
        IMAGINEER_DATA_DIR=str(tmp_path),
        IMAGINEER_SITE_URL="https://gallery.example.org/",
        DJANGO_ALLOWED_HOSTS="gallery.example.org",
        GOOGLE_CLIENT_ID="x",
        GOOGLE_CLIENT_SECRET="y",
        IMAGINEER_ADMIN_EMAILS="ada@example.org",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nobody_waits_for_a_postgresql_behind_a_broken_network_longer_than_the_address_says(tmp_path):
    program = "import json; from django.conf import settings as s; print(json.dumps(s.DATABASES['default']['OPTIONS']))"
    done = check(
        program=program,
        IMAGINEER_DATA_DIR=str(tmp_path),
        DATABASE_URL="postgres://u@h/n?sslmode=require&connect_timeout=3",
    )
    options = json.loads(done.stdout)
    assert (options["sslmode"], options["connect_timeout"]) == ("require", 3)
    assert options["tcp_user_timeout"] > 0 and options["keepalives_idle"] > 0


def test_a_model_on_a_disk_that_cannot_be_looked_into_is_a_warning(settings, tmp_path, cut_off):
    settings.MODEL = str(tmp_path / "share" / "fox")
    cut_off(tmp_path / "share")
    [warning] = model_setting_names_a_model(None)
    assert warning.id == "imagineer.W003"
