from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from cases.consensus import ConsensusRule
from cases.dataset_forms import DatasetForm
from cases.models import (
    Cohort,
    DatasetEntry,
    DatasetVersion,
    HpfImage,
    Patient,
    Slide,
    SortingDecision,
    SortingItem,
    SortingSeat,
    SortingTask,
)
from cases.selectors import dataset_plan as dataset_plan_module
from cases.selectors import datasets as selectors
from cases.selectors.dataset_plan import dataset_plan
from cases.selectors.usable import Choices
from cases.services.curation import images_exclude
from cases.services.datasets import CannotFreeze, dataset_freeze
from leukoweb.core.audit import chain_verify
from leukoweb.core.blindfold import lift, put_on
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.models import AuditEvent
from tests.cases.datasets.rows import SMALL, choices_of, cohort_make, images_make, labelled

Small = tuple[Cohort, SortingTask]

GOLDEN = "8782169f26bdc344871cbca0943d20a8ace5e274bec26ec8d8f4207f2b1543ec"


def freeze(small: Small, name: str = "Set", **settings: Any) -> DatasetVersion:
    return dataset_freeze(actor=None, name=name, choices=choices_of([small[0]], [small[1]], seed=5, **settings))


def decide(image: HpfImage, label: str, verdict: str = "label") -> None:
    seat = SortingSeat.objects.get()
    made = SortingDecision.objects.create(
        seat=seat, image=image, key=uuid.uuid4(), verdict=verdict, label=label if verdict == "label" else ""
    )
    SortingItem.objects.filter(seat=seat, image=image).update(current=made)


@pytest.mark.both_databases
def test_the_manifest_is_the_same_on_every_database(small: Small) -> None:
    """The hash is written down here: SQLite and PostgreSQL must both give it."""
    assert freeze(small).manifest_sha256 == GOLDEN
    again = freeze(small)
    assert (again.version, again.manifest_sha256) == (2, GOLDEN)


@pytest.mark.parametrize("first", ["exclude", "cannot_classify"])
def test_a_twin_that_the_sorters_took_out_does_not_take_the_other_along(small: Small, first: str) -> None:
    """The identical field stands on two slides of a patient; by slide code the one that is out comes first."""
    task = small[1]
    twin = HpfImage.objects.get(slide__code="P-2-S1", position=1)
    slide = Slide.objects.create(code="P-2-S0", patient=twin.slide.patient)
    copy = HpfImage.objects.create(
        slide=slide, position=1, content_sha256=twin.content_sha256, received_sha256=twin.received_sha256,
        format="PNG", width_px=80, height_px=60, size_bytes=9, phash=twin.phash,
    )  # fmt: skip
    SortingItem.objects.create(seat=SortingSeat.objects.get(task=task), image=copy, position=1000)
    decide(copy, "", first)
    plan = dataset_plan(choices_of([small[0]], [task], seed=5))
    assert twin.pk in {image.row.pk for image in plan.images}
    steps = {step.step: step.n_images for step in plan.flow}
    assert (steps.get("copy", 0), steps["sorted_out" if first == "exclude" else first]) == (0, 1)
    decide(copy, "AML")
    steps = {step.step: step.n_images for step in dataset_plan(choices_of([small[0]], [task], min_images=1)).flow}
    assert steps["copy"] == 1, "where both are wanted, one counts"
    plan = dataset_plan(choices_of([small[0]], [task], min_images=4))
    steps = {step.step: step.n_images for step in plan.flow}
    assert twin.pk in {image.row.pk for image in plan.images}, "its slide has four with it, the copy's has one"
    assert copy.pk not in {image.row.pk for image in plan.images}
    assert steps["copy"] == 1


@pytest.mark.both_databases
def test_database_ids_are_not_in_the_manifest(small: Small) -> None:
    first = freeze(small)
    with transaction.atomic():
        other, labels = cohort_make("Other", {f"Q{code}": counts for code, counts in SMALL.items()})
        labelled(other, labels)
    assert freeze(small).manifest_sha256 == first.manifest_sha256


@pytest.mark.both_databases
def test_one_changed_decision_changes_it(small: Small) -> None:
    first = freeze(small)
    image = HpfImage.objects.get(slide__code="P-9-S1", position=1)
    decide(image, "REACTIVE")
    changed = freeze(small)
    assert changed.manifest_sha256 != first.manifest_sha256
    decide(image, "NO_LEUKEMIA")
    assert freeze(small).manifest_sha256 == first.manifest_sha256  # the same state again


