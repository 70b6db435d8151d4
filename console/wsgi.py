"""What the web server serves."""

import os

from django.core.wsgi import get_wsgi_application

from console import statements, warm

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

statements.bound()
application = get_wsgi_application()
warm.warm_up()
