"""Settings of the tests: a data folder of their own, and fast password hashing."""

import os
import tempfile

os.environ.setdefault("TALLYMAN_DATA", tempfile.mkdtemp(prefix="tallyman-tests-"))
os.environ.setdefault("TALLYMAN_ALLOWED_NETWORKS", "127.0.0.0/8,::1/128")
os.environ.setdefault("TALLYMAN_PLAIN_HTTP_HOSTS", "127.0.0.1,localhost")

from console.settings import *  # noqa: F403

# A file, not memory: jobs renew their lease from a thread, and workers are processes.
DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
