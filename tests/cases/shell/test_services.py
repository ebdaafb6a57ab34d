"""Cohorts, patients, slides, references, exposures: each deed checks, writes once and is on record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from cases import services
from cases.models import CaptureDevice, Cohort, Exposure, HpfImage, Patient, ReferenceDiagnosis, Slide
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import AuditEvent

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def test_a_cohort_has_a_known_purpose_and_one_name(technician: Any, cohort: Cohort) -> None:
    with pytest.raises(DomainError, match="purpose"):
        services.cohort_create(actor=technician, name="Other", purpose="training")
    with pytest.raises(Conflict, match="External 2024"):
        services.cohort_create(actor=technician, name=" External 2024 ", purpose="development")
    assert AuditEvent.objects.filter(action="cohort.create").count() == 1


@pytest.mark.parametrize("code", ["", " ", "=HYPERLINK(1)", "-dash", "a/b", "x" * 61, "Ä1", "a\nb"])
def test_codes_are_plain(technician: Any, cohort: Cohort, code: str) -> None:
    with pytest.raises(DomainError) as caught:
        services.patient_create(actor=technician, cohort=cohort, code=code)
    assert caught.value.field == "code"
    assert not Patient.objects.exists()


def test_a_patient_code_is_unique_everywhere(technician: Any, patient: Patient) -> None:
    elsewhere = services.cohort_create(actor=technician, name="Development", purpose="development")
    with pytest.raises(Conflict, match="P-001"):
        services.patient_create(actor=technician, cohort=elsewhere, code="P-001")


def test_recode_needs_a_reason_and_keeps_both_codes(technician: Any, patient: Patient, slide: Slide) -> None:
    with pytest.raises(DomainError, match="why"):
        services.patient_recode(actor=technician, patient=patient, code="P-009", reason=" ")
    services.patient_recode(actor=technician, patient=patient, code="P-009", reason="Mistyped label")
    services.slide_recode(actor=technician, slide=slide, code="P-009-S1", reason="Mistyped label")
    event = AuditEvent.objects.get(action="patient.recode")
    assert (event.data, event.reason) == ({"before": "P-001", "after": "P-009"}, "Mistyped label")
    assert Slide.objects.get().code == "P-009-S1"


def test_recode_to_a_taken_code_changes_nothing(technician: Any, patient: Patient, other_slide: Slide) -> None:
    with pytest.raises(Conflict, match="P-002"):
        services.patient_recode(actor=technician, patient=patient, code="P-002", reason="Wrong")
    assert Patient.objects.get(pk=patient.pk).code == "P-001"


def test_every_acquisition_field_is_stored_and_its_change_recorded(technician: Any, patient: Patient) -> None:
    values = {
        "camera": "DP73", "microscope": "BX53", "magnification": 1000, "stain": "Wright-Giemsa", "slide_maker": "hand",
        "technician": "AB", "light": "LED", "captured_on": date(2024, 3, 1), "capture_minutes": 12.5,
        "pixel_size_um": 0.069, "note": "thin",
    }  # fmt: skip
    assert set(values) == set(services.ACQUISITION_FIELDS)
    slide = services.slide_create(actor=technician, patient=patient, code="S", **values)
    slide.refresh_from_db()
    assert str(slide.device) == "DP73 on BX53"
    services.slide_change(actor=technician, slide=slide, stain="May-Gruenwald", camera="DP74")
    event = AuditEvent.objects.get(action="slide.change")
    assert event.data == {
        "stain": {"before": "Wright-Giemsa", "after": "May-Gruenwald"}, "camera": {"before": "DP73", "after": "DP74"},
    }  # fmt: skip
    slide.refresh_from_db()
    assert (slide.light, str(slide.device)) == ("LED", "DP74 on BX53")
    assert CaptureDevice.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "value"), [("capture_minutes", -1), ("pixel_size_um", -0.1), ("stain", "x" * 81), ("sensor", "new")]
)
def test_impossible_acquisition_values_are_refused(technician: Any, slide: Slide, field: str, value: Any) -> None:
    with pytest.raises(DomainError) as caught:
        services.slide_change(actor=technician, slide=slide, **{field: value})
    assert caught.value.field == field


def test_references_are_added_never_changed(coordinator: Any, patient: Patient) -> None:
    first = services.reference_add(actor=coordinator, patient=patient, diagnosis="CML", source="BCR::ABL1")
    services.reference_add(actor=coordinator, patient=patient, diagnosis="AML", source="flow", transformed=True)
    assert [r.diagnosis for r in patient.references.all()] == ["AML", "CML"]
    with pytest.raises(DatabaseError), transaction.atomic():
        ReferenceDiagnosis.objects.filter(pk=first.pk).update(diagnosis="ALL")
    assert not AuditEvent.objects.filter(data__icontains="CML").exists(), "the trail must not tell the diagnosis"


@pytest.mark.parametrize(
    "bad",
    [
        {"diagnosis": "aml"},
        {"source": "  "},
        {"decided_on": "tomorrow"},
        {"diagnosis": "CLL", "transformed": True},
    ],
)
def test_references_are_checked(coordinator: Any, patient: Patient, bad: dict[str, Any]) -> None:
    if bad.get("decided_on") == "tomorrow":
        bad = {"decided_on": timezone.localdate() + timedelta(days=1)}
    with pytest.raises(DomainError):
        services.reference_add(
            actor=coordinator, patient=patient, **({"diagnosis": "AML", "source": "flow cytometry"} | bad)
        )
    assert not patient.references.exists()


def test_an_exposure_is_recorded_once(pathologist: Any, patient: Patient) -> None:
    assert services.exposure_record(pathologist, patient, "result")
    assert not services.exposure_record(pathologist, patient, "result")
    assert services.exposure_record(pathologist, patient, "label")
    assert Exposure.objects.count() == AuditEvent.objects.filter(action="exposure.record").count() == 2
    with pytest.raises(ValueError, match="gossip"):
        services.exposure_record(pathologist, patient, "gossip")


def test_images_move_behind_the_last_one(
    technician: Any, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]
) -> None:
    images = [add(slide, seed) for seed in range(3)]
    add(other_slide, 9)
    services.images_move(actor=technician, images=[images[2], images[0]], slide=other_slide, reason="Wrong folder")
    assert list(other_slide.images.values_list("position", "pk"))[1:] == [(2, images[0].pk), (3, images[2].pk)]
    event = AuditEvent.objects.get(action="images.move")
    assert [row["position"] for row in event.data["moved"]] == [1, 3]


def test_no_image_moves_to_another_cohort(technician: Any, slide: Slide, add: Callable[..., HpfImage]) -> None:
    """From external validation into a training, for instance: a freeze looks at the cohort of today."""
    image = add(slide, 1)
    training = services.cohort_create(actor=technician, name="Training", purpose="development")
    theirs = services.slide_ensure(actor=technician, cohort=training, patient_code="D-1", slide_code="D-1-S1")
    with pytest.raises(Conflict, match="another cohort") as refused:
        services.images_move(actor=technician, images=[image], slide=theirs, reason="Wrong folder")
    assert refused.value.field == "slide"
    assert list(slide.images.all()) == [image]
    assert not AuditEvent.objects.filter(action="images.move").exists()


def test_moving_an_image_to_where_it_is_already_is_refused(
    technician: Any, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]
) -> None:
    image = add(slide, 1)
    add(other_slide, 1)
    with pytest.raises(Conflict, match="already"):
        services.images_move(actor=technician, images=[image], slide=other_slide, reason="Wrong folder")
    with pytest.raises(DomainError, match="No field"):
        services.images_move(actor=technician, images=[], slide=other_slide, reason="Wrong folder")
