"""What the web server serves."""

import os

from django.core.wsgi import get_wsgi_application

from console.db import statement_timeout
from console.server import preload

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

statement_timeout.enable()
application = get_wsgi_application()
preload.load_views_and_templates()
