"""Every page for every role, the forms behind them, images' headers, and how many queries lists take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cases import selectors, services
from cases.models import Cohort, Exposure, HpfImage, Patient, ReferenceDiagnosis, Slide
from leukoweb.core.storage import blobs

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

T, P, C, A = "technician", "pathologist", "coordinator", "admin"
ALL = {T, P, C, A}
PAGES: dict[str, tuple[str, set[str]]] = {
    # page: (what its address needs, roles that may)
    "cohort_list": ("", ALL),
    "cohort_create": ("", {T, C, A}),
    "cohort_detail": ("cohort", ALL),
    "cohort_change": ("cohort", {T, C, A}),
    "cohort_patients": ("cohort", ALL),
    "patient_create": ("cohort", {T, A}),
    "patient_detail": ("patient", ALL),
    "slide_create": ("patient", {T, A}),
    "patient_recode": ("patient", {T, A}),
    "patient_remove": ("patient", {T, A}),
    "patient_withdraw": ("patient", {C, A}),
    "patient_references": ("patient", {C, A}),
    "reference_list": ("", {C, A}),
    "slide_detail": ("slide", ALL),
    "slide_change": ("slide", {T, A}),
    "slide_fill": ("slide", {T, A}),
    "slide_recode": ("slide", {T, A}),
    "slide_remove": ("slide", {T, A}),
    "slide_move": ("slide", {T, A}),
    "images_move": ("slide", {T, A}),
    "slide_reviews": ("", {T, A}),
    "slide_review": ("slide", {T, A}),
    "image_preview": ("image", {T, A}),
    "image_remove": ("image", {T, A}),
    "image_file": ("image", ALL),
    "image_thumb": ("image", ALL),
    "image_viewer": ("image", ALL),
    "upload": ("", {T, A}),
    "api_slide_images": ("slide", ALL),
}


@pytest.fixture
def address(cohort: Cohort, patient: Patient, slide: Slide, add: Callable[..., HpfImage]) -> Callable[[str], str]:
    image = add(slide, 1, "DOE_JOHN.png")
    ids: dict[str, Any] = {"cohort": cohort.pk, "patient": patient.pk, "slide": slide.pk, "image": image.public_id}
    return lambda name: reverse(name, args=[ids[PAGES[name][0]]] if PAGES[name][0] else [])


def test_the_table_has_every_page() -> None:
    from cases.urls import urlpatterns

    elsewhere = ("sorting_", "taxonomy_", "curation_", "dataset_", "reference_upload", "reference_template")
    ours = {pattern.name for pattern in urlpatterns if not str(pattern.name).startswith(elsewhere)}
    assert ours == set(PAGES) - {"api_slide_images"} | {"slide_text_search"}


@pytest.mark.parametrize("role", sorted(ALL))
def test_each_page_for_each_role(role: str, address: Callable[[str], str], as_role: Any) -> None:
    client = as_role(role)
    got = {name: client.get(address(name)).status_code for name in PAGES}
    assert got == {name: 200 if role in roles else 403 for name, (_, roles) in PAGES.items()}


def test_visitors_are_sent_to_the_sign_in(address: Callable[[str], str]) -> None:
    for name in PAGES:
        assert Client().get(address(name)).status_code in (302, 401), name


@pytest.mark.parametrize("role", [P, C])
def test_original_names_are_for_few(role: str, address: Callable[[str], str], as_role: Any) -> None:
    for name in ("slide_detail", "image_viewer", "api_slide_images", "cohort_detail", "patient_detail"):
        assert b"DOE" not in as_role(role).get(address(name)).content
    assert b"DOE_JOHN" in as_role(T).get(address("slide_detail")).content


def test_notes_on_images_stand_in_the_page(address: Callable[[str], str], as_role: Any) -> None:
    HpfImage.objects.update(notes=[{"code": "W_SMALL", "message": "Smaller than usual."}])
    page = as_role(T).get(address("slide_detail")).content.decode()
    assert "Field 1</a>: Smaller than usual." in page
    assert "Notes on 1 field<" in page


def test_an_image_tells_nothing_but_its_pixels(address: Callable[[str], str], as_role: Any) -> None:
    response = as_role(P).get(address("image_file"))
    image = HpfImage.objects.get()
    assert b"".join(response.streaming_content) == blobs().read(image.content_sha256)
    assert response["Content-Type"] == "image/png"
    assert response["Content-Length"] == str(image.size_bytes)
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
    for header in ("Content-Disposition", "Last-Modified", "ETag"):
        assert header not in response
    thumb = as_role(P).get(address("image_thumb"))
    assert thumb["Content-Type"] == "image/webp"
    assert thumb.content[8:12] == b"WEBP"
    assert thumb["Cache-Control"] == "private, max-age=31536000, immutable"


def test_a_missing_file_is_a_page_not_a_crash(address: Callable[[str], str], as_role: Any) -> None:
    blobs().purge(HpfImage.objects.get().content_sha256)
    for name in ("image_file", "image_thumb"):
        response = as_role(T).get(address(name))
        assert response.status_code == 404
        assert b"verify_media" in response.content


def test_withdrawn_pixels_are_not_found(
    address: Callable[[str], str], as_role: Any, coordinator: Any, patient: Patient
) -> None:
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    client = as_role(A)
    assert [client.get(address(n)).status_code for n in ("image_file", "image_thumb", "image_viewer")] == [404] * 3
    assert client.get(address("api_slide_images")).json() == []
    for name in ("patient_detail", "slide_detail"):
        assert b"ithdrawn on" in client.get(address(name)).content
    assert b"P-001-S1" not in client.get(address("cohort_detail")).content
    assert b"P-001" in client.get(address("cohort_patients")).content


@pytest.mark.parametrize("name", ["cohort_list", "cohort_detail", "cohort_patients", "slide_detail", "reference_list"])
def test_lists_take_a_constant_number_of_queries(
    name: str, address: Callable[[str], str], as_role: Any, cohort: Cohort, patient: Patient, slide: Slide,
    technician: Any, add: Callable[..., HpfImage],
) -> None:  # fmt: skip
    client = as_role(A)
    client.get(address(name))
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(address(name))
    for number in range(6):
        more = services.patient_create(actor=technician, cohort=cohort, code=f"M-{number}")
        other = services.slide_create(actor=technician, patient=more, code=f"M-{number}-S1", camera=f"Camera {number}")
        services.cohort_create(actor=technician, name=f"Cohort {number}", purpose="development")
        add(slide, 10 + number)
        add(other, 10 + number)
    with CaptureQueriesContext(connection) as many:
        client.get(address(name))
    assert len(many) <= len(few), "\n".join(query["sql"] for query in many)


def test_lists_count_what_is_there_and_not_withdrawn(
    cohort: Cohort, patient: Patient, slide: Slide, other_slide: Slide, technician: Any, admin_user: Any,
    add: Callable[..., HpfImage],
) -> None:  # fmt: skip
    second = services.slide_create(actor=technician, patient=patient, code="P-001-S2", camera="DP73")
    empty = services.cohort_create(actor=technician, name="Empty", purpose="development")
    bare = services.patient_create(actor=technician, cohort=cohort, code="Bare")
    for one, seeds in ((slide, (1, 2)), (second, (3,)), (other_slide, (4, 5, 6))):
        for seed in seeds:
            add(one, seed)

    def cohorts() -> dict[int, tuple[int, int, int]]:
        return {one.pk: (one.n_patients, one.n_slides, one.n_images) for one in selectors.cohort_list()}  # type: ignore[attr-defined]

    def patients() -> dict[int, tuple[int, int]]:
        return {one.pk: (one.n_slides, one.n_images) for one in selectors.patient_list(cohort)}  # type: ignore[attr-defined]

    assert cohorts() == {cohort.pk: (3, 3, 6), empty.pk: (0, 0, 0)}
    assert patients() == {patient.pk: (2, 3), other_slide.patient_id: (1, 3), bare.pk: (0, 0)}
    assert {one.pk: one.n_images for one in selectors.slide_list(cohort=cohort)} == {  # type: ignore[attr-defined]
        slide.pk: 2, second.pk: 1, other_slide.pk: 3,
    }  # fmt: skip
    services.patient_withdraw(actor=admin_user, patient=other_slide.patient, reason="Consent withdrawn")
    assert cohorts() == {cohort.pk: (2, 2, 3), empty.pk: (0, 0, 0)}
    assert patients()[other_slide.patient_id] == (1, 0)


def test_new_cohort(as_role: Any) -> None:
    client = as_role(C)
    response = client.post(reverse("cohort_create"), {"name": "Dev", "purpose": "development"})
    assert response.status_code == 302
    again = client.post(reverse("cohort_create"), {"name": "Dev", "purpose": "development"})
    assert again.status_code == 400
    assert b"already" in again.content


def test_new_patient_and_slide(as_role: Any, cohort: Cohort) -> None:
    client = as_role(T)
    client.post(reverse("patient_create", args=[cohort.pk]), {"code": "N-1"})
    patient = Patient.objects.get(code="N-1")
    form = {"code": "N-1-S1", "camera": "DP73", "magnification": "1000", "captured_on": "2024-03-01"}
    assert client.post(reverse("slide_create", args=[patient.pk]), form).status_code == 302
    slide = Slide.objects.get()
    assert (str(slide.device), slide.magnification, str(slide.captured_on)) == ("DP73", 1000, "2024-03-01")
    bad = client.post(reverse("slide_create", args=[patient.pk]), form | {"code": "=1+1"})
    assert bad.status_code == 400
    assert Slide.objects.count() == 1


def test_changing_the_acquisition(as_role: Any, slide: Slide) -> None:
    client = as_role(T)
    url = reverse("slide_change", args=[slide.pk])
    assert client.post(url, {"stain": "Wright", "pixel_size_um": "0.069"}).status_code == 302
    slide.refresh_from_db()
    assert (slide.stain, slide.pixel_size_um) == ("Wright", 0.069)
    bad = client.post(url, {"microscope": "BX53"})
    assert bad.status_code == 400
    assert b"camera too" in bad.content


def test_recode_forms(as_role: Any, slide: Slide, patient: Patient, other_slide: Slide) -> None:
    client = as_role(T)
    assert client.post(reverse("patient_recode", args=[patient.pk]), {"code": "X-1"}).status_code == 400
    form = {"code": "X-1", "reason": "Typing error"}
    assert client.post(reverse("patient_recode", args=[patient.pk]), form).status_code == 302
    taken = client.post(reverse("slide_recode", args=[slide.pk]), {"code": other_slide.code, "reason": "r"})
    assert taken.status_code == 400
    assert b"is taken" in taken.content


def test_move_form(as_role: Any, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]) -> None:
    image = add(slide, 1)
    client, url = as_role(T), reverse("images_move", args=[slide.pk])
    form = {"images": [image.pk], "slide": other_slide.code, "reason": "Wrong folder"}
    assert client.post(url, form | {"slide": "nowhere"}).status_code == 400
    assert client.post(url, form | {"images": [image.pk + 1]}).status_code == 400
    assert client.post(url, form).status_code == 302
    assert other_slide.images.get() == image


def test_withdraw_form_wants_the_code_and_a_reason(as_role: Any, patient: Patient) -> None:
    client, url = as_role(C), reverse("patient_withdraw", args=[patient.pk])
    for form in ({"code": "P-002", "reason": "r"}, {"code": "P-001", "reason": ""}):
        assert client.post(url, form).status_code == 400
    patient.refresh_from_db()
    assert patient.withdrawn_at is None
    assert client.post(url, {"code": "P-001", "reason": "Consent withdrawn"}).status_code == 302
    patient.refresh_from_db()
    assert patient.withdrawn_at is not None


def test_the_references_page_records_who_looked(as_role: Any, patient: Patient) -> None:
    client, url = as_role(C), reverse("patient_references", args=[patient.pk])
    client.get(reverse("reference_list"))
    assert not Exposure.objects.exists(), "the list tells no diagnosis"
    form = {"diagnosis": "AML", "source": "Flow cytometry", "decided_on": "2024-02-30"}
    assert client.post(url, form).status_code == 400
    assert client.post(url, form | {"decided_on": "2024-02-28"}).status_code == 302
    page = client.get(url)
    assert b"Acute myeloid leukemia" in page.content
    exposure = Exposure.objects.get()
    assert (exposure.user, exposure.patient, exposure.kind) == (client.user, patient, "reference")
    assert ReferenceDiagnosis.objects.get().entered_by == client.user


def test_filters_and_pages(as_role: Any, cohort: Cohort, technician: Any) -> None:
    for number in range(55):
        patient = services.patient_create(actor=technician, cohort=cohort, code=f"P-{number:03d}")
        services.slide_create(
            actor=technician, patient=patient, code=f"S-{number:03d}", stain="Giemsa" if number else ""
        )
    client, url = as_role(P), reverse("cohort_detail", args=[cohort.pk])
    assert b"S-049" in client.get(url).content
    assert b"S-054" in client.get(url, {"page": "2"}).content
    assert b"S-054" in client.get(url, {"page": "99"}).content, "a page too far shows the last"
    assert b"S-007" in (found := client.get(url, {"q": "P-007"}).content)
    assert b"S-008" not in found
    assert b"S-000" not in client.get(url, {"stain": "giemsa"}).content
    assert b"Nothing in this cohort fits" in client.get(url, {"q": "nowhere"}).content
    assert b"No patient here" not in client.get(reverse("cohort_patients", args=[cohort.pk])).content


def test_duplicates_are_shown(as_role: Any, slide: Slide, other_slide: Slide, add: Callable[..., HpfImage]) -> None:
    add(slide, 1)
    add(other_slide, 1)
    client = as_role(P)
    page = client.get(reverse("slide_detail", args=[slide.pk])).content
    assert b"another patient" in page
    assert b"P-002-S1" in page
    cohort = reverse("cohort_detail", args=[slide.patient.cohort_id])
    duplicates = f"{reverse('curation_duplicates')}?cohort={slide.patient.cohort_id}"
    assert duplicates not in client.get(cohort).content.decode()
    admin = as_role(A)
    assert duplicates in admin.get(cohort).content.decode()
    listed = admin.get(duplicates).content
    assert b"P-001-S1, field 1" in listed
    assert b"P-002-S1, field 1" in listed


def test_patients_and_references_can_be_narrowed(
    as_role: Any, coordinator: Any, cohort: Cohort, patient: Patient, other_slide: Slide
) -> None:
    services.reference_add(actor=coordinator, patient=patient, diagnosis="AML", source="Flow cytometry")
    services.reference_add(actor=coordinator, patient=patient, diagnosis="AML", source="Genetics")
    client = as_role(C)
    shown = {answer: client.get(reverse("reference_list"), {"missing": answer}).content for answer in ("yes", "no")}
    assert (b"P-001" in shown["yes"], b"P-002" in shown["yes"]) == (False, True)
    assert (b"P-001" in shown["no"], b"P-002" in shown["no"]) == (True, False)
    assert shown["no"].count(b">P-001<") == 1, "two references are one row"
    assert b"Show all" in shown["yes"]
    for whole in ({}, {"missing": "", "page": "1", "sort": "code"}):
        assert b"Show all" not in client.get(reverse("reference_list"), whole).content
    services.patient_withdraw(actor=coordinator, patient=patient, reason="Consent withdrawn")
    url = reverse("cohort_patients", args=[cohort.pk])
    shown = {answer: client.get(url, {"withdrawn": answer}).content for answer in ("yes", "no")}
    assert (b">P-001<" in shown["yes"], b">P-002<" in shown["yes"]) == (True, False)
    assert (b">P-001<" in shown["no"], b">P-002<" in shown["no"]) == (False, True)


@pytest.mark.parametrize("odd", ["\u00b2", "9" * 5000, "x"])
def test_an_odd_number_in_an_address_is_no_number(as_role: Any, slide: Slide, odd: str) -> None:
    client = as_role(T)
    assert client.get(reverse("upload"), {"slide": odd, "cohort": odd}).status_code == 200
    moved = client.post(reverse("images_move", args=[slide.pk]), {"images": [odd], "reason": "r", "slide": slide.pk})
    assert moved.status_code == 400


def test_the_start_page_counts_all_cohorts(as_role: Any, technician: Any, slide: Slide) -> None:
    for number in range(12):
        services.cohort_create(actor=technician, name=f"Another {number}", purpose="external")
    assert "1 slide in 13 cohorts" in as_role(T).get("/").content.decode()
