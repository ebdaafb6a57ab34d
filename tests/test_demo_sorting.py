"""The demo of curation: labels that can be frozen at once, and the same fields for the pathologist to sort blind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cases.models import Cohort, HpfImage, ImageQuality, Slide, SortingItem, SortingTask
from cases.selectors.usable import Choices, images_usable
from leukoweb.core.models import Job
from leukoweb.demo import sorting as demo

pytestmark = pytest.mark.django_db


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six patients with fields of 160 pixels; the rest is as it is."""
    monkeypatch.setattr(demo, "N_PATIENTS", 6)
    monkeypatch.setattr(demo, "N_IMAGES", 18)
    monkeypatch.setattr(demo, "phantom_cohort_draw", partial(demo.phantom_cohort_draw, width_px=160))


def test_fields_can_be_sorted_and_frozen(
    small: None, make_user: Callable[..., Any], run_jobs: Callable[[], int]
) -> None:
    sorter = make_user("pathologist", "pathologist")
    demo.sorting_queue()
    demo.sorting_queue()
    run_jobs()
    job = Job.objects.get(kind="demo.sorting")
    assert (job.status, job.error, job.done_units) == ("done", "", 18)
    cohort = Cohort.objects.get()
    assert (cohort.name, cohort.purpose, cohort.synthetic) == (demo.COHORT, Cohort.Purpose.DEVELOPMENT, True)
    by_hand = SortingTask.objects.get(name=demo.TASK)
    assert SortingItem.objects.filter(seat__task=by_hand, seat__user=sorter, current=None).count() == 18
    assert ImageQuality.objects.count() == 18
    assert set(Slide.objects.values_list("review", flat=True)) == {Slide.Review.PASSED}
    told = SortingTask.objects.exclude(pk=by_hand.pk).get()
    usable = images_usable(Choices((cohort,), (told,)))
    assert len(usable.kept) + len(usable.gone) == 18
    assert usable.kept
    demo.sorting_queue()
    assert Job.objects.filter(kind="demo.sorting").count() == 1


def test_a_killed_worker_goes_on_where_it_was(
    small: None, make_user: Callable[..., Any], run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("pathologist", "pathologist")
    label = demo.phantom_labels_import
    monkeypatch.setattr(demo, "phantom_labels_import", lambda **kwargs: 1 / 0)
    demo.sorting_queue()
    run_jobs()
    images = set(HpfImage.objects.values_list("pk", flat=True))
    assert (len(images), SortingTask.objects.count()) == (18, 1)
    monkeypatch.setattr(demo, "phantom_labels_import", label)
    Job.objects.filter(kind="demo.sorting").update(not_before=None)
    run_jobs()
    assert SortingTask.objects.count() == 2
    assert set(HpfImage.objects.values_list("pk", flat=True)) == images
