"""Settings of the tests: a data folder of their own for each process of the run, and fast password hashing."""

import os
import tempfile
from pathlib import Path

if "TALLYMAN_TEST_CHILD" not in os.environ:  # a worker that a test starts brings a folder of its own
    _root = os.environ.setdefault("TALLYMAN_TEST_DATA", "") or tempfile.mkdtemp(prefix="tallyman-tests-")
    os.environ["TALLYMAN_TEST_DATA"] = _root
    os.environ["TALLYMAN_DATA"] = str(Path(_root) / os.environ.get("PYTEST_XDIST_WORKER", "main"))
os.environ["TALLYMAN_ALLOWED_NETWORKS"] = "127.0.0.0/8,::1/128"
os.environ["TALLYMAN_PLAIN_HTTP_HOSTS"] = "127.0.0.1,localhost"
os.environ["TALLYMAN_TRIVY_DATABASE_AT"] = "off"
os.environ.pop("TALLYMAN_DEBUG", None)

from console.jobs.configuration import JobTimes
from console.settings import *  # noqa: F403
from registries.oci import transport

transport.FIRST_PAUSE_SECONDS = 0.01  # between tries
SCANS_PER_WORKER = 1
JOB_TIMES = JobTimes(chain=0)  # tests call for one job at a time

# A file, not memory: jobs renew their lease from a thread, and workers are processes.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405

KEPT_FROM_SECONDS = float("inf")  # a busy machine must not make figures old
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
