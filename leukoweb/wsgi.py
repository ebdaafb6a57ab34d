"""WSGI entry point. Refuses to serve without its secrets or a database whose append-only guards are missing."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured

BOOT_ERROR = 3  # tells gunicorn to stop instead of starting the same worker again and again

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")
os.environ["SERVES_WEB"] = "1"
try:
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()

    from django.db import connections  # these need the applications that the line above loads
    from django.urls import reverse

    from leukoweb.core.guards import require_guards

    require_guards()
    # All views are imported now, by one thread. Left to the first requests, several threads import the same modules
    # at once and were seen to wait for each other's import locks for ever.
    reverse("home")
    # With `gunicorn --preload` the processes that serve are forked from here: none may inherit this connection.
    connections.close_all()
except ImproperlyConfigured as error:
    sys.stderr.write(f"leukoweb does not start: {error}\n")
    sys.exit(BOOT_ERROR)
