import os
import sqlite3
import subprocess
import sys

from tests.clusters import ROOT


def test_migrating_makes_the_data_directory_and_the_table_of_the_shared_cache_too(tmp_path):
    """Outside the test runner, which would make it by itself."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "imagineer.settings",
        "IMAGINEER_DATA_DIR": str(tmp_path / "not" / "there"),
    }
    environment.pop("DATABASE_URL", None)
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True, timeout=120
    )
    tables = (
        sqlite3.connect(tmp_path / "not" / "there" / "imagineer.sqlite3")
        .execute("SELECT name FROM sqlite_master")
        .fetchall()
    )
    assert ("cache",) in tables
