from cases.models.images import HpfImage, ImageOriginalName
from cases.models.patients import Cohort, Exposure, Patient, ReferenceDiagnosis
from cases.models.slides import CaptureDevice, Slide
from cases.models.uploads import UploadBatch, UploadItem

__all__ = [
    "CaptureDevice",
    "Cohort",
    "Exposure",
    "HpfImage",
    "ImageOriginalName",
    "Patient",
    "ReferenceDiagnosis",
    "Slide",
    "UploadBatch",
    "UploadItem",
]
