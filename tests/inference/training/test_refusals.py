"""What training refuses, each with a message that says what is wrong and what to do, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from cases.models import DatasetEntry, Patient, Slide, Taxonomy
from cases.services.images import images_move
from inference.models import ModelVersion, PipelineVersion, TrainingEpoch, TrainingRun
from inference.pipeline.errors import EngineUnavailable
from inference.pipeline.training_config import ConfigInvalid, TrainingConfig, TrainingSettings
from inference.pipeline.training_data import Entry, PartMap, TrainingRefused, check_entries, part_map
from inference.selectors.training import training_entries
from inference.services import training
from inference.services.errors import ModelFilesMissing
from inference.services.promotion import evaluate_request
from inference.services.training import training_create, training_start
from inference.worker import training_register
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import AuditEvent
from leukoweb.core.storage import blobs
from tests.inference.training.conftest import config, freeze, write_version

TWO = PartMap("model_1", ("LEUKEMIA", "NO_LEUKEMIA"), {"AML": "LEUKEMIA", "NO_LEUKEMIA": "NO_LEUKEMIA"})


def entry(n: int, label: str, split: str, **changes: Any) -> Entry:
    return replace(Entry(f"{n:064x}", f"P{n}", label, split), **changes)


SOUND = [entry(1, "AML", "train"), entry(2, "NO_LEUKEMIA", "train"), entry(3, "AML", "internal"),
         entry(4, "NO_LEUKEMIA", "internal")]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "code", "words"),
    [
        ([], "E_DATASET_EMPTY", "holds no images"),
        ([*SOUND, entry(5, "AML", "train", external=True)], "E_EXTERNAL_PATIENT", r"\(P5\) is of an external"),
        ([*SOUND, entry(6, "AML", "internal", patient="P1")], "E_LEAK", r"1 patient \(P1\) is on both sides"),
        ([*SOUND, entry(7, "AML", "internal", content_sha256=f"{1:064x}")], "E_LEAK", "with identical pixels"),
        (SOUND[:3], "E_CLASS_WITHOUT_PATIENTS", "NO_LEUKEMIA has no patient in internal validation"),
        (SOUND[1:], "E_CLASS_WITHOUT_PATIENTS", "LEUKEMIA has no patient in training"),
        ([*SOUND, entry(8, "MDS", "train")], "E_CLASS_MAP", "The label 'MDS' has no class"),
    ],
)
def test_lists_that_no_honest_model_can_be_trained_on(entries: list[Entry], code: str, words: str) -> None:
    with pytest.raises(TrainingRefused, match=words) as refused:
        check_entries(entries, [TWO])
    assert refused.value.code == code
    check_entries(SOUND, [TWO])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "is missing"),
        ({"classes": [], "by_label": {}}, "is empty"),
        ({"classes": ["NO_LEUKEMIA", "LEUKEMIA"], "by_label": {"AML": "LEUKEMIA"}}, "in this order"),
        ({"classes": ["LEUKEMIA", "NO_LEUKEMIA"], "by_label": {"AML": "ACUTE"}}, "leads to 'ACUTE'"),
    ],
)
def test_class_maps_that_lead_nowhere(given: Any, words: str) -> None:
    with pytest.raises(TrainingRefused, match=words) as refused:
        part_map("model_1", {"two": given} if given is not None else {})
    assert refused.value.code == "E_CLASS_MAP"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"models": []}, "models"), ({"models": ["model_9"]}, "models"), ({"method": "magic"}, "method"),
        ({"method": "quick"}, "initial_weights"), ({"initial_weights": "file:../secret"}, "initial_weights"),
        ({"size_px": 8}, "size_px"), ({"settings": {"epochs": 0}}, "epochs"),
        ({"settings": {"learning_rate": 0}}, "learning_rate"), ({"settings": {"precision": "fp8"}}, "precision"),
        ({"settings": {"accumulate": 17}}, "accumulate"), ({"surprise": 1}, "surprise"),
    ],
)  # fmt: skip
def test_configurations_that_make_no_sense(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DomainError) as refused:
        TrainingConfig.from_dict(changes)
    assert refused.value.field == field


def test_a_configuration_survives_json_and_command_line_options() -> None:
    plan = TrainingConfig(models=("model_2",), settings=TrainingSettings(epochs=7))
    assert TrainingConfig.from_dict(plan.as_dict()) == plan
    changed = plan.with_options({"epochs": "5", "architecture": "resnet18", "temperature": "true", "models": "model_1"})
    assert (changed.settings.epochs, changed.architecture, changed.temperature) == (5, {"name": "resnet18"}, True)
    with pytest.raises(ConfigInvalid, match="epochs cannot be 'many'"):
        plan.with_options({"epochs": "many"})


@pytest.mark.django_db
def test_rules_that_read_nothing_of_the_run_are_refused_and_a_lacking_slot_is_told(
    frozen: Any, pipeline: PipelineVersion
) -> None:
    """The active pipeline has a model in every slot; without one nothing fills what the run does not train."""
    three = ["model_1", "model_2", "model_3"]

    def refused(words: str, **changes: Any) -> None:
        with pytest.raises(ConfigInvalid, match=words) as no:
            training_create(actor=None, dataset=frozen, config=config(**changes))
        assert no.value.field == "rules"

    refused(r"read single_model: none of that is trained here\.", models=three, rules="single-model-majority")
    assert not training_create(actor=None, dataset=frozen, config=config(models=["single_5"])).notes.exists()
    run = training_create(actor=None, dataset=frozen, config=config(models=three))
    for part in run.parts.all():
        run.parts.filter(pk=part.pk).update(model=pipeline.slots[part.part])
    for rules, kept in (("single-model-majority", True), ("paper-fig2", False)):
        run.pipeline, run.config = None, run.config | {"rules": rules}
        training_register._make_candidate(SimpleNamespace(write=nullcontext), run, print)  # type: ignore[arg-type]
        assert ("single_model" in run.pipeline.slots) == kept, "what the rules read stays"
    PipelineVersion.objects.filter(is_active=True).update(is_active=False)
    refused("trained here, and no active pipeline has model_1 and model_2 and model_3", models=["single_5"])
    told = training_create(actor=None, dataset=frozen, config=config()).notes.get().text
    assert "the rules paper-fig2 also read model_2 and model_3, and no active pipeline has that" in told


@pytest.mark.django_db
def test_a_report_that_cannot_be_made_does_not_fail_a_finished_training(
    frozen: Any, pipeline: PipelineVersion, other_pipeline: PipelineVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the active pipeline's models are lost: every attempt would have failed, with nothing left to do."""

    def evaluate(row: PipelineVersion, *rest: Any) -> None:
        if row == pipeline:
            raise ModelFilesMissing("A stored file of the model is missing.")

    monkeypatch.setattr(training_register, "evaluate_dataset", evaluate)
    run = training_create(actor=None, dataset=frozen, config=config())
    run.pipeline = other_pipeline
    said: list[str] = []
    context = SimpleNamespace(check=lambda: None, write=nullcontext)
    closing = training_register.candidate_ensure(context, run, [], said.append)  # type: ignore[arg-type]
    assert closing == f"Candidate {other_pipeline} is ready to be compared."
    assert f"{pipeline} was not evaluated: A stored file of the model is missing." in said


