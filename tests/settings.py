"""The settings of the test process. It keeps away from the library and the secrets of whoever runs it."""

import os
import tempfile
from pathlib import Path

os.environ["DJANGO_DEBUG"] = "0"
os.environ["DJANGO_SECRET_KEY"] = (
    "a key for the tests, which protects nothing and is long enough for the checks"
)
os.environ["IMAGINEER_DATA_DIR"] = tempfile.mkdtemp(prefix="imagineer-tests-")
Path(os.environ["IMAGINEER_DATA_DIR"], "static").mkdir()
os.environ["IMAGINEER_ADMIN_EMAILS"] = "ada@example.org,grace@example.org"
os.environ.setdefault("IMAGINEER_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DJANGO_ALLOWED_HOSTS"] = "testserver,localhost,127.0.0.1"
for name in (
    "REDIS_URL",
    "Q_CLUSTER_NAME",
    "IMAGINEER_MODEL",
    "IMAGINEER_LOG_FILE",
    "AWS_STORAGE_BUCKET_NAME",
    "IMAGINEER_X_ACCEL",
):
    os.environ.pop(name, None)

from tests.cluster_settings import *  # noqa: E402, F403
from tests.cluster_settings import DATA_DIR, DATABASES, IS_SQLITE  # noqa: E402

if IS_SQLITE:
    # In a file: the threads of a job have connections of their own, and those to one database in memory share a
    # cache whose table locks no timeout waits for.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}
