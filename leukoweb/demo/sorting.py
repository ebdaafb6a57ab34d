"""The demo of curation: a drawn development cohort, its labels ready to be frozen, and a task to sort it by hand."""

from __future__ import annotations

from cases.models import Cohort, SortingTask
from cases.services.phantom_cohorts import phantom_cohort_draw, phantom_labels_import
from cases.services.sorting_tasks import People, task_create
from cases.services.taxonomies import taxonomy_ensure
from leukoweb.core.audit import audit_record
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import AuditEvent, Role, User

COHORT = "Phantom training patients (demo)"
TASK = "Demo sorting (PHANTOM)"
SEED, N_PATIENTS, N_IMAGES = 7, 20, 120
MADE = "demo.sorting_made"
INSTRUCTIONS = "PHANTOM: drawn by leukoweb. Give every field one class; X takes out what nobody could use."


def sorting_queue() -> None:
    """Queue the making, unless it is done or queued already."""
    if not AuditEvent.objects.filter(action=MADE).exists():
        job_create(
            kind="demo.sorting", title=f"Make the demo sorting ({N_PATIENTS} synthetic patients)", payload={},
            actor=None, key="demo.sorting",
        )  # fmt: skip


def make(context: JobContext) -> str:
    """Draw, measure, label, deal. Each step is left alone where it is done already."""

    def tell(done: int, total: int, n_fields: int) -> None:
        context.check()
        context.progress(n_fields, N_IMAGES, f"patient {done} of {total}")

    cohort, labels = phantom_cohort_draw(
        actor=None, name=COHORT, n_patients=N_PATIENTS, n_images=N_IMAGES, seed=SEED, tell=tell
    )
    _task(cohort)
    phantom_labels_import(actor=None, cohort=cohort, labels=labels)
    audit_record(
        actor=None, action=MADE, target=f"cohort:{cohort.pk}", data={"patients": N_PATIENTS, "fields": len(labels)}
    )
    return f"{TASK}: {len(labels)} fields to sort"


def _task(cohort: Cohort) -> None:
    """Every pathologist of the demo sorts everything, blind to the drawing's own labels."""
    sorters = list(User.objects.filter(role=Role.PATHOLOGIST, is_active=True).order_by("pk")[:2])
    if sorters and not SortingTask.objects.filter(name=TASK).exists():
        task_create(
            actor=None, name=TASK, cohorts=[cohort], people=People(sorters), taxonomy=taxonomy_ensure(),
            instructions=INSTRUCTIONS,
        )  # fmt: skip
