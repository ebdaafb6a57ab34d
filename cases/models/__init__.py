from cases.models.curation import DuplicateSettlement, Exclusion, ImageQuality
from cases.models.datasets import DatasetEntry, DatasetVersion
from cases.models.images import HpfImage, ImageOriginalName, TextHint
from cases.models.patients import Cohort, Exposure, Patient, ReferenceDiagnosis
from cases.models.slides import CaptureDevice, Slide
from cases.models.sorting import (
    AdjudicationDecision,
    SortingDecision,
    SortingItem,
    SortingSeat,
    SortingTask,
    Verdict,
)
from cases.models.taxonomies import Taxonomy
from cases.models.uploads import UploadBatch, UploadItem

__all__ = [
    "AdjudicationDecision",
    "CaptureDevice",
    "Cohort",
    "DatasetEntry",
    "DatasetVersion",
    "DuplicateSettlement",
    "Exclusion",
    "Exposure",
    "HpfImage",
    "ImageOriginalName",
    "ImageQuality",
    "Patient",
    "ReferenceDiagnosis",
    "Slide",
    "SortingDecision",
    "SortingItem",
    "SortingSeat",
    "SortingTask",
    "Taxonomy",
    "TextHint",
    "UploadBatch",
    "UploadItem",
    "Verdict",
]