def test_a_decision_that_leaves_the_label_changes_it_too(small: Small, pathologist: Any) -> None:
    _cohort, task = small
    seat = SortingSeat.objects.create(task=task, user=pathologist, seed=1, active=False)
    image = HpfImage.objects.get(slide__code="P-2-S1", position=1)
    SortingItem.objects.create(seat=seat, image=image, position=1)
    before = freeze(small)
    made = SortingDecision.objects.create(seat=seat, image=image, key=uuid.uuid4(), verdict="label", label="AML")
    SortingItem.objects.filter(seat=seat).update(current=made)
    assert freeze(small).manifest_sha256 != before.manifest_sha256


def test_what_a_version_holds(small: Small, admin_user: Any) -> None:
    version = dataset_freeze(actor=admin_user, name=" Set ", choices=choices_of([small[0]], [small[1]], seed=5))
    assert (version.name, version.version, version.n_images, version.n_patients) == ("Set", 1, 41, 10)
    assert version.counts["patients"]["internal"] == dict.fromkeys(("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA"), 1) | {}
    entries = selectors.dataset_entries(version)
    assert len(entries) == 41
    assert {e.patient: e.split for e in entries}.keys() == set(SMALL)
    assert {e.label for e in entries} == {"AML", "ALL", "CLL", "CML", "NO_LEUKEMIA", "REACTIVE"}
    assert all(check["passed"] and not check["found"] for check in version.proof)
    assert [step["step"] for step in version.flow] == ["received", "kept"]
    assert selectors.dataset_problems(version) == []
    assert AuditEvent.objects.filter(action="dataset.freeze", actor=admin_user).count() == 1
    assert selectors.dataset_named("Set") == selectors.dataset_named("Set:1") == version
    for odd in ("Set:²", f"Set:{'9' * 5000}", "Set:x"):
        with pytest.raises(NotFound):
            selectors.dataset_named(odd)