@pytest.mark.django_db
def test_external_patients_are_refused_when_asked_and_leave_nothing() -> None:
    dataset = freeze(purpose="external")
    with pytest.raises(TrainingRefused, match="external cohort") as refused:
        training_create(actor=None, dataset=dataset, config=config())
    assert refused.value.code == "E_EXTERNAL_PATIENT"
    assert not TrainingRun.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="training").exists()


@pytest.mark.django_db
def test_a_patient_on_both_sides_is_refused() -> None:
    good = freeze()
    rows = [(e.image, e.patient, e.label, "internal" if e.number % 2 else "train") for e in good.entries.all()]
    bad = write_version("both", good.taxonomy, rows)
    with pytest.raises(TrainingRefused, match="on both sides"):
        training_create(actor=None, dataset=bad, config=config())


@pytest.mark.django_db
def test_an_image_that_is_another_patients_now_is_refused(
    frozen: Any, admin_user: Any, pipeline: Any, run_jobs: Callable[[], int]
) -> None:
    """A training image of one patient was moved to a test patient: the frozen codes do not show it."""
    draft = training_create(actor=None, dataset=frozen, config=config())
    image = DatasetEntry.objects.filter(dataset=frozen, patient_code="tiny-AML-0").order_by("number")[0].image
    images_move(actor=admin_user, images=[image], slide=Slide.objects.get(code="tiny-AML-2-S"), reason="Wrong folder")
    for again in (
        lambda: training_create(actor=None, dataset=frozen, config=config()),
        lambda: training_start(actor=None, run=draft),
    ):
        with pytest.raises(TrainingRefused, match=r"1 image .*tiny-AML-0, belongs to another patient now") as refused:
            again()
        assert refused.value.code == "E_MOVED"
    job = evaluate_request(actor=None, pipeline=pipeline, dataset=frozen)
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "E_MOVED")


