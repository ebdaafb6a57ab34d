"""A dataset that was sent: streamed to disk, its list checked at once, its images taken in by a job."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from pathlib import Path

from django.conf import settings
from django.db import transaction

from cases.models import Cohort
from cases.services.archives import Readable, stream_store
from cases.services.dataset_imports import Target, dataset_check, phantoms_of
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError, TooLarge
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job, User

KIND = "cases.import_dataset"
DATASET_BYTES_MAX = 4_000_000_000


def dataset_archive_path(name: str) -> Path:
    """Where the archive of a job waits; ``name`` is made here and never comes from a request."""
    return Path(settings.DATA_DIR) / "uploads" / f"dataset-{name}.zip"


def require_length(size_bytes: int | None) -> int:
    """Refuse by what is announced, before a byte of the body is read."""
    if size_bytes is None or size_bytes < 0:
        raise DomainError("The length of the body is not stated.", code="E_LENGTH", hint="Send Content-Length.")
    if size_bytes > DATASET_BYTES_MAX:
        raise TooLarge(
            f"The archive is too large: {size_bytes / 1e9:.1f} GB > {DATASET_BYTES_MAX / 1e9:.0f} GB.",
            hint="Use `manage.py import_dataset` on the server, which has no limit.",
        )
    return size_bytes


def dataset_receive(*, actor: User, stream: Readable, size_bytes: int | None, target: Target) -> tuple[Job, int]:
    """Keep the archive, check its list and codes, and queue the job that takes its images in. The caller rings.

    Returns
    -------
    The job and the number of images that the list names.

    Raises
    ------
    Conflict
        An import into this cohort is running, and what `dataset_check` finds.
    DomainError
        Too large, ended early, or whatever `dataset_check` refuses; nothing is kept then.
    """
    length, key = require_length(size_bytes), f"dataset:{target.cohort}"[:120]
    running = Conflict(
        f"An import into the cohort {target.cohort!r} is running.", field="cohort", hint="Wait for its end."
    )
    if Job._base_manager.filter(key=key, status__in=Job.ACTIVE).exists():
        raise running
    name = uuid.uuid4().hex
    path = dataset_archive_path(name)
    stream_store(path, stream, size_bytes=length)
    try:
        n = dataset_check(path, target)
        with transaction.atomic():
            job = job_create(
                kind=KIND, title=f"Import a dataset into {target.cohort}", payload={"file": name, **asdict(target)},
                actor=actor, key=key, total_units=2 * n,
            )  # fmt: skip
            if job.payload["file"] != name:  # somebody else's began while this archive was on its way
                raise running
            audit_record(
                actor=actor, action="dataset.receive", target=f"job:{job.pk}",
                data={"cohort": target.cohort, "purpose": target.purpose, "n_images": n, "size_bytes": length},
            )  # fmt: skip
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return job, n


def imports_into(cohort: Cohort) -> str:
    """In words what finds the cohort by its name: an import that has not ended, or that can be tried again."""
    name = Cohort.objects.values_list("name", flat=True).get(pk=cohort.pk)
    stopped = (Job.Status.FAILED, Job.Status.CANCELLED)
    jobs = Job._base_manager.filter(kind=KIND, status__in=[*Job.ACTIVE, *stopped])
    for status, payload in jobs.values_list("status", "payload"):
        if name not in (payload["cohort"], phantoms_of(payload["cohort"])):
            continue
        if status not in stopped:
            return "a dataset import that has not ended"
        if dataset_archive_path(payload["file"]).is_file():
            return "a dataset import that stopped and can be tried again for a day"
    return ""


def archives_wanted() -> set[str]:
    """File names of archives that an unfinished job waits for; those of failed ones stay for the sweep's day."""
    jobs = Job._base_manager.filter(kind=KIND, status__in=Job.ACTIVE)
    return {dataset_archive_path(payload["file"]).name for payload in jobs.values_list("payload", flat=True)}
