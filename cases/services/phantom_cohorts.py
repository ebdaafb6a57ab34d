"""A drawn development cohort with the labels of the drawing: for demonstration, tests and trying out training."""

from __future__ import annotations

from collections.abc import Callable

from cases.models import Cohort, HpfImage, SortingTask
from cases.phantoms import STYLES, TRAINING_STYLES, PatientPlan, development_plan, draw_plan, patient_labels
from cases.services.cohorts import cohort_create
from cases.services.curation import contents_measure
from cases.services.images import image_add
from cases.services.label_imports import labels_import
from cases.services.reviews import slide_review_by_system
from cases.services.taxonomies import taxonomy_ensure
from cases.services.uploads import slide_ensure
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import User


def phantom_cohort_draw(
    *, actor: User | None, name: str, n_patients: int, n_images: int, seed: int, width_px: int | None = None,
    tell: Callable[[int, int, int], None] = lambda done, total, n_fields: None,
) -> tuple[Cohort, dict[int, str]]:  # fmt: skip
    """Draw patients in the proportions of the paper's training row. Returns the cohort and image id -> label.

    What is drawn already is left alone, so a stopped drawing goes on. ``width_px`` draws smaller fields, quickly.
    ``tell`` hears after each patient how many of how many are drawn, and how many fields; it may stop the drawing.

    Raises
    ------
    Conflict
        A cohort of that name holds other than phantoms.
    ValueError
        Too few patients or images (`development_plan`).
    """
    plans = development_plan(seed, n_patients=n_patients, total_images=n_images, styles=TRAINING_STYLES)
    cohort = Cohort.objects.filter(name=name).first()
    if cohort is not None and not cohort.synthetic:
        raise Conflict(f"The cohort {name!r} holds people, not phantoms.", field="cohort", hint="Use another name.")
    cohort = cohort or cohort_create(
        actor=actor, name=name, purpose=Cohort.Purpose.DEVELOPMENT, synthetic=True,
        description="Drawn by leukoweb. PHANTOM: no picture of a person went into it.",
    )  # fmt: skip
    labels: dict[int, str] = {}
    for number, plan in enumerate(plans, start=1):
        labels |= _draw(actor, cohort, plan, f"PHANTOM-D{seed}-{number:03d}", width_px)
        tell(number, len(plans), len(labels))
    return cohort, labels


def _draw(actor: User | None, cohort: Cohort, plan: PatientPlan, code: str, width_px: int | None) -> dict[int, str]:
    device = STYLES[plan.style].device
    slide = slide_ensure(
        actor=actor, cohort=cohort, patient_code=code, slide_code=f"{code}-S1", camera=device["camera"],
        microscope=device["microscope"], light=device["light"], magnification=1000,
        stain="May-Grünwald Giemsa (drawn)", technician="PHANTOM", note="PHANTOM: synthetic, drawn by leukoweb.",
    )  # fmt: skip
    drawn = dict(HpfImage.objects.filter(slide=slide).values_list("position", "pk"))
    if len(drawn) == plan.n_fields:
        told = patient_labels(plan.variant, seed=plan.seed, n_fields=plan.n_fields)
        labels = {drawn[position]: label for position, label in enumerate(told, start=1)}
    else:
        labels = {}
        for position, file in enumerate(draw_plan(plan, width_px=width_px), start=1):
            added = image_add(actor=actor, slide=slide, data=file.jpeg, name=file.name, position=position)
            labels[added.image.pk] = file.field.label
    slide_review_by_system(slide)
    return labels


def phantom_labels_import(*, actor: User | None, cohort: Cohort, labels: dict[int, str]) -> SortingTask:
    """The drawing's labels as decisions of one seat, and every field measured: ready to be frozen."""
    contents = (
        HpfImage.objects.filter(pk__in=labels).order_by("content_sha256").values_list("content_sha256", flat=True)
    )
    contents_measure(contents, text=False)  # nothing is printed on a phantom
    return labels_import(
        actor=actor, name=f"Labels of {cohort.name}"[:80], cohorts=[cohort], taxonomy=taxonomy_ensure(), labels=labels
    )
