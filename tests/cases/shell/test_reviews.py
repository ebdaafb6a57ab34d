"""The review of slides: what passes, what is refused, when it becomes void, what is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cases import selectors, services
from cases.models import Cohort, HpfImage, Slide, TextHint
from cases.services.images import next_position
from cases.services.reviews import text_search_request
from cases.text_hint import VERSION
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import AuditEvent, Job

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
HOLDS = {"no_identity": True, "complete": True, "in_order": True}


@pytest.fixture
def filled(slide: Slide, add: Callable[..., HpfImage]) -> Slide:
    for seed in range(3):
        add(slide, seed)
    return slide


def test_a_slide_passes_when_every_statement_holds(technician: Any, filled: Slide, cohort: Cohort) -> None:
    assert list(selectors.slides_unreviewed(cohort)) == [filled]
    slide = services.slide_review(actor=technician, slide=filled, **HOLDS)
    assert (slide.review, slide.reviewed_by, slide.review_reason) == ("passed", technician, "")
    assert not selectors.slides_unreviewed(cohort).exists()
    event = AuditEvent.objects.get(action="slide.review")
    assert event.data["fields"] == selectors.fields_fingerprint(filled)
    assert event.data["n_fields"] == 3


@pytest.mark.parametrize("broken", sorted(HOLDS))
def test_what_does_not_hold_is_refused_with_a_reason(
    technician: Any, filled: Slide, cohort: Cohort, broken: str
) -> None:
    held = HOLDS | {broken: False}
    with pytest.raises(DomainError, match="why") as caught:
        services.slide_review(actor=technician, slide=filled, **held)
    assert (caught.value.code, caught.value.field) == ("E_REASON", "reason")
    slide = services.slide_review(actor=technician, slide=filled, **held, reason="A label in field 2")
    assert (slide.review, slide.review_reason) == ("refused", "A label in field 2")
    assert list(selectors.slides_unreviewed(cohort)) == [filled]
    slide = services.slide_review(actor=technician, slide=filled, **HOLDS)
    assert (slide.review, slide.review_reason) == ("passed", "")


def test_a_reason_beside_three_ticks_is_a_contradiction(technician: Any, filled: Slide) -> None:
    with pytest.raises(DomainError) as caught:
        services.slide_review(actor=technician, slide=filled, **HOLDS, reason="label")
    assert caught.value.code == "E_REVIEW"


def test_an_empty_slide_cannot_be_reviewed_and_waits_for_nobody(technician: Any, slide: Slide, cohort: Cohort) -> None:
    assert not selectors.slides_unreviewed(cohort).exists()
    with pytest.raises(Conflict) as caught:
        services.slide_review(actor=technician, slide=slide, **HOLDS)
    assert caught.value.code == "E_EMPTY_SLIDE"


def test_fields_that_changed_meanwhile_are_looked_at_again(technician: Any, filled: Slide, add: Any) -> None:
    seen = selectors.fields_fingerprint(filled)
    add(filled, 9)
    with pytest.raises(Conflict) as caught:
        services.slide_review(actor=technician, slide=filled, **HOLDS, seen=seen)
    assert caught.value.code == "E_STALE"


def test_adding_a_field_makes_the_review_void(technician: Any, filled: Slide, add: Any) -> None:
    services.slide_review(actor=technician, slide=filled, **HOLDS)
    add(filled, 1)
    filled.refresh_from_db()
    assert filled.review == "passed", "the identical file again changes nothing"
    add(filled, 9)
    filled.refresh_from_db()
    assert (filled.review, filled.reviewed_at, filled.reviewed_by) == ("waiting", None, None)
    assert AuditEvent.objects.filter(action="slide.review_void").count() == 1


def test_moving_a_field_makes_both_reviews_void(technician: Any, filled: Slide, other_slide: Slide, add: Any) -> None:
    add(other_slide, 8)
    for slide in (filled, other_slide):
        services.slide_review(actor=technician, slide=slide, **HOLDS)
    services.images_move(actor=technician, images=[filled.images.first()], slide=other_slide, reason="Wrong folder")
    assert set(Slide.objects.values_list("review", flat=True)) == {"waiting"}


@pytest.mark.django_db(transaction=True)
def test_a_slide_cannot_be_passed_while_a_field_leaves_it(
    technician: Any, filled: Slide, other_slide: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The review would be kept, and say that the slide is complete: who moves does not see it yet."""
    if connection.vendor != "postgresql":
        return  # SQLite has one writer at a time
    waits: list[bool] = []

    def review() -> None:
        try:
            with transaction.atomic():
                waits.append(not Slide.objects.select_for_update(skip_locked=True).filter(pk=filled.pk))
        finally:
            connection.close()

    def meanwhile(slide: Slide) -> int:
        thread = threading.Thread(target=review)
        thread.start()
        thread.join()
        return next_position(slide)

    monkeypatch.setattr("cases.services.images.next_position", meanwhile)
    services.images_move(actor=technician, images=[filled.images.first()], slide=other_slide, reason="Wrong folder")
    assert waits == [True]


