"""WSGI entry point. Refuses to serve a database whose append-only guards are missing."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")
application = get_wsgi_application()


def _refuse_unguarded_database() -> None:
    from django.core.checks import Tags, run_checks
    from django.core.exceptions import ImproperlyConfigured

    problems = run_checks(tags=[Tags.database], databases=["default"])
    if problems:
        raise ImproperlyConfigured("; ".join(f"{p.msg} {p.hint or ''}".strip() for p in problems))


_refuse_unguarded_database()
