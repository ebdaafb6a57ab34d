"""Who sorts a patient's images sees that patient on the board alone, until the task is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cases.models import HpfImage, Patient, Slide, SortingItem, SortingSeat, SortingTask
from cases.services.taxonomies import taxonomy_ensure
from tests.cases.shell.test_pages import PAGES

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
BOARD = {"image_file", "image_thumb"}


@pytest.fixture
def image(slide: Slide, add: Callable[..., HpfImage]) -> HpfImage:
    return add(slide, 1)


@pytest.fixture
def seat(make_user: Callable[..., Any], image: HpfImage) -> SortingSeat:
    task = SortingTask.objects.create(name="Task", taxonomy=taxonomy_ensure(), seed=1, consensus={"rule": "majority"})
    task.cohorts.add(image.slide.patient.cohort)
    seat = SortingSeat.objects.create(task=task, user=make_user("pathologist", "anna"), seed=1)
    SortingItem.objects.create(seat=seat, image=image, position=1)
    return seat


def statuses(client: Client, image: HpfImage) -> dict[str, int]:
    """Page -> status, of every page about a cohort, patient, slide or image that a pathologist may open."""
    ids = {"patient": image.slide.patient_id, "slide": image.slide_id, "image": image.public_id}
    pages = {name: kind for name, (kind, roles) in PAGES.items() if kind in ids and "pathologist" in roles}
    return {name: client.get(reverse(name, args=[ids[kind]])).status_code for name, kind in pages.items()}


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_sorter_gets_pixels_and_no_code(seat: SortingSeat, image: HpfImage) -> None:
    client = client_of(seat.user)
    assert statuses(client, image) == {
        name: 200 if name in BOARD else 404
        for name in ("patient_detail", "slide_detail", "image_file", "image_thumb", "image_viewer", "api_slide_images")
    }
    for page in ("cohort_detail", "cohort_patients"):
        listed = client.get(reverse(page, args=[image.slide.patient.cohort_id])).content.decode()
        assert image.slide.patient.code not in listed
    queue = client.get(reverse("api_sorting_queue", args=[seat.task.public_id])).json()
    assert queue["items"][0][0] == str(image.public_id)
    assert client.get(reverse("sorting_board", args=[seat.task.public_id])).status_code == 200
    assert "0 of 1 decided" in client.get(reverse("sorting_home")).content.decode()


@pytest.mark.parametrize("change", ["closed", "stopped", "other"])
def test_it_ends_with_the_task_and_is_of_sorters_alone(
    seat: SortingSeat, image: HpfImage, change: str, make_user: Callable[..., Any]
) -> None:
    user = seat.user
    if change == "closed":
        SortingTask.objects.update(closed_at=timezone.now())
    elif change == "stopped":
        SortingSeat.objects.update(active=False)
    else:
        user = make_user("pathologist", "ben")
    assert set(statuses(client_of(user), image).values()) == {200}


def test_an_adjudicator_who_got_nothing_yet_is_blind_too(seat: SortingSeat, image: HpfImage) -> None:
    SortingItem.objects.all().delete()
    SortingSeat.objects.update(part="adjudicator")
    client = client_of(seat.user)
    assert statuses(client, image)["image_viewer"] == 404


def test_patients_of_other_cohorts_stay(seat: SortingSeat, other_slide: Slide, add: Callable[..., HpfImage]) -> None:
    from cases.models import Cohort

    elsewhere = Cohort.objects.create(name="Elsewhere", purpose="external")
    Patient.objects.filter(pk=other_slide.patient_id).update(cohort=elsewhere)
    assert set(statuses(client_of(seat.user), add(other_slide, 2)).values()) == {200}


def test_a_role_that_does_not_sort_is_not_blinded(seat: SortingSeat, image: HpfImage) -> None:
    seat.user.role = "admin"
    seat.user.save()
    assert set(statuses(client_of(seat.user), image).values()) == {200}
