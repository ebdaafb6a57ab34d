"""The Celery application; all its settings are the CELERY_ ones of leukoweb.settings."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")

app = Celery("leukoweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["leukoweb.core"])