def test_only_drawn_slides_are_reviewed_by_the_system(filled: Slide) -> None:
    with pytest.raises(Conflict, match="a person"):
        services.slide_review_by_system(filled)
    Cohort.objects.update(synthetic=True)
    slide = services.slide_review_by_system(filled)
    assert (slide.review, slide.reviewed_by) == ("passed", None)
    services.slide_review_by_system(filled)
    assert AuditEvent.objects.filter(action="slide.review").count() == 1


def test_the_page_settles_and_leads_to_the_next(as_role: Any, filled: Slide, other_slide: Slide, add: Any) -> None:
    add(other_slide, 7)
    client = as_role("technician")
    address = reverse("slide_review", args=[filled.pk])
    seen = selectors.fields_fingerprint(filled)
    response = client.post(address, {"no_identity": "on", "seen": seen})
    assert response.status_code == 400
    assert b"Say why" in response.content
    response = client.post(address, {"no_identity": "on", "complete": "on", "in_order": "on", "seen": seen})
    assert response.url == reverse("slide_review", args=[other_slide.pk])
    response = client.post(response.url, {"reason": "A name", "seen": selectors.fields_fingerprint(other_slide)})
    assert response.url == reverse("slide_reviews")
    client.get(response.url)  # shows what was done
    queue = client.get(response.url).content.decode()
    assert "A name" in queue
    assert filled.code not in queue


def test_the_page_frames_what_looks_like_text(as_role: Any, filled: Slide) -> None:
    first, second, _ = filled.images.all()
    TextHint.objects.create(content_sha256=first.content_sha256, version=VERSION, boxes=[
        {"x": 1, "y": 2, "width": 30, "height": 8, "score": 0.9}])  # fmt: skip
    TextHint.objects.create(content_sha256=second.content_sha256, version=VERSION, boxes=[])
    page = as_role("technician").get(reverse("slide_review", args=[filled.pk])).content.decode()
    assert '<rect x="1.0" y="2.0" width="30.0" height="8.0"/>' in page
    assert "1 field seems to hold text" in page
    assert page.count("has-text") == 1


def test_the_search_for_text_is_one_job_that_goes_on(
    technician: Any, filled: Slide, as_role: Any, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, int]] = []

    def found(image: Any) -> list[dict[str, float]]:
        looked.append(image.size)
        return [{"x": 0.0, "y": 0.0, "width": 5.0, "height": 5.0, "score": 0.8}] if len(looked) == 1 else []

    monkeypatch.setattr("cases.services.reviews.available", lambda: True)
    monkeypatch.setattr("cases.worker.find_text", found)
    job = text_search_request(actor=technician, slide=filled)
    assert text_search_request(actor=technician, slide=filled).pk == job.pk
    # The end of the search brings its part of the page alone: ticks and a typed reason stay.
    page = as_role("technician").get(reverse("slide_review", args=[filled.pk])).content.decode()
    assert "data-reload-on-job-end" not in page
    part = page[page.index('id="burnt-in"') : page.index("</section>")]
    assert 'hx-trigger="job-ended from:body"' in part
    assert 'hx-select-oob="#review-sheet:innerHTML"' in part
    assert "<form" not in part
    assert page.count('id="review-sheet"') == 1
    TextHint.objects.create(content_sha256=filled.images.last().content_sha256, version=VERSION)
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.note) == (Job.Status.DONE, "1 of 3 fields seem to hold text")
    assert len(looked) == 2, "what was looked through before is not looked through again"
    assert [bool(boxes) for boxes in selectors.text_hints(filled).values()].count(True) == 1


def test_without_the_extra_the_search_says_what_to_install(
    technician: Any, filled: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cases.services.reviews.available", lambda: False)
    with pytest.raises(DomainError, match=r"\[deid\]") as caught:
        text_search_request(actor=technician, slide=filled)
    assert caught.value.code == "E_NO_DEID"
    assert not Job.objects.exists()


def test_the_queue_takes_as_many_queries_for_many_slides(as_role: Any, cohort: Cohort, filled: Slide, add: Any) -> None:
    client = as_role("technician")

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(reverse("slide_reviews")).status_code == 200
        return len(captured)

    before = queries()
    for number in range(4):
        code = f"Q{number}"
        add(services.slide_ensure(actor=None, cohort=cohort, patient_code=code, slide_code=code), number)
    assert queries() == before


def test_home_tells_a_technician_what_waits(as_role: Any, filled: Slide) -> None:
    assert b"1 slide waits" in as_role("technician").get("/").content
    assert b"Review slides" not in as_role("pathologist").get("/").content