def test_folds(small: Small) -> None:
    version = freeze(small, folds=2)
    by_patient = {(e.patient, e.fold, e.split) for e in selectors.dataset_entries(version)}
    assert len(by_patient) == 10
    assert {(fold, split) for _, fold, split in by_patient} == {(1, "internal"), (2, "train")}
    assert set(version.counts["folds"]) == {"1", "2"}


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_what_is_decided_while_a_version_is_frozen_is_not_half_in_it(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the labels and the digest of the decisions. SQLite keeps the sorter waiting until the plan is made."""
    image = HpfImage.objects.get(slide__code="P-2-S1", position=1)
    before = dataset_plan(choices_of([small[0]], [small[1]], seed=5)).manifest()
    digest, sorters = dataset_plan_module._decisions, list[threading.Thread]()

    def sort() -> None:
        try:
            decide(image, "ALL")
        finally:
            connection.close()

    def meanwhile(*args: Any) -> str:
        sorters.append(threading.Thread(target=sort))
        sorters[-1].start()
        if connection.vendor == "postgresql":
            sorters[-1].join()
        return digest(*args)

    with monkeypatch.context() as patched:
        patched.setattr(dataset_plan_module, "_decisions", meanwhile)
        version = freeze(small)
    [sorter] = sorters
    sorter.join()
    assert version.manifest_sha256 == hashlib.sha256(before).hexdigest()
    assert SortingItem.objects.get(image=image).current.label == "ALL"
    assert chain_verify().intact


def test_every_image_that_is_not_kept_is_in_the_flow(small: Small) -> None:
    _cohort, _task = small
    images = {(i.slide.code, i.position): i for i in HpfImage.objects.select_related("slide")}
    images_exclude(actor=None, images=[images["P-1-S1", 5]], reason="blur")
    decide(images["P-2-S1", 4], "", "cannot_classify")
    decide(images["P-4-S1", 8], "", "exclude")
    decide(images["P-4-S1", 7], "", "cleared")
    decide(images["P-6-S1", 1], "", "exclude")  # two are left of three: the slide goes
    images_make(images["P-5-S1", 1].slide, 1)  # never sorted
    version = freeze(small)
    counted = {step["step"]: step["n_images"] for step in version.flow}
    assert counted == {
        "received": 42, "excluded_blur": 1, "sorted_out": 2, "cannot_classify": 1, "not_sorted": 2, "small_slide": 2,
        "kept": 34,
    }  # fmt: skip
    assert sum(counted.values()) == 2 * counted["received"]
    assert {out.step for out in selectors.left_out(version)} == set(counted) - {"received", "kept"}
    assert version.n_patients == 9
    assert freeze(small, min_images=2).n_patients == 10


def test_two_tasks_that_contradict_leave_the_image_out(small: Small) -> None:
    cohort, task = small
    image = HpfImage.objects.get(slide__code="P-2-S1", position=1)
    other = labelled(cohort, {image.pk: "APML"}, name="Second look")
    plan = dataset_plan(choices_of([cohort], [task, other]))
    assert {step.step: step.n_images for step in plan.flow}["disputed"] == 1
    third = labelled(cohort, {image.pk: "CML"}, name="Third look")
    plan = dataset_plan(choices_of([cohort], [task, other, third]))
    assert {step.step: step.n_images for step in plan.flow}["disputed"] == 1, "a third task does not settle it"
    plan = dataset_plan(Choices((cohort,), (other,), rule="unanimous"))
    assert {step.step: step.n_images for step in plan.flow}["not_sorted"] == 40


def test_one_rule_for_all_keeps_how_many_each_task_asks_for(small: Small, as_role: Callable[[str], Client]) -> None:
    """A task that wants two decisions of each image does not count one for enough because another rule was chosen."""
    (cohort, task), admin = small, as_role("admin")
    asked = ConsensusRule("adjudicated", min_decisions=2, panel_min=3)
    SortingTask.objects.filter(pk=task.pk).update(consensus=asked.as_dict())
    chosen = {"rule": "majority", "version": 1, "min_decisions": 2, "panel_min": 3}
    form = DatasetForm(
        {"name": "Set", "cohorts": [cohort.pk], "tasks": [task.pk], "rule": "majority", "class_map": "five",
         "min_images": 1, "percent": 20, "folds": 0, "seed": 0}
    )  # fmt: skip
    assert form.is_valid(), form.errors
    assert form.choices().as_dict()["rules"] == [chosen]
    wanted = {"name": "Set", "cohorts": [cohort.name], "tasks": [task.name], "rule": "majority", "dry_run": True}
    plan = admin.post("/api/v1/datasets/freeze/", wanted, "application/json").json()
    assert (plan["n_images"], plan["problems"][0]["code"]) == (0, "E_EMPTY"), "nobody but one has decided"
    told = admin.get(f"/api/v1/sorting/tasks/{task.public_id}/consensus/?rule=majority").json()
    assert (told["rule"], told["counts"]) == (chosen, {"open": 41})


def test_an_external_cohort_is_refused(small: Small) -> None:
    external, labels = cohort_make("External", {"X-1": {"AML": 3}, "X-2": {"CML": 3}}, purpose="external")
    task = labelled(external, labels)
    with pytest.raises(CannotFreeze) as refused:
        dataset_freeze(actor=None, name="Set", choices=choices_of([small[0], external], [small[1], task]))
    assert refused.value.code == "E_EXTERNAL"
    assert not DatasetVersion.objects.exists()


def test_whoever_reads_blinded_freezes_nothing(small: Small) -> None:
    """The proof would not see the study's images, of which one may be in the training."""
    external, _ = cohort_make("External", {"X-1": {"AML": 3}}, purpose="external")
    hidden = external.patients.get()
    twin = HpfImage.objects.filter(slide__patient__cohort=small[0]).first()
    assert twin is not None
    hidden.slides.get().images.filter(position=1).update(content_sha256=twin.content_sha256)
    put_on(lambda: {hidden.pk}, lambda: None)
    try:
        assert [problem.code for problem in dataset_plan(choices_of([small[0]], [small[1]])).problems] == ["E_BLINDED"]
        with pytest.raises(CannotFreeze, match="blinded at the moment"):
            freeze(small)
    finally:
        lift()
    assert not DatasetVersion.objects.exists()


@pytest.mark.parametrize("name", ["", " ", "a:1", "x" * 81])
def test_names_that_cannot_be(small: Small, name: str) -> None:
    with pytest.raises(DomainError) as refused:
        freeze(small, name=name)
    assert refused.value.field == "name"


def test_nothing_sorted_is_told(small: Small) -> None:
    empty = Cohort.objects.create(name="Empty", purpose="development")
    with pytest.raises(CannotFreeze) as refused:
        dataset_freeze(actor=None, name="Set", choices=choices_of([empty], [small[1]]))
    assert refused.value.code == "E_EMPTY"
    with pytest.raises(DomainError, match="map"):
        dataset_plan(choices_of([small[0]], [small[1]], class_map="nine"))


def test_a_split_without_internal_validation_is_not_frozen(small: Small) -> None:
    """Each stratum of one patient stays in training, so nobody is left to validate on."""
    cohort, labels = cohort_make("Two", {"T-1": {"AML": 3}, "T-2": {"NO_LEUKEMIA": 3}})
    with pytest.raises(CannotFreeze) as refused:
        dataset_freeze(actor=None, name="Two", choices=choices_of([cohort], [labelled(cohort, labels)]))
    assert refused.value.code == "E_ONE_SIDED"
    assert not DatasetVersion.objects.filter(name="Two").exists()


def test_a_patient_who_is_withdrawn_later_is_no_longer_used(small: Small) -> None:
    version = freeze(small)
    Patient.objects.filter(code="P-4").update(withdrawn_at=timezone.now())
    assert "P-4" not in {entry.patient for entry in selectors.dataset_entries(version)}
    assert selectors.dataset_withdrawn(version) == 8
    assert selectors.dataset_problems(version) == []  # what was frozen stays as it was


@pytest.mark.both_databases
@pytest.mark.parametrize("model", [DatasetVersion, DatasetEntry])
def test_a_frozen_version_cannot_be_altered(small: Small, model: Any) -> None:
    version = freeze(small)
    changes = {DatasetVersion: {"name": "Better"}, DatasetEntry: {"label": "CLL"}}[model]
    row = model.objects.first()
    for name, value in changes.items():
        setattr(row, name, value)
    table, (column, value) = model._meta.db_table, next(iter(changes.items()))
    attempts = [
        lambda: model.objects.update(**changes),
        lambda: model.objects.all().delete(),
        lambda: row.save(),
        lambda: model.objects.bulk_update([row], list(changes)),
        lambda: connection.cursor().execute(f"UPDATE {table} SET {column} = %s", [value]),
        lambda: connection.cursor().execute(f"DELETE FROM {table}"),
    ]
    for attempt in attempts:
        with pytest.raises(DatabaseError), transaction.atomic():
            attempt()
    assert selectors.dataset_problems(version) == []


@pytest.mark.both_databases
def test_a_frozen_version_takes_no_more_images(small: Small) -> None:
    version = freeze(small)
    entry = version.entries.last()
    extra = images_make(entry.image.slide, 1)[0]
    fields = {f.name: getattr(entry, f.name) for f in DatasetEntry._meta.fields if f.name != "id"}
    for number in (0, version.n_images, version.n_images + 1):
        with pytest.raises(DatabaseError), transaction.atomic():
            DatasetEntry.objects.create(**fields | {"image": extra, "number": number})
    assert selectors.dataset_problems(version) == []


def test_the_stored_manifest_is_checked_against_the_rows(small: Small) -> None:
    from leukoweb.core.storage import blobs

    version = freeze(small)
    assert selectors.dataset_problems_known(version) == []
    assert selectors.dataset_problems_known(version) == []
    blobs().path(version.manifest_sha256).write_bytes(b'{"images":[]}')
    assert len(selectors.dataset_problems(version)) == len(selectors.dataset_problems_known(version)) == 2
    blobs().path(version.manifest_sha256).unlink()
    assert "missing" in selectors.dataset_problems(version)[0]
    assert "missing" in selectors.dataset_problems_known(version)[0]


def test_a_page_compares_a_sound_version_once(small: Small, django_assert_num_queries: Any) -> None:
    version = freeze(small)
    selectors.dataset_problems_known(version)
    with django_assert_num_queries(2) as queries:  # how many rows there are, and what is known of that
        assert selectors.dataset_problems_known(version) == []
    assert "fold" not in "".join(query["sql"] for query in queries)


def test_a_plan_takes_as_many_queries_for_many_patients_as_for_few(
    small: Small, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as few:
        dataset_plan(choices_of([small[0]], [small[1]]))
    many, labels = cohort_make("Many", {f"M{n}": {"AML": 3} for n in range(60)})
    task = labelled(many, labels)
    many = Cohort.objects.get(pk=many.pk)
    task = SortingTask.objects.select_related("taxonomy").get(pk=task.pk)
    with django_assert_max_num_queries(len(few)):
        dataset_plan(choices_of([many], [task]))
