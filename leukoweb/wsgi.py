"""WSGI entry point. Refuses to serve a database whose append-only guards are missing."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")
application = get_wsgi_application()

from django.db import connections  # noqa: E402  these need the applications that the line above loads
from django.urls import reverse  # noqa: E402

from leukoweb.core.guards import require_guards  # noqa: E402

require_guards()
# All views are imported now, by one thread. Left to the first requests, several threads import the same modules at
# once and were seen to wait for each other's import locks for ever.
reverse("home")
# With `gunicorn --preload` the processes that serve are forked from here: none may inherit this connection.
connections.close_all()
