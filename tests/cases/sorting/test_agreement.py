"""The agreement report: its numbers are the statistics library's, on the page, in the API and on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.timezone import override

from cases.agreement import OTHER_CLASSES, SortedTable, agreement_report
from cases.models import Cohort, Exposure, HpfImage, SortingItem, SortingTask
from cases.selectors.sorting_agreement import sorted_table
from cases.services.taxonomies import taxonomy_ensure
from leukoweb.statistics.sorters import sorter_agreement
from tests.cases.sorting.conftest import images_make, seat_make

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
CLASSES = ("AML", "ALL", *OTHER_CLASSES)


def table(n: int = 90, *, days: int = 1, sorters: int = 2) -> SortedTable:
    random = np.random.default_rng(5)
    first = random.integers(0, 4, n)
    columns = [first] + [np.where(random.random(n) < 0.75, first, random.integers(0, 4, n)) for _ in range(sorters - 1)]
    times = [[START + timedelta(days=days * row / n, minutes=column) for column in range(sorters)] for row in range(n)]
    return SortedTable(
        CLASSES, ("Anna", "Ben", "Cleo")[:sorters], np.stack(columns, axis=1), (np.arange(n) // 5).tolist(),
        ["DP73" if row % 3 else "" for row in range(n)], times,
    )  # fmt: skip


def test_the_report_is_made_of_the_library_s_numbers() -> None:
    data = table()
    report = agreement_report(data)
    assert report.chosen is not None
    expected = sorter_agreement(data.codes[:, 0], data.codes[:, 1], data.patients, 4)
    assert report.chosen.found.as_dict() == expected.as_dict()
    assert [part.name for part in report.chosen.by_device] == ["DP73", "not known"]
    assert sum(part.n_images for part in report.chosen.by_device) == 90
    assert [part.name for part in report.chosen.over_time] == ["first third", "second third", "last third"]
    assert report.together is None
    json.dumps(report.as_dict(), allow_nan=False)


def test_weeks_where_there_are_enough_and_three_sorters_together() -> None:
    report = agreement_report(table(days=21, sorters=3), pair=(1, 2))
    assert report.chosen is not None
    assert (report.chosen.first, report.chosen.second, len(report.pairs)) == ("Ben", "Cleo", 3)
    assert [part.name for part in report.chosen.over_time] == ["2026-W10", "2026-W11", "2026-W12"]
    assert report.together is not None
    sundays = [[START + timedelta(days=6 + row // 20 * 7, hours=15.5)] * 2 for row in range(60)]  # 23:30 UTC
    chosen = agreement_report(replace(table(60), times=sundays, zone=timezone(timedelta(hours=9)))).chosen
    assert chosen is not None
    assert [part.name for part in chosen.over_time] == ["2026-W11", "2026-W12", "2026-W13"], "Mondays there"
    assert report.together.method == "linearised-t-clustered"


def test_labels_only_leaves_out_what_has_no_label() -> None:
    data = table().labels_only()
    assert data.classes == ("AML", "ALL")
    assert data.codes.max() == 1
    report = agreement_report(data)
    assert report.chosen is not None
    both = np.all(data.codes >= 0, axis=1).sum()
    assert report.chosen.found.n_images == both < 90


def test_nothing_in_common_is_no_pair() -> None:
    data = table()
    data.codes[:45, 0] = -1
    data.codes[45:, 1] = -1
    assert agreement_report(data).chosen is None


@pytest.fixture
def task(training: Cohort, sorters: list[Any], decide: Callable[..., Any]) -> SortingTask:
    """Anna and Ben on 8 patients of 5 images; on two patients they disagree throughout."""
    task = SortingTask.objects.create(
        name="First", taxonomy=taxonomy_ensure(), seed=1, consensus={"rule": "adjudicated"}
    )
    task.cohorts.add(training)
    images = images_make(training, 8, 5)
    anna, ben = (seat_make(task, user, images) for user in sorters[:2])
    seat_make(task, sorters[2], [], "adjudicator")
    for number, image in enumerate(images):
        label = ("AML", "ALL", "CML", "CLL")[number // 5 % 4]
        decide(anna, image, label)
        if number == 39:
            decide(ben, image, verdict="exclude")
        else:
            decide(ben, image, "NO_LEUKEMIA" if number < 10 else label)
    return task


@pytest.mark.django_db
def test_the_table_from_rows(task: SortingTask, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        data = sorted_table(task)
    assert data.codes.shape == (40, 2)
    assert data.sorters == ("anna", "ben")
    assert (data.codes[:, 0] != data.codes[:, 1]).sum() == 11
    assert data.classes[data.codes[39, 1]] == "EXCLUDED"
    with override("Asia/Tokyo"):
        assert str(sorted_table(task).zone) == "Asia/Tokyo", "weeks begin where the installation is"


@pytest.mark.django_db
def test_the_page_the_api_and_the_command_say_the_same(task: SortingTask, as_role: Callable[[str], Client]) -> None:
    data = sorted_table(task)
    expected = sorter_agreement(data.codes[:, 0], data.codes[:, 1], data.patients, len(data.classes))
    coordinator = as_role("coordinator")
    page = coordinator.get(f"/sorting/{task.public_id}/agreement/").content.decode()
    kappa = expected.kappa
    told = f'{kappa.estimate:.2f} <span class="interval">({kappa.low:.2f} to {kappa.high:.2f})</span>'
    assert told in page
    assert 'href="?only=labels"' in page
    chosen = coordinator.get(f"/sorting/{task.public_id}/agreement/?pair=0-1").content.decode()
    assert 'href="?pair=0-1&amp;only=labels"' in chosen, "the pair that was chosen stays"
    download = f"/api/v1/sorting/tasks/{task.public_id}/agreement/"
    assert f'href="{download}" download' in page
    answer = coordinator.get(download).json()
    assert answer["pairs"][0]["kappa"]["estimate"] == pytest.approx(kappa.estimate)
    out = StringIO()
    call_command("sorting_agreement", "First", stdout=out)
    assert (
        f"40 images of 8 patients, kappa {kappa.estimate:.2f} ({kappa.low:.2f} to {kappa.high:.2f})" in out.getvalue()
    )
    assert kappa.high - kappa.low > expected.kappa_naive.high - expected.kappa_naive.low


@pytest.mark.django_db
def test_the_command_says_what_is_missing(task: SortingTask, sorters: list[Any], tmp_path: Any) -> None:
    with pytest.raises(CommandError, match=re.escape("There are: First.")):
        call_command("sorting_agreement", "Second")
    call_command("sorting_agreement", "First", "--labels-only", json=tmp_path / "report.json", stdout=StringIO())
    assert json.loads((tmp_path / "report.json").read_text())["pairs"][0]["n_images"] == 39


@pytest.mark.django_db
def test_no_page_of_staff_is_open_to_a_sorter(task: SortingTask, as_role: Callable[[str], Client]) -> None:
    pathologist = as_role("pathologist")
    for path in ("", "agreement/", "disagreements/"):
        assert pathologist.get(f"/sorting/{task.public_id}/{path}").status_code == 403
    assert pathologist.get(f"/api/v1/sorting/tasks/{task.public_id}/agreement/").status_code == 403


@pytest.mark.django_db
def test_whoever_of_the_staff_sees_labels_of_a_patient_has_seen_them(
    task: SortingTask, as_role: Callable[[str], Client]
) -> None:
    """Later they may be a pathologist: a study refuses them for these patients."""

    def seen(client: Any) -> int:
        return Exposure.objects.filter(user=client.user, kind="label").count()

    coordinator = as_role("coordinator")
    for path in ("", "agreement/"):
        coordinator.get(f"/sorting/{task.public_id}/{path}")
    assert seen(coordinator) == 0, "numbers alone"
    coordinator.get(f"/sorting/{task.public_id}/disagreements/")
    assert seen(coordinator) == 3, "the patients of the 11 disputed images"
    admin = as_role("admin")
    SortingItem.objects.filter(image__slide__code="S-0-AML").update(current=None)
    admin.get(f"/api/v1/sorting/tasks/{task.public_id}/consensus/")
    assert seen(admin) == 7, "of the eighth nobody has said anything"


@pytest.mark.django_db
def test_pages_cost_the_same_for_more_images(
    task: SortingTask, as_role: Callable[[str], Client], django_assert_max_num_queries: Any, decide: Callable[..., Any],
    training: Cohort,
) -> None:  # fmt: skip
    coordinator = as_role("coordinator")

    def queries() -> list[int]:
        found = []
        for path in ("", "agreement/", "disagreements/?state=open"):
            with django_assert_max_num_queries(25) as captured:
                assert coordinator.get(f"/sorting/{task.public_id}/{path}").status_code == 200
            found.append(len(captured))
        return found

    before = queries()
    more: list[HpfImage] = images_make(training, 2, 6, prefix="more")
    for seat, label in zip(task.seats.order_by("pk")[:2], ("AML", "CLL"), strict=True):
        rows = [SortingItem(seat=seat, image=image, position=100 + n) for n, image in enumerate(more)]
        SortingItem.objects.bulk_create(rows)
        for image in more:
            decide(seat, image, label)
    assert queries() == before
