"""What objects of the audit trail are called: patients, slides, cohorts, dataset versions, sorting tasks."""

from __future__ import annotations

from cases.models import Cohort, DatasetVersion, Patient, Slide, SortingTask, Taxonomy
from leukoweb.core.audit_targets import Named, named_rows, row_number
from leukoweb.core.models import User
from leukoweb.core.permissions import has_action


def patient_names(user: User, keys: list[str]) -> dict[str, Named]:
    return named_rows(Patient.objects.all(), keys, "patient_detail", lambda row: f"patient {row.code}")


def patient_parts(user: User, key: str) -> list[str]:
    """A patient's history holds that of the slides."""
    number = row_number(key)
    slides = Slide.objects.none() if number is None else Slide.objects.filter(patient_id=number)
    return [f"slide:{pk}" for pk in slides.values_list("pk", flat=True)]


def slide_names(user: User, keys: list[str]) -> dict[str, Named]:
    return named_rows(Slide.objects.all(), keys, "slide_detail", lambda row: f"slide {row.code}")


def cohort_names(user: User, keys: list[str]) -> dict[str, Named]:
    return named_rows(Cohort.objects.all(), keys, "cohort_detail", lambda row: f"cohort {row.name}")


def taxonomy_names(user: User, keys: list[str]) -> dict[str, Named]:
    return named_rows(Taxonomy.objects.all(), keys, "", lambda row: f"taxonomy {row}")


def dataset_names(user: User, keys: list[str]) -> dict[str, Named]:
    if not has_action(user, "datasets.view"):
        return {}
    versions = DatasetVersion.objects.all()
    return named_rows(versions, keys, "dataset_detail", lambda row: f"dataset {row}", by="public_id")


def sorting_names(user: User, keys: list[str]) -> dict[str, Named]:
    if not has_action(user, "sorting.agreement"):
        return {}
    return named_rows(SortingTask.objects.all(), keys, "sorting_task", lambda row: f"sorting {row}", by="public_id")
