"""The demo study: twelve synthetic patients of its own, whose results nobody has opened, locked and ready to read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cases.models import Cohort
from cases.phantoms import PatientPlan, cohort_plan
from cases.services import cohort_create
from inference.selectors.registry import pipeline_active
from inference.services.runs import cohort_run_request, job_ids
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict
from leukoweb.core.jobs.bell import publish_all
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import AuditEvent, Role, User
from leukoweb.demo.cohort import draw_patient_plan
from reader_study.models import Study
from reader_study.protocol import canonical, default_document
from reader_study.services.locking import study_lock_by_system
from reader_study.services.studies import study_create

COHORT = "Phantom study patients (demo)"
TITLE = "Demo study (PHANTOM)"
SEED = 20_260_116
N_PATIENTS, N_TRAINING, N_IMAGES = 12, 1, 58
MADE = "demo.study_made"
CONSENT = """PHANTOM: every field in this study was drawn by leukoweb. No picture of a person went into it.

I read alone and blinded. I tell nobody about the cases, and I say so if I recognise one or see information about it."""
INSTRUCTIONS = """Look at all fields of a patient, then choose one diagnosis for the patient and say how sure you are.
If the fields do not allow a diagnosis, choose "cannot decide" and the reason. Mark fields that decided.

The first case is for training and is not analysed."""


def plans() -> tuple[PatientPlan, ...]:
    """Thirteen small slides without planted defects, none of which is in the demo cohort; the last is for training."""
    drawn = cohort_plan(SEED, n_patients=N_PATIENTS + N_TRAINING, total_images=N_IMAGES, large_slide=0)
    return tuple(replace(plan, code=f"PHANTOM-S{i:03d}", planted=()) for i, plan in enumerate(drawn, start=1))


def study_queue() -> None:
    """Queue the making, unless it is done or queued already."""
    if not AuditEvent.objects.filter(action=MADE).exists():
        job_create(
            kind="demo.study", title="Make the demo study (12 synthetic patients)", payload={}, actor=None,
            key="demo.study",
        )  # fmt: skip


def make(context: JobContext) -> str:
    """Draw the patients, lock the protocol, have the AI predict. Each step is left alone where it is done already."""
    cohort = Cohort.objects.filter(name=COHORT).first() or cohort_create(
        actor=None, name=COHORT, purpose=Cohort.Purpose.EXTERNAL, synthetic=True,
        description="Drawn by leukoweb for the demo study. PHANTOM: no picture of a person went into it.",
    )  # fmt: skip
    everyone = plans()
    total, done = sum(plan.n_fields for plan in everyone), 0
    for plan in everyone:
        done = draw_patient_plan(context, cohort, plan, done, total)
    study = _study(everyone)
    if study.state == Study.State.DRAFT:
        study_lock_by_system(study)
    if pipeline_active() is not None:
        publish_all(job_ids(cohort_run_request(actor=None, cohort=cohort)))
    audit_record(actor=None, action=MADE, target=f"study:{study.pk}", data={"patients": len(everyone)})
    return f"{TITLE}: ready to read"


def _study(everyone: tuple[PatientPlan, ...]) -> Study:
    if (made := Study.objects.filter(title=TITLE).first()) is not None:
        return made
    coordinators = list(User.objects.filter(role=Role.COORDINATOR, is_active=True).order_by("pk")[:1])
    readers = list(User.objects.filter(role=Role.PATHOLOGIST, is_active=True).order_by("pk")[:3])
    if not (coordinators and readers):
        raise Conflict("The demo study needs a coordinator and a pathologist.", hint="Make them, then retry the job.")
    return study_create(actor=None, title=TITLE, document=protocol(everyone, readers), coordinators=coordinators)


def protocol(everyone: tuple[PatientPlan, ...], readers: list[User]) -> dict[str, Any]:
    """Everybody reads blinded, the first reader twice, 42 days apart."""
    pipeline = pipeline_active()
    primary = {"name": pipeline.name, "version": pipeline.version} if pipeline else None
    compared = [{"metric": "macro_f1", "role": "primary", "comparison": "ai_vs_reader_mean" if primary else "none"}]
    compared.append({"metric": "intra_observer_kappa", "role": "secondary", "comparison": "none"})
    document = default_document() | {
        "title": TITLE,
        "question": "Does the starter pipeline diagnose drawn patients as well as a pathologist does? PHANTOM.",
        "readers": [
            {"label": f"P{i}", "username": reader.username, "specialty": "Demonstration",
             "sessions": ["blinded", "blinded"] if i == 1 else ["blinded"]}
            for i, reader in enumerate(readers, start=1)
        ],
        "order_seed": SEED, "ai": {"primary": primary, "comparators": []}, "endpoints": compared,
        "consent": CONSENT, "instructions": INSTRUCTIONS,
    }  # fmt: skip
    document["cases"] = {"cohort": COHORT, "patients": "all", "training": [everyone[-1].code]}
    document["planning"]["justification"] = "Small enough to try in a few minutes; too small to conclude anything."
    return canonical(document)
