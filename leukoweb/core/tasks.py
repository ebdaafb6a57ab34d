"""The only Celery task: do the job of this id. Its queue is named when the bell is rung."""

from __future__ import annotations

import uuid

from celery import shared_task
from django.db import close_old_connections


@shared_task(name="core.run_job")
def run_job(job_id: str) -> None:
    from leukoweb.core.jobs.execute import execute

    close_old_connections()
    execute(uuid.UUID(job_id))
