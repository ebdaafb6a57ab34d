"""A new version of a set that grew: nobody changes sides, and newcomers fill up what is lacking."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from cases.dataset_forms import DatasetForm
from cases.keeping import folds_kept, sides_kept
from cases.models import Cohort, DatasetVersion, SortingTask
from cases.selectors.dataset_plan import dataset_plan
from cases.services.datasets import dataset_freeze
from cases.splitting import CannotSplit, PatientCounts
from tests.cases.datasets.rows import SMALL, choices_of, cohort_make, labelled


def patients(*names: str) -> list[PatientCounts]:
    return [PatientCounts(name, name[:3], {name[:3]: 3}) for name in names]


def test_newcomers_fill_up_each_class_and_leave_somebody_to_learn_from() -> None:
    before = {f"AML{n}": "train" for n in range(8)} | {"AML8": "internal", "ALL0": "train"}
    group = patients(*before, "AML9", "ALL1", "CML0", "CML1", "CLL0")
    placed = sides_kept(group, before, fraction=0.2, seed=1)
    assert before.items() <= placed.items()
    assert placed["AML9"] == "internal", "2 of 10"
    assert placed["ALL1"] == "internal", "the class had nobody there"
    assert sorted([placed["CML0"], placed["CML1"]]) == ["internal", "train"]
    assert placed["CLL0"] == "train"
    assert sides_kept(list(reversed(group)), before, fraction=0.2, seed=1) == placed


def test_folds_are_kept_and_need_to_be_as_many() -> None:
    before = {"AML0": 1, "AML1": 2, "AML2": 1, "ALL0": 3}
    placed = folds_kept(patients(*before, "AML3", "AML4"), before, folds=3, seed=1)
    assert before.items() <= placed.items()
    assert sorted([placed["AML3"], placed["AML4"]]) == [2, 3]
    with pytest.raises(CannotSplit, match="has 3 folds; 2 are asked for"):
        folds_kept(patients(*before), before, folds=2, seed=1)
    with pytest.raises(CannotSplit, match="has no folds"):
        folds_kept(patients("AML0"), {"AML0": 0}, folds=2, seed=1)


def sides(version: DatasetVersion) -> dict[str, str]:
    return dict(version.entries.values_list("patient_code", "split"))


def test_a_version_with_more_patients_keeps_everybody_where_they_were(
    small: tuple[Cohort, SortingTask], as_role: Any
) -> None:
    first = dataset_freeze(actor=None, name="Set", choices=choices_of([small[0]], [small[1]], seed=5))
    later, labels = cohort_make("Later", {f"L{code}": counts for code, counts in SMALL.items()})
    task = labelled(later, labels)
    form = DatasetForm(
        {"name": "Set", "cohorts": [small[0].pk, later.pk], "tasks": [small[1].pk, task.pk], "class_map": "five",
         "min_images": 3, "percent": 20, "folds": 0, "seed": 11, "sides_of": first.pk}
    )  # fmt: skip
    assert form.is_valid(), form.errors
    anew = dataset_plan(choices_of([small[0], later], [small[1], task], seed=11))
    drawn = {image.row.patient: image.split for image in anew.images}
    assert any(drawn[code] != side for code, side in sides(first).items()), "another seed moves somebody"
    second = dataset_freeze(actor=None, name="Set", choices=form.choices())
    assert sides(first).items() <= sides(second).items()
    assert second.choices["sides_of"] == "Set:1"
    assert "Set:1" in as_role("admin").get(f"/datasets/{second.public_id}/").content.decode()
    assert DatasetForm()["sides_of"].initial == second, "the newest version is proposed"
    body = {"name": "Set", "cohorts": ["Training"], "tasks": [small[1].name], "seed": 11, "sides_of": "Set:2"}
    made = as_role("admin").post("/api/v1/datasets/freeze/", body, content_type="application/json")
    assert made.status_code == 201, made.content
    call_command("freeze_dataset", "Set", cohort=["Training"], task=[small[1].name], seed=12, sides_of="Set:1")
    for version in DatasetVersion.objects.filter(version__gt=2):
        assert sides(version) == sides(first)