@pytest.mark.django_db
def test_an_empty_class_map_is_refused() -> None:
    good = freeze()
    empty = Taxonomy.objects.create(name="bare", version=1, labels=[], maps={}, sha256="1" * 64)
    rows = [(e.image, e.patient, e.label, e.split) for e in good.entries.all()]
    with pytest.raises(TrainingRefused, match=r"class map 'two'.*is missing"):
        training_create(actor=None, dataset=write_version("bare", empty, rows), config=config())


@pytest.mark.django_db
@pytest.mark.parametrize(("damage", "words"), [("changed", "no longer has the hash"), ("missing", "is missing")])
def test_a_file_that_no_longer_matches_its_hash_fails_the_job_by_name(
    frozen: Any, run_jobs: Callable[[], int], damage: str, words: str
) -> None:
    run = training_create(actor=None, dataset=frozen, config=config())
    job = training_start(actor=None, run=run)
    victim = DatasetEntry.objects.filter(dataset=frozen).order_by("number")[5]
    path = blobs().path(victim.content_sha256)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1] + b"!") if damage == "changed" else path.unlink()
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "E_IMAGE_CHANGED")
    assert words in job.error
    assert Patient.objects.get(pk=victim.patient_id).code in job.error
    assert not TrainingEpoch.objects.exists()
    assert not ModelVersion.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("split", ["train", "internal"])
@pytest.mark.parametrize("late", [False, True], ids=["while training", "while exporting"])
def test_a_patient_withdrawn_while_the_run_works_is_in_no_registered_model(
    frozen: Any, split: str, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of either side: the card would deny whom the weights have learned from. What is around is played."""
    def withdraw(*args: Any) -> Any:
        Patient.objects.filter(code=f"tiny-AML-{0 if split == 'train' else 2}").update(withdrawn_at=timezone.now())
        return folder

    folder = SimpleNamespace(path=None)
    run = training_create(actor=None, dataset=frozen, config=config())
    entries = training_entries(frozen)
    data = tuple(
        SimpleNamespace(
            patients=tuple(e.patient for e in entries if e.split == side), targets=[], classes=(), images=np.zeros(0)
        )
        for side in ("train", "internal")
    )
    registered: list[Any] = []
    monkeypatch.setattr(training_register, "model_report", lambda *args, **kwargs: {})
    monkeypatch.setattr(training_register, "_card", lambda *args: {})
    monkeypatch.setattr("inference.pipeline.export.save_model_folder", withdraw if late else lambda *args: folder)
    monkeypatch.setattr("inference.pipeline.export.calibrate_recheck", lambda *args: folder)
    monkeypatch.setattr(training_register, "model_import", lambda **given: registered.append(given))
    if not late:
        withdraw()
    context = SimpleNamespace(check=lambda: None, write=nullcontext)
    trained = SimpleNamespace(logits=np.zeros((1, 2), np.float32), network=None)
    with pytest.raises(TrainingRefused, match="was withdrawn while the run worked") as refused:
        training_register.register_part(context, run, run.parts.get(), trained, data, None, print)  # type: ignore[arg-type]
    assert refused.value.code == "E_WITHDRAWN"
    assert not registered


@pytest.mark.django_db
def test_rows_that_are_not_those_of_the_manifest_fail_the_job(frozen: Any, run_jobs: Callable[[], int]) -> None:
    run = training_create(actor=None, dataset=frozen, config=config())
    job = training_start(actor=None, run=run)
    path = blobs().path(frozen.manifest_sha256)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes().replace(b'"train"', b'"internal"', 1))
    run_jobs()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "E_MANIFEST")


@pytest.mark.django_db
def test_never_two_jobs_of_one_run(frozen: Any) -> None:
    run = training_create(actor=None, dataset=frozen, config=config())
    training_start(actor=None, run=run)
    with pytest.raises(Conflict, match="was started already"):
        training_start(actor=None, run=run)


@pytest.mark.django_db
def test_without_torch_it_says_what_to_install(frozen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match="needs PyTorch") as refused:
        training_create(actor=None, dataset=frozen, config=config())
    assert "pip install" in refused.value.hint


@pytest.mark.django_db
def test_in_production_the_workers_have_torch_not_the_web(
    frozen: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The web image has none: a training is queued there all the same, and the worker is the one to refuse."""
    settings.PRODUCTION = True
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    run = training_create(actor=None, dataset=frozen, config=config())
    assert training_start(actor=None, run=run).status == "queued"
