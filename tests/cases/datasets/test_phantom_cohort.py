from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cases.models import Cohort, HpfImage, ImageQuality, SortingDecision, SortingTask
from cases.services.datasets import dataset_freeze
from tests.cases.datasets.rows import choices_of


@pytest.mark.django_db
def test_a_drawn_cohort_with_labels_can_be_frozen_at_once() -> None:
    def draw() -> str:
        out = StringIO()
        call_command("draw_phantoms", cohort="Drawn", patients=15, images=45, seed=3, width=96, labels=True, stdout=out)
        return out.getvalue()

    assert "45 fields of 15 phantoms" in draw()
    cohort, task = Cohort.objects.get(), SortingTask.objects.get()
    assert cohort.synthetic
    assert cohort.purpose == "development"
    assert set(SortingDecision.objects.values_list("origin", flat=True)) == {"import"}
    assert ImageQuality.objects.count() == 45
    version = dataset_freeze(actor=None, name="Phantoms", choices=choices_of([cohort], [task]))
    assert version.synthetic
    assert version.n_images == 45
    draw()  # again: nothing is added
    assert (HpfImage.objects.count(), SortingDecision.objects.count()) == (45, 45)


@pytest.mark.django_db
@pytest.mark.parametrize("options", [{"patients": 2}, {"images": 4}, {"width": 2}])
def test_wrong_arguments_are_told_in_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("draw_phantoms", **{"cohort": "Drawn", "patients": 5, "images": 15} | options, stdout=StringIO())
    assert refused.value.returncode == 2


@pytest.mark.django_db
def test_a_cohort_of_people_takes_no_phantoms() -> None:
    Cohort.objects.create(name="People", purpose="development")
    with pytest.raises(CommandError, match="holds people"):
        call_command("draw_phantoms", cohort="People", patients=5, stdout=StringIO())
