"""Pages of curation: the list, what is ticked on it, pairs side by side."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.paginator import Paginator
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cases import services
from cases.models import Cohort, DuplicateSettlement, HpfImage, ImageQuality, Patient, Slide, SortingTask
from cases.selectors.curation import ImageKeys, excluded_images, images_measured, n_images
from tests.cases.datasets.rows import images_make, quality_make
from tests.cases.datasets.test_curation import plant

Small = tuple[Cohort, SortingTask]


def test_the_list_sorts_narrows_and_takes_out(small: Small, as_role: Any) -> None:
    admin = as_role("admin")
    images = list(HpfImage.objects.filter(slide__code="P-4-S1"))
    for n, image in enumerate(images):
        quality_make(image.content_sha256, sharpness=0.1 * n)
    page = admin.get(reverse("curation_home"), {"sort": "sharpness", "q": "P-4"})
    assert [image.pk for image in page.context["images"]] == [image.pk for image in images]
    page = admin.get(reverse("curation_home"), {"sort": "-sharpness"})
    assert page.context["images"][0].pk == images[-1].pk
    assert page.context["n_unmeasured"] == 41 - 8
    url = reverse("curation_exclude") + "?q=P-4&sort=sharpness"
    ticked = {"action": "exclude", "reason": "blur", "images": [str(image.public_id) for image in images[:2]]}
    assert admin.post(url, ticked).status_code == 302
    assert len(excluded_images()) == 2
    admin.post(url, {"action": "exclude", "reason": "stain", "everything": "1"})
    assert len(excluded_images()) == 8
    for state, n in (("in", 33), ("out", 8), ("unmeasured", 33), ("text", 0)):
        assert admin.get(reverse("curation_home"), {"state": state}).context["page"].paginator.count == n, state
    forgot = {"action": "exclude", "reason": "other", "images": [str(image.public_id) for image in images[2:5]]}
    answer = admin.post(url, forgot)  # "other" needs a note; what was ticked and chosen stays, and so does the list
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "Say what the other reason is." in text
    assert set(re.findall(r'name="images" value="([^"]+)" checked', text)) == set(forgot["images"])
    assert '<option value="other" selected>' in text
    assert answer.context["page"].paginator.count == 8
    assert "data-touched" in text  # so that the end of a job does not load the page anew
    assert 'href="?' not in text  # this answer has the address of the deed, and its links lead to the list
    assert f'<form method="get" action="{reverse("curation_home")}"' in text
    forgot["back"] = reverse("training_list")
    kept = parse_qs(urlsplit(admin.post(url, forgot)["Location"]).query)
    assert (kept["images"], kept["reason"]) == (forgot["images"], ["other"])
    assert "Tick at least one" in admin.post(url, {"action": "exclude", "reason": "blur"}).content.decode()
    bad = {"action": "exclude", "reason": "blur", "images": ["x"]}
    assert "named wrongly" in admin.post(url, bad).content.decode()


def test_two_fields_are_compared_and_settled_on_a_page(small: Small, as_role: Any) -> None:
    one, other = plant(small, exact=True)
    admin = as_role("admin")
    listed = admin.get(reverse("curation_duplicates")).content.decode()
    assert "1 pair across patients" in listed
    url = reverse("curation_pair", args=[other.public_id, one.public_id])
    assert url.split("/")[-3] in listed
    narrowed = f"?cohort={small[0].pk}&page=1"
    there = reverse("curation_duplicates")
    listed = admin.get(there, {"cohort": small[0].pk}).content.decode()
    assert f'/{narrowed}"'.replace("&", "&amp;") in listed
    assert f'href="{there}{narrowed}"'.replace("&", "&amp;") in admin.get(url + narrowed).content.decode()
    for odd in ("²", "9" * 5000, "x"):
        assert admin.get(reverse("curation_duplicates"), {"cohort": odd}).status_code == 200
    assert admin.post(url, {"outcome": "keep_both", "note": "x"}).status_code == 400
    assert admin.post(url, {"outcome": "keep_first"}).status_code == 400  # two patients: a note is needed
    settled = admin.post(url + narrowed, {"outcome": "keep_first", "note": "Logbook"})
    assert settled["Location"] == there + narrowed
    assert "Same" not in (page := admin.get(url).content.decode())
    assert "The same: keep the first" in page
    assert "across patients.</strong>" not in admin.get(reverse("curation_duplicates")).content.decode()


def test_the_page_of_a_pair_offers_what_lets_a_version_be_frozen(small: Small, as_role: Any) -> None:
    one, other = plant(small, exact=False)
    url = reverse("curation_pair", args=[one.public_id, other.public_id])
    admin = as_role("admin")

    def offered() -> list[str]:
        return [value for value, _ in admin.get(url).context["form"].fields["outcome"].choices]

    assert offered() == ["keep_both", "keep_first", "keep_second", "drop_both"]
    for row, left, refused in ((one, "keep_first", "keep_second"), (other, "keep_second", "keep_first")):
        external = Cohort.objects.create(name=left, purpose="external")
        Patient.objects.filter(slides=row.slide_id).update(cohort=external)
        assert offered() == ["keep_both", left, "drop_both"]
        assert admin.post(url, {"outcome": refused, "note": "x"}).status_code == 400
        Patient.objects.filter(slides=row.slide_id).update(cohort=small[0])
    assert not DuplicateSettlement.objects.exists()


@pytest.mark.parametrize("name", ["curation_home", "curation_duplicates"])
def test_pages_take_as_many_queries_for_many_images_as_for_few(small: Small, as_role: Any, name: str) -> None:
    admin = as_role("admin")
    plant(small, exact=False)
    admin.get(reverse(name))
    with CaptureQueriesContext(connection) as few:
        admin.get(reverse(name))
    for n in range(20):
        images_make(Slide.objects.get(code="P-5-S1"), 3, tag=str(n))
    for image in HpfImage.objects.filter(slide__code="P-5-S1"):
        quality_make(image.content_sha256)
    admin.get(reverse(name))  # how many are not measured is counted anew after rows came, then remembered
    with CaptureQueriesContext(connection) as many:
        admin.get(reverse(name))
    assert len(many) == len(few)


@pytest.mark.both_databases
@pytest.mark.parametrize("sort", ["clipped", "-clipped", "sharpness", "-sharpness", "slide"])
def test_keys_in_the_order_of_a_measure(small: Any, admin_user: Any, sort: str) -> None:
    """Equal values, one content in two slides, unmeasured and withdrawn ones, by both ways that lead there."""
    rows = list(HpfImage.objects.order_by("pk"))
    twin = rows[-1]
    twin.pk, twin.public_id, twin.slide = None, uuid.uuid4(), rows[0].slide
    twin.save(force_insert=True)
    values = {image.content_sha256: n for n, image in enumerate(rows) if n % 5}
    for content, n in values.items():
        quality_make(content, sharpness=(n * 7 % 41) / 41, clipped=(n % 3) / 10)
    services.patient_withdraw(actor=admin_user, patient=rows[10].slide.patient, reason="Consent withdrawn")

    def place(image: HpfImage) -> tuple[Any, ...]:
        if sort == "slide":
            return image.slide.patient.code, image.slide.code, image.position, image.pk
        measured = ImageQuality.objects.filter(content_sha256=image.content_sha256).first()
        if measured is None:
            return True, 0, image.pk
        value = getattr(measured, sort.removeprefix("-"))
        return False, -value if sort.startswith("-") else value, image.pk

    live = HpfImage.objects.filter(slide__patient__withdrawn_at=None).select_related("slide__patient")
    wanted = [image.pk for image in sorted(live, key=place)]
    assert len(wanted) == n_images() < len(rows)
    for narrowed, n_all in ((False, len(wanted)), (True, len(wanted)), (True, 1), (True, 10**6)):
        keys = ImageKeys(images_measured(), sort, narrowed=narrowed, n_images=n_all)
        assert len(keys) == len(wanted)
        for size in (3, len(wanted)):
            pages = Paginator(keys, size)
            assert [pk for page in pages for pk in page.object_list] == wanted, (narrowed, n_all, size)
    few = {image.pk for image in live if image.slide.patient.code == "P-4"}
    keys = ImageKeys(images_measured().filter(pk__in=few), sort, narrowed=True, n_images=1)
    assert keys[0 : len(keys)] == [pk for pk in wanted if pk in few]
