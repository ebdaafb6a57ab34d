"""Running one job, whoever rang: a Celery task or a polling worker."""

from __future__ import annotations

import logging
import os
import socket
import uuid

from leukoweb.core.exceptions import DomainError, StorageDown, StorageFull
from leukoweb.core.jobs import ledger, registry
from leukoweb.core.jobs.context import JobCancelled, JobContext, LeaseLost
from leukoweb.core.troubles import trouble_of

log = logging.getLogger(__name__)


def owner_name() -> str:
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def execute(job_id: uuid.UUID) -> bool:
    """Claim and do the job. False if there was nothing to do (taken, finished or cancelled)."""
    claim = ledger.job_claim(job_id, owner_name())
    if claim is None:
        return False
    log.info("job %s %s: start, attempt %s", claim.kind, claim.job_id, claim.attempt)
    context = JobContext(claim)
    try:
        with context.beating():
            note = registry.kind(claim.kind).handler()(context)
    except JobCancelled:
        ledger.job_mark_cancelled(claim)
        log.info("job %s %s: cancelled", claim.kind, claim.job_id)
    except LeaseLost:
        log.warning("job %s %s: another worker has it now; stopped without writing", claim.kind, claim.job_id)
    except Exception as error:  # the boundary: whatever happens is written on the row and the worker lives on
        _failed(claim, error)
    else:
        if ledger.job_finish(claim, note or ""):
            context.done()
            log.info("job %s %s: done", claim.kind, claim.job_id)
    return True


def _failed(claim: ledger.Claim, error: Exception) -> None:
    """What is wrong with the work fails it at once; what is wrong with the machine is waited for, or tried again."""
    trouble = trouble_of(error)
    if isinstance(trouble, StorageDown | StorageFull):
        ledger.job_stall(claim, code=trouble.code, message=trouble.message, hint=trouble.hint)
        log.warning("job %s %s: waits: %s", claim.kind, claim.job_id, trouble.message)
    elif isinstance(error, DomainError):
        ledger.job_fail(claim, code=error.code, message=error.nameless, hint=error.hint)
        log.warning("job %s %s: failed: %s", claim.kind, claim.job_id, error.nameless)
    else:
        log.error("job %s %s: unexpected error", claim.kind, claim.job_id, exc_info=error)
        ledger.job_put_back(claim, message=trouble.message if trouble else f"{type(error).__name__}: {error}")
