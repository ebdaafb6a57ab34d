"""Pages of curation: the list, what is ticked on it, pairs side by side."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cases.models import Cohort, HpfImage, Slide, SortingTask
from cases.selectors.curation import excluded_images
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
