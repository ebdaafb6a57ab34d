"""The way back from ordinary mistakes, and saying once what holds for many slides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cases import services
from cases.models import Cohort, Exclusion, HpfImage, Patient, Slide, UploadBatch, UploadItem
from cases.selectors.audit import patient_parts
from cases.selectors.filling import gap_counts, gaps, slides_beside
from cases.services.dataset_uploads import KIND, dataset_archive_path
from cases.services.uploads import upload_batch_create
from leukoweb.core.audit import chain_verify
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import AuditEvent, Job
from tests.cases.shell.test_removals import hold_by_exclusion, hold_by_result, hold_by_study

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def said(slide: Slide, **values: Any) -> Slide:
    return services.slide_change(actor=None, slide=slide, **values)


@pytest.fixture
def spoken(slide: Slide) -> Slide:
    return said(slide, camera="DP74", microscope="BX43", magnification=1000, pixel_size_um=0.05, stain="Giemsa",
                captured_on=date(2024, 5, 1), note="first")  # fmt: skip


def test_capture_data_go_to_slides_that_say_nothing(technician: Any, spoken: Slide, other_slide: Slide) -> None:
    beside = services.slide_create(actor=technician, patient=spoken.patient, code="P-001-S2", stain="Wright")
    said(other_slide, camera="DP73", magnification=1000)
    assert services.slides_fill(actor=technician, slide=spoken, scope="cohort", expected=2) == 2
    for slide in (beside, other_slide):
        slide.refresh_from_db()
    assert (beside.device, beside.magnification, beside.pixel_size_um) == (spoken.device, 1000, 0.05)
    assert beside.stain == "Wright", "what is said stays"
    assert (beside.captured_on, beside.note) == (None, ""), "a slide's own"
    assert (other_slide.device.camera, other_slide.stain) == ("DP73", "Giemsa")
    assert other_slide.pixel_size_um is None, "another camera, another size"
    event = AuditEvent.objects.get(action="slides.fill")
    assert event.data["filled"] == {
        str(beside.pk): ["device", "magnification", "pixel_size_um"], str(other_slide.pk): ["stain"],
    }  # fmt: skip
    assert event.data["values"]["device"] == "DP74 on BX43"
    own = AuditEvent.objects.get(action="slide.filled", target=f"slide:{other_slide.pk}")
    assert (own.actor, own.data) == (technician, {"from": spoken.pk, "values": {"stain": "Giemsa"}})
    assert chain_verify().intact
    with pytest.raises(DomainError, match="No other slide"):
        services.slides_fill(actor=technician, slide=spoken, scope="cohort", expected=2)


def test_another_number_than_was_told_fills_nothing_in(
    technician: Any, spoken: Slide, other_slide: Slide, as_role: Any
) -> None:
    client, address = as_role("technician"), reverse("slide_fill", args=[spoken.pk])
    page = client.get(address).content.decode()
    assert "No other slide of this patient lacks any of it." in page
    assert "Fill in 1 slide of this cohort" in page
    services.slide_create(actor=technician, patient=spoken.patient, code="P-001-S2")
    refused = client.post(address, {"scope": "cohort", "n_patient": "0", "n_cohort": "1"})
    assert refused.status_code == 409
    assert "It would be 2 slides now, not 1." in refused.content.decode()
    assert not AuditEvent.objects.filter(action="slides.fill").exists()
    answer = client.post(address, {"scope": "cohort", "n_patient": "1", "n_cohort": "2"}, follow=True)
    assert "2 slides filled in." in answer.content.decode()
    assert client.post(address, {"scope": "world"}).status_code == 400


def test_slides_of_withdrawn_patients_and_other_cohorts_are_not_asked(
    technician: Any, spoken: Slide, other_slide: Slide
) -> None:
    elsewhere = services.cohort_create(actor=technician, name="Other", purpose="development")
    patient = services.patient_create(actor=technician, cohort=elsewhere, code="P-003")
    services.slide_create(actor=technician, patient=patient, code="P-003-S1")
    services.patient_withdraw(actor=technician, patient=other_slide.patient, reason="Consent")
    assert gaps(spoken, slides_beside(spoken, "cohort")) == []


def test_gaps_take_one_query_that_reads_no_other_slide(technician: Any, spoken: Slide, other_slide: Slide) -> None:
    same = {"camera": "DP74", "microscope": "BX43", "magnification": 1000}
    whole = same | {"pixel_size_um": 0.05, "stain": "Giemsa"}
    for number in range(4):
        services.slide_create(actor=technician, patient=spoken.patient, code=f"N-{number}", camera="DP73")
    said(services.slide_create(actor=technician, patient=spoken.patient, code="W"), **whole)
    said(services.slide_create(actor=technician, patient=spoken.patient, code="H"), **same)
    for name in ("patient", "cohort"):
        with CaptureQueriesContext(connection) as queries:
            found = gaps(spoken, slides_beside(spoken, name))
        assert len(queries) == 1
        with CaptureQueriesContext(connection) as queries:
            n, counts = gap_counts(spoken, slides_beside(spoken, name))
        assert len(queries) == 1
        assert n == len(found) == {"patient": 5, "cohort": 6}[name]
        assert counts == {field: sum(field in gap.fields for gap in found) for field in counts}
        assert "W" not in {gap.slide.code for gap in found}
    fields = {gap.slide.code: gap.fields for gap in found}
    assert fields["N-0"] == ("magnification", "stain"), "of another camera"
    assert fields["H"] == ("pixel_size_um", "stain")
    assert fields[other_slide.code] == ("device", "magnification", "pixel_size_um", "stain")
    assert gap_counts(other_slide, slides_beside(other_slide, "cohort")) == (0, {})
    assert gaps(other_slide, slides_beside(other_slide, "cohort")) == []


def test_known_values_are_offered_and_the_review_is_where_one_returns(as_role: Any, spoken: Slide) -> None:
    client, review = as_role("technician"), reverse("slide_review", args=[spoken.pk])
    change = reverse("slide_change", args=[spoken.pk])
    waiting = client.get(review).content.decode()
    assert f'href="{change}?next={review}"' in waiting
    assert "slide made by, captured by, light source, minutes per slide (" in waiting, "named as in the form"
    page = client.get(f"{change}?next={review}").content.decode()
    assert 'list="known_camera"' in page
    assert '<datalist id="known_camera"><option value="DP74"></option></datalist>' in page
    assert f'<a class="btn btn-link" href="{review}">Cancel</a>' in page
    typed = {"camera": "DP74", "stain": "Wright"}
    assert client.post(f"{change}?next={review}", typed).url == review
    home = reverse("slide_detail", args=[spoken.pk])
    for foreign in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example", "nowhere"):
        assert client.post(change, typed, QUERY_STRING=f"next={foreign}").url == home, foreign


# -- a cohort's name --------------------------------------------------------------------------------------------------
def test_a_cohort_gets_another_name_on_record(as_role: Any, cohort: Cohort, technician: Any) -> None:
    client, address = as_role("coordinator"), reverse("cohort_change", args=[cohort.pk])
    assert "keep the old name" in client.get(address).content.decode()
    assert client.post(address, {"name": "External 2025", "description": "Two sites"}).status_code == 302
    cohort.refresh_from_db()
    assert (cohort.name, cohort.description, cohort.purpose) == ("External 2025", "Two sites", "external")
    assert AuditEvent.objects.get(action="cohort.change").data == {
        "name": {"before": "External 2024", "after": "External 2025"},
        "description": {"before": "", "after": "Two sites"},
    }
    client.post(address, {"name": "External 2025", "description": "Two sites"})
    assert AuditEvent.objects.filter(action="cohort.change").count() == 1
    services.cohort_create(actor=technician, name="Taken", purpose="external")
    assert client.post(address, {"name": "Taken", "description": ""}).status_code == 400
    assert client.post(address, {"name": " ", "description": ""}).status_code == 400


@pytest.mark.parametrize("signed", [False, True])
def test_the_name_stays_where_a_protocol_finds_the_cohort_by_it(
    as_role: Any, cohort: Cohort, coordinator: Any, signed: bool
) -> None:
    from reader_study.models import ProtocolVersion, Study

    document = {"cases": {"cohort": cohort.name}}
    study = Study.objects.create(title="S", draft={} if signed else document, state="locked" if signed else "draft")
    if signed:
        ProtocolVersion.objects.create(study=study, version=1, document=document, sha256="0" * 64)
    with pytest.raises(Conflict, match="the protocol of a study names"):
        services.cohort_change(actor=coordinator, cohort=cohort, name="Another")
    client, address = as_role("coordinator"), reverse("cohort_change", args=[cohort.pk])
    assert "Stays: the protocol of a study names the cohort." in client.get(address).content.decode()
    assert client.post(address, {"name": "Another", "description": "Said anew"}).status_code == 302
    cohort.refresh_from_db()
    assert (cohort.name, cohort.description) == ("External 2024", "Said anew")


@pytest.mark.parametrize(
    ("status", "kept", "held"),
    [("queued", True, "has not ended"), ("running", True, "has not ended"), ("failed", True, "tried again"),
     ("cancelled", True, "tried again"), ("failed", False, ""), ("done", True, "")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["External 2024", "External 2024 (phantoms)"])
def test_the_name_stays_where_an_import_finds_the_cohort_by_it(
    cohort: Cohort, coordinator: Any, data_dir: Path, name: str, status: str, kept: bool, held: str
) -> None:
    Cohort.objects.filter(pk=cohort.pk).update(name=name)
    job = job_create(kind=KIND, title="t", actor=None, payload={"file": "f", "cohort": "External 2024"})
    Job.objects.filter(pk=job.pk).update(status=status)
    archive = dataset_archive_path("f")
    archive.parent.mkdir(parents=True, exist_ok=True)
    if kept:
        archive.touch()
    if held:
        with pytest.raises(Conflict, match=f"a dataset import that .*{held}.* names the cohort"):
            services.cohort_change(actor=coordinator, cohort=cohort, name="Another")
    else:
        assert services.cohort_change(actor=coordinator, cohort=cohort, name="Another").name == "Another"


# -- what should not be -----------------------------------------------------------------------------------------------
def test_an_empty_slide_and_then_its_patient_go_on_record(as_role: Any, slide: Slide, patient: Patient) -> None:
    client = as_role("technician")
    batch = UploadBatch.objects.create(
        cohort=patient.cohort, slide=slide, created_by=client.user, closed_at=timezone.now()
    )
    UploadItem.objects.create(batch=batch, slide=slide, path="a.png", size_bytes=1, state="refused")
    person, gone = reverse("patient_remove", args=[patient.pk]), reverse("slide_remove", args=[slide.pk])
    assert "has slides" in client.post(person, {"reason": "Typed twice"}).content.decode()
    assert gone in client.get(reverse("slide_detail", args=[slide.pk])).content.decode()
    assert client.post(gone, {"reason": ""}).status_code == 400
    assert Slide.objects.exists()
    assert client.post(gone, {"reason": "Typed twice"}).url == reverse("patient_detail", args=[patient.pk])
    assert not Slide.objects.exists()
    batch.refresh_from_db()
    assert (batch.slide, batch.items.count()) == (None, 0)
    event = AuditEvent.objects.get(action="slide.remove")
    assert (event.target, event.reason) == (f"slide:{slide.pk}", "Typed twice")
    assert event.data == {"code": "P-001-S1", "patient": patient.pk, "n_upload_lines": 1}
    kept = AuditEvent.objects.get(target=f"patient:{patient.pk}", action="patient.slide_removed")
    assert (kept.reason, kept.data) == ("Typed twice", {"slide": slide.pk, "code": "P-001-S1"})
    assert client.post(person, {"reason": "Typed twice"}).status_code == 302
    assert not Patient.objects.exists()
    assert AuditEvent.objects.get(action="patient.remove").data["code"] == "P-001"


def test_what_is_not_empty_stays(technician: Any, slide: Slide, patient: Patient, add: Any) -> None:
    image = add(slide, 1)
    with pytest.raises(Conflict, match="has fields"):
        services.slide_remove(actor=technician, slide=slide, reason="Wrong")
    services.image_remove(actor=technician, image=image, reason="Wrong")
    batch = UploadBatch.objects.create(cohort=patient.cohort, created_by=technician)
    item = UploadItem.objects.create(batch=batch, slide=slide, path="a.png", size_bytes=1)
    with pytest.raises(Conflict, match="not finished"):
        services.slide_remove(actor=technician, slide=slide, reason="Wrong")
    item.delete()
    alone = upload_batch_create(actor=technician, slide=slide)
    packed = UploadItem.objects.create(batch=alone, path="a.zip", size_bytes=1, is_archive=True, state="received")
    with pytest.raises(Conflict, match="not finished"):
        services.slide_remove(actor=technician, slide=slide, reason="Wrong")
    UploadItem.objects.filter(pk=packed.pk).update(state="stored")
    services.slide_remove(actor=technician, slide=slide, reason="Wrong")
    alone.refresh_from_db()
    assert (alone.is_open, alone.slide, alone.items.count()) == (False, None, 0), "not an upload of many slides now"
    services.reference_add(actor=technician, patient=patient, diagnosis="CML", source="BCR::ABL1")
    with pytest.raises(Conflict, match="a reference diagnosis rests on it"):
        services.patient_remove(actor=technician, patient=patient, reason="Wrong")
    assert Patient.objects.filter(pk=patient.pk).exists()
    assert not AuditEvent.objects.filter(action="patient.remove").exists()


# -- a slide of somebody else -----------------------------------------------------------------------------------------
def test_a_slide_goes_to_another_patient_of_its_cohort(
    as_role: Any, slide: Slide, other_slide: Slide, patient: Patient, add: Any
) -> None:
    image, client, address = add(slide, 1), as_role("technician"), reverse("slide_move", args=[slide.pk])
    for wrong in (
        {"patient": "P-009", "reason": "x"},
        {"patient": "P-002", "reason": ""},
        {"patient": "P-001", "reason": "x"},
    ):
        assert client.post(address, wrong).status_code == 400, wrong
    assert client.post(address, {"patient": "P-002", "reason": "Logbook"}).status_code == 302
    slide.refresh_from_db()
    assert slide.patient == other_slide.patient
    assert HpfImage.objects.get(pk=image.pk).slide == slide
    event = AuditEvent.objects.get(action="slide.move")
    assert event.data == {
        "code": "P-001-S1", "before": patient.pk, "after": other_slide.patient_id, "n_images": 1,
    }  # fmt: skip
    for one in (patient, other_slide.patient):
        told = AuditEvent.objects.get(action="patient.slide_moved", target=f"patient:{one.pk}")
        assert (told.reason, told.data["slide"]) == ("Logbook", slide.pk)
    admin = as_role("admin")
    assert f"slide:{slide.pk}" not in patient_parts(admin.user, str(patient.pk))
    history = admin.get("/audit/", {"on": f"patient:{patient.pk}"}).content.decode()
    assert "patient.slide_moved" in history
    elsewhere = services.cohort_create(actor=None, name="Other", purpose="development")
    services.patient_create(actor=None, cohort=elsewhere, code="P-003")
    refused = client.post(address, {"patient": "P-003", "reason": "Logbook"})
    assert "is of another cohort" in refused.content.decode()


@pytest.mark.parametrize("hold", [hold_by_exclusion, hold_by_result, hold_by_study])
def test_a_slide_on_which_something_rests_stays(
    technician: Any, slide: Slide, other_slide: Slide, add: Any, hold: Callable[[HpfImage], str]
) -> None:
    words = hold(add(slide, 1))
    with pytest.raises(Conflict, match=r"cannot be moved") as caught:
        services.slide_move(actor=technician, slide=slide, patient=other_slide.patient, reason="Logbook")
    assert caught.value.code == "E_FROZEN"
    assert words in caught.value.message or "run of the AI pipeline" in caught.value.message
    assert Slide.objects.get(pk=slide.pk).patient_id != other_slide.patient_id
    assert Exclusion.objects.exists() is (hold is hold_by_exclusion)
