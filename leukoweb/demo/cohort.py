"""The phantom cohort: 64 synthetic patients, drawn in the background, the first slide diagnosed at once."""

from __future__ import annotations

from cases.models import Cohort, HpfImage, Patient, Slide
from cases.phantoms import FIELD_UM, STYLES, PatientPlan, cohort_plan, draw_plan
from cases.services import cohort_create, image_add, reference_add, slide_ensure, slide_review_by_system
from inference.selectors.registry import pipeline_active
from inference.services.runs import run_request
from leukoweb.core.audit import audit_record
from leukoweb.core.jobs.bell import publish
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import AuditEvent

NAME = "Phantom cohort (demo)"
SEED = 20_240_826
DRAWN = "demo.cohort_drawn"


def plans() -> tuple[PatientPlan, ...]:
    """The 64 patients, one with a small leukemia slide first: it is the one that is diagnosed for the visitor."""
    everyone = cohort_plan(SEED)
    first = next(p for p in everyone if p.diagnosis == "AML" and 5 <= p.n_fields <= 8 and not p.planted)
    return (first, *(p for p in everyone if p is not first))


def demo_queue() -> None:
    """Queue the drawing, unless it is done or queued already. The launcher rings, once the broker is up."""
    if not AuditEvent.objects.filter(action=DRAWN).exists():
        job_create(
            kind="demo.draw", title="Draw the phantom cohort (64 synthetic patients)", payload={}, actor=None,
            key="demo.draw",
        )  # fmt: skip


def first_queue() -> None:
    """Queue the first patient alone, so that a visitor has a result while everything else is still drawn."""
    if not Cohort.objects.filter(name=NAME).exists():
        job_create(
            kind="demo.first", title="Draw the first phantom patient", payload={}, actor=None, key="demo.first"
        )  # fmt: skip


def _cohort() -> Cohort:
    return Cohort.objects.filter(name=NAME).first() or cohort_create(
        actor=None, name=NAME, purpose=Cohort.Purpose.EXTERNAL, synthetic=True,
        description="Drawn by leukoweb for demonstration. PHANTOM: no picture of a person went into it.",
    )  # fmt: skip


def draw_first(context: JobContext) -> str:
    """Draw one patient and have the AI diagnose it."""
    plan = plans()[0]
    draw_patient_plan(context, _cohort(), plan, 0, plan.n_fields)
    _diagnose(plan)
    return f"patient {plan.code}"


def draw(context: JobContext) -> str:
    """Draw patient after patient. What is drawn already is left alone, so a killed worker loses one field at most."""
    cohort = _cohort()
    everyone = plans()
    total, done = sum(p.n_fields for p in everyone), 0
    for index, plan in enumerate(everyone):
        done = draw_patient_plan(context, cohort, plan, done, total)
        if index == 0:
            _diagnose(plan)
    audit_record(
        actor=None, action=DRAWN, target=f"cohort:{cohort.pk}", data={"patients": len(everyone), "fields": total}
    )
    return f"{total} fields of {len(everyone)} synthetic patients"


def draw_patient_plan(context: JobContext, cohort: Cohort, plan: PatientPlan, done: int, total: int) -> int:
    """Draw the slide of one patient, unless it is there already. Returns how many fields are done."""
    style = STYLES[plan.style]
    device = style.device
    slide = slide_ensure(
        actor=None, cohort=cohort, patient_code=plan.code, slide_code=f"{plan.code}-S1", camera=device["camera"],
        microscope=device["microscope"], light=device["light"], magnification=1000, stain="May-Grünwald Giemsa (drawn)",
        technician="PHANTOM",
        pixel_size_um=round(FIELD_UM[0] / style.width_px, 4), note="PHANTOM: synthetic, drawn by leukoweb.",
    )  # fmt: skip
    if HpfImage.objects.filter(slide=slide).count() < _distinct(plan):
        for position, file in enumerate(draw_plan(plan), start=1):
            context.check()
            image_add(actor=None, slide=slide, data=file.jpeg, name=file.name, position=position)
            context.progress(done + position, total, f"patient {plan.code}")
    if HpfImage.objects.filter(slide=slide).exists():
        slide_review_by_system(slide)
    _reference(slide.patient, plan)
    return done + plan.n_fields


def _distinct(plan: PatientPlan) -> int:
    """Images that a complete slide holds: a byte-identical duplicate is not stored twice."""
    return plan.n_fields - sum(item.kind == "identical" for item in plan.planted)


def _reference(patient: Patient, plan: PatientPlan) -> None:
    if not patient.references.exists():
        reference_add(actor=None, patient=patient, diagnosis=plan.diagnosis, source="Drawn as such (phantom)")


def _diagnose(plan: PatientPlan) -> None:
    slide: Slide = Slide.objects.get(code=f"{plan.code}-S1")
    if pipeline_active() is None or slide.runs.exists():
        return
    run = run_request(actor=None, slide=slide)
    if run.job_id:
        publish(run.job_id)
