"""WSGI entry point. Refuses to serve a database whose append-only guards are missing."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")
application = get_wsgi_application()

from leukoweb.core.guards import require_guards  # noqa: E402  needs the applications that the line above loads

require_guards()
