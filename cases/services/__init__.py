"""What may be done to patients, slides and images. Each function is one deed, with its check and its record."""

from cases.services.cohorts import cohort_create
from cases.services.exposures import exposure_record
from cases.services.filling import slides_fill
from cases.services.images import ImageAdded, Prepared, image_add, image_prepare, image_store, images_move
from cases.services.mending import cohort_change, patient_remove, slide_move, slide_remove
from cases.services.patients import patient_create, patient_recode
from cases.services.references import reference_add
from cases.services.removals import image_remove
from cases.services.reviews import slide_review, slide_review_by_system
from cases.services.slides import ACQUISITION_FIELDS, slide_change, slide_create, slide_recode
from cases.services.uploads import slide_ensure
from cases.services.withdrawals import patient_withdraw

__all__ = [
    "ACQUISITION_FIELDS",
    "ImageAdded",
    "Prepared",
    "cohort_change",
    "cohort_create",
    "exposure_record",
    "image_add",
    "image_prepare",
    "image_remove",
    "image_store",
    "images_move",
    "patient_create",
    "patient_recode",
    "patient_remove",
    "patient_withdraw",
    "reference_add",
    "slide_change",
    "slide_create",
    "slide_ensure",
    "slide_move",
    "slide_recode",
    "slide_remove",
    "slide_review",
    "slide_review_by_system",
    "slides_fill",
]
