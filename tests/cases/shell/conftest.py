"""Cohort, patient and slide for the shell's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cases import services
from cases.models import Cohort, HpfImage, Patient, Slide
from leukoweb.core.blindfold import lift, put_on
from tests.cases.shell.pictures import picture


@pytest.fixture
def cohort(technician: Any) -> Cohort:
    return services.cohort_create(actor=technician, name="External 2024", purpose="external")


@pytest.fixture
def patient(technician: Any, cohort: Cohort) -> Patient:
    return services.patient_create(actor=technician, cohort=cohort, code="P-001")


@pytest.fixture
def slide(technician: Any, patient: Patient) -> Slide:
    return services.slide_create(actor=technician, patient=patient, code="P-001-S1")


@pytest.fixture
def other_slide(technician: Any, cohort: Cohort) -> Slide:
    """Of another patient."""
    patient = services.patient_create(actor=technician, cohort=cohort, code="P-002")
    return services.slide_create(actor=technician, patient=patient, code="P-002-S1")


@pytest.fixture
def add(technician: Any) -> Callable[..., HpfImage]:
    """``add(slide, seed)`` -> the stored image."""

    def make(slide: Slide, seed: int = 0, name: str = "field.png") -> HpfImage:
        return services.image_add(actor=technician, slide=slide, data=picture(seed), name=name).image

    return make


@pytest.fixture
def blindfold() -> Iterator[Callable[..., None]]:
    """``blindfold(patient)``: from now on, as in a request of somebody from whom the patient is hidden."""
    yield lambda *patients: put_on(lambda: {patient.pk for patient in patients}, lambda: None)
    lift()
