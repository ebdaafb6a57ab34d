"""The Celery application; all its settings are the CELERY_ ones of leukoweb.settings."""

import os

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")

app = Celery("leukoweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["leukoweb.core"])


@worker_init.connect
def _refuse_unguarded_database(**kwargs: object) -> None:
    from leukoweb.core.guards import require_guards

    require_guards()
