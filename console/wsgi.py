"""What the web server serves."""

import os

from django.core.wsgi import get_wsgi_application

from console import warm
from console.db import statement_timeout

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

statement_timeout.bound()
application = get_wsgi_application()
warm.warm_up()
