"""The pages of training, and that each works without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cases.models import Exclusion, Exposure, Patient
from cases.services.withdrawals import patient_withdraw
from inference.models import Evaluation, ModelVersion, PipelineVersion, Promotion, TrainingEpoch, TrainingRun
from inference.pipeline.rules import rule_set_named
from inference.selectors.comparisons import gate_chosen_on
from inference.selectors.training import comparators_of
from inference.services.registry import pipeline_create
from inference.services.training import training_create
from inference.worker.evaluation import Hooks, NobodyKnown, evaluate_dataset
from leukoweb.core.models import Job
from tests.inference.training.conftest import config
from tests.inference.training.test_ancestry import descendant, drawn_anew

pytestmark = pytest.mark.django_db


def form(dataset: Any, **changes: Any) -> dict[str, Any]:
    base = {
        "dataset": dataset.pk, "models": ["model_1"], "name": "by hand", "method": "full", "backbone": "narrow",
        "size_px": 32, "initial_weights": "", "epochs": 1, "batch_size": 8, "learning_rate": 0.01, "weight_decay": 0.01,
        "schedule": "cosine", "precision": "fp32", "class_weights": "balanced", "early_stopping": 0, "accumulate": 1,
        "colour_jitter": 0.1, "seed": 1, "rules": "paper-fig1",
    }  # fmt: skip
    return base | changes


def test_empty_pages_say_what_to_do(as_role: Callable[[str], Client]) -> None:
    admin = as_role("admin")
    assert "Nothing was trained yet" in admin.get(reverse("training_list")).content.decode()
    assert "No dataset version is frozen yet" in admin.get(reverse("training_create")).content.decode()
    assert "No pipeline is active" in admin.get(reverse("training_when")).content.decode()
    assert "No pipeline was ever active" in admin.get(reverse("promotion_list")).content.decode()


def test_a_draft_is_measured_then_started_cancelled_and_continued(
    as_role: Callable[[str], Client], frozen: Any, run_jobs: Callable[[], int]
) -> None:
    admin = as_role("admin")
    answer = admin.post(reverse("training_create"), form(frozen) | {"estimate": "1"})
    run = TrainingRun.objects.get(name="by hand")
    assert answer.url == reverse("training_detail", args=[run.public_id])
    assert run.state == "draft"
    run_jobs()
    page = admin.get(answer.url).content.decode()
    assert "From a measured step" in page
    assert "Start training" in page
    admin.post(reverse("training_begin", args=[run.public_id]), {"start": "1"})
    admin.post(reverse("training_cancel", args=[run.public_id]))
    assert run_jobs() == 0, "a cancelled job is not begun"
    assert "Continue after epoch 0" in admin.get(answer.url).content.decode()
    admin.post(reverse("training_continue", args=[run.public_id]))
    assert Job.objects.get(training_run=run).status == "queued"


def test_another_recipe_keeps_what_was_chosen(as_role: Callable[[str], Client], frozen: Any) -> None:
    admin = as_role("admin")
    typed = form(frozen, models=["model_2", "model_3"], name="Mine", epochs=7) | {"recipe": "quick"}
    page = admin.post(reverse("training_create") + "?preset=quick", typed)
    shown = page.context["form"]
    assert (page.status_code, shown.preset, TrainingRun.objects.count()) == (200, "quick", 0)
    assert (shown["models"].value(), shown["name"].value()) == (["model_2", "model_3"], "Mine")
    assert shown["dataset"].value() == str(frozen.pk)
    assert shown["epochs"].value() != 7, "the recipe's own"
    first = re.findall(r'<button[^>]* name="(\w+)"', page.content.decode().split('class="stack"')[1])[0]
    assert first == "start", "Enter in a field must not put a recipe over what was typed"


def test_refusals_stand_in_the_form(as_role: Callable[[str], Client], frozen: Any) -> None:
    admin = as_role("admin")
    answer = admin.post(reverse("training_create"), form(frozen, initial_weights="live") | {"start": "1"})
    assert answer.status_code == 400
    assert "The active pipeline has no model to start" in answer.content.decode()
    answer = admin.post(reverse("training_create"), form(frozen, accumulate=99) | {"start": "1"})
    assert "at most half of batch_size" in answer.content.decode()
    assert not TrainingRun.objects.exists()


def check_what_a_run_leaves(trained: TrainingRun, data_dir: Path) -> None:
    """Models with their cards, a candidate that is not active, every epoch once, no state files."""
    models = {part.part: part.model for part in trained.parts.select_related("model")}
    assert set(models) == {"model_1", "model_2", "model_3"}
    assert trained.pipeline is not None
    assert trained.pipeline.slots == models
    assert not trained.pipeline.is_active, "nothing is promoted by itself"
    card = models["model_3"].card
    assert card["dataset"]["manifest_sha256"] == trained.dataset.manifest_sha256
    assert card["training"]["epochs"] == 3
    assert card["recipe"]["size_px"] == 32
    assert models["model_3"].synthetic
    report = trained.parts.get(part="model_3").report
    assert report["n_images"] == 21
    assert report["n_patients"] == 7
    evaluation = Evaluation.objects.get(pipeline=trained.pipeline, dataset=trained.dataset)
    assert evaluation.report["n_patients"] == 7
    assert set(evaluation.report["levels"]["5"]["evaluators"]) == {"hierarchy", "model 3 alone"}

    for part in trained.parts.all():  # every epoch is there once
        assert list(part.epochs.values_list("number", flat=True)) == [1, 2, 3]
        assert part.epochs.get(number=part.best_epoch).macro_f1 == part.best_macro_f1
        assert part.macro_f1 == part.report["macro"]["f1"]["estimate"], "one figure on every page: the model's"
    assert TrainingEpoch.objects.count() == 9
    assert trained.notes.first().text.startswith("Started: 63 images")
    assert not list((data_dir / "training").rglob("*.safetensors")), "states are dropped once the model is registered"


def check_the_worst_go_back_to_curation(admin: Client, trained: TrainingRun) -> None:
    address = reverse("training_report", args=[trained.public_id, "model_3"])
    worst = admin.get(address).context["worst"]
    assert worst, "three epochs on noise leave something wrong"
    ticked = {"images": [str(worst[0]["row"].public_id)], "back": address}
    answer = admin.post(reverse("curation_exclude"), ticked | {"action": "exclude", "reason": "blur"})
    assert answer["Location"] == address
    refused = admin.post(reverse("curation_exclude"), ticked | {"action": "exclude", "reason": "other"}, follow=True)
    assert f'value="{ticked["images"][0]}" checked' in refused.content.decode()
    assert Exclusion.objects.filter(image=worst[0]["row"], excluded=True).exists()
    again = admin.post(reverse("curation_sort_again"), ticked)
    assert again["Location"].startswith(reverse("sorting_task_create"))


def test_from_the_report_to_promotion_and_back(
    as_role: Callable[[str], Client], trained: TrainingRun, pipeline: PipelineVersion, run_jobs: Callable[[], int],
    make_slide: Callable[..., Any], data_dir: Path,
) -> None:  # fmt: skip
    """Every step by a form, as without JavaScript."""
    admin = as_role("admin")
    assert ModelVersion.objects.filter(name__startswith="first").count() == 3
    check_what_a_run_leaves(trained, data_dir)
    for name in ("training_list", "training_when", "promotion_list"):
        assert admin.get(reverse(name)).status_code == 200
    page = admin.get(reverse("training_detail", args=[trained.public_id])).content.decode()
    assert "Compare and promote" in page
    assert "3 epochs; best: epoch" in page
    for theme in ("light", "dark"):
        for name, part in (("training_curves", "model_3"), ("training_report_figure", "model_3")):
            answer = admin.get(reverse(name, args=[trained.public_id, part, theme]))
            assert answer["Content-Type"] == "image/svg+xml"
            assert answer.content.lstrip().startswith(b"<?xml")
        assert admin.get(reverse("training_sweep_figure", args=[trained.public_id, "count", theme])).status_code == 200
    report = admin.get(reverse("training_report", args=[trained.public_id, "model_3"])).content.decode()
    assert "By capture device" in report
    assert "7 internal-validation patients" in report
    check_the_worst_go_back_to_curation(admin, trained)

    compare = reverse("training_compare", args=[trained.public_id])
    for odd in ("²", "9" * 5000, "x"):
        assert admin.get(compare, {"against": odd}).status_code == 200
    assert "has no report on these patients yet" in admin.get(compare).content.decode()
    admin.post(reverse("training_evaluate", args=[trained.public_id, pipeline.pk]))
    run_jobs()
    page = admin.get(compare).content.decode()
    assert "7 patients compared" in page
    assert "whom no model of the candidate has learned from" in page
    gate = {"measure": "count", "at_least": "2"}
    for _ in range(2):
        assert admin.post(reverse("training_rules", args=[trained.public_id]), gate).status_code == 302
    trained.refresh_from_db()
    candidate = PipelineVersion.objects.get(pk=trained.pipeline_id)
    assert (candidate.version, candidate.rule_set["gate"]["at_least"]) == ("2", 2)
    assert candidate.rule_set["name"] == "paper-fig2-swept"
    page = admin.get(compare).content.decode()
    assert "The candidate's gate was chosen on 7 of these patients" in page
    assert "whom no model of the candidate has learned from" not in page
    versions = (trained.dataset, drawn_anew(trained.dataset))
    assert [gate_chosen_on(candidate, version) for version in versions] == [7, 0], "others are judged on fairly"
    assert gate_chosen_on(pipeline, trained.dataset) == 0

    slide = make_slide(3)
    admin.post(reverse("cohort_run_create", args=[slide.patient.cohort_id]), {"mode": "full"})
    run_jobs()
    assert admin.post(reverse("pipeline_promote", args=[candidate.pk]), {"instead_of": pipeline.pk}).status_code == 400
    answer = admin.post(
        reverse("pipeline_promote", args=[candidate.pk]), {"instead_of": pipeline.pk, "reason": "better"}, follow=True
    )
    assert f"Run {slide.patient.cohort} again" in answer.content.decode()
    late = admin.post(reverse("pipeline_promote", args=[pipeline.pk]), {"instead_of": pipeline.pk, "reason": "better"})
    assert late.status_code == 409, "whoever saw another pipeline as active is told"
    admin.post(reverse("cohort_run_create", args=[slide.patient.cohort_id]), {"mode": "full"})
    run_jobs()
    assert slide.predictions.count() == 2, "the old result stays"
    newest = Promotion.objects.order_by("-id").first()
    assert 'name="reason"' in admin.get(reverse("promotion_list")).content.decode()
    for data, status in (({}, 400), ({"reason": "  "}, 400), ({"reason": "worse on camera B"}, 302)):
        assert admin.post(reverse("promotion_roll_back", args=[newest.pk]), data).status_code == status
        assert PipelineVersion.objects.get(pk=pipeline.pk).is_active == (status == 302)
    assert Promotion.objects.order_by("-id").first().reason == "Rolled back. worse on camera B"
    pipeline.refresh_from_db()
    assert pipeline.is_active


def test_who_sees_diagnoses_beside_references_has_seen_them(
    as_role: Callable[[str], Client], frozen: Any, pipeline: PipelineVersion, other_pipeline: PipelineVersion,
    admin_user: Any,
) -> None:  # fmt: skip
    """The two pipelines differ in two patients, of whom one was withdrawn since, and agree in a third."""
    admin = as_role("admin")
    codes = ("tiny-AML-2", "tiny-CML-2", "tiny-ALL-2")
    run = training_create(actor=None, dataset=frozen, config=config())
    TrainingRun.objects.filter(pk=run.pk).update(pipeline=other_pipeline)
    for row, calls in ((pipeline, ["AML", "CML", "ALL"]), (other_pipeline, ["CLL", "CLL", "ALL"])):
        patients = [
            {"patient": code, "reference": code[5:8], "hierarchy": ["ACUTE" if call != "CLL" else "CHRONIC", call]}
            for code, call in zip(codes, calls, strict=True)
        ]
        Evaluation.objects.create(pipeline=row, dataset=frozen, report={"patients": patients}, engine_profile="t")
    patient_withdraw(actor=admin_user, patient=Patient.objects.get(code="tiny-CML-2"), reason="asked for it")
    page = admin.get(reverse("training_compare", args=[run.public_id])).content.decode()
    assert "3 patients compared" in page
    assert "1 patient with another diagnosis" in page
    assert [code in page for code in codes] == [True, False, False]
    seen = set(Exposure.objects.filter(user__role="admin").values_list("patient__code", "kind"))
    assert seen == {("tiny-AML-2", "reference"), ("tiny-AML-2", "result")}


def test_an_evaluation_that_was_asked_for_has_a_state(
    as_role: Callable[[str], Client], frozen: Any, pipeline: PipelineVersion, other_pipeline: PipelineVersion
) -> None:
    admin = as_role("admin")
    run = training_create(actor=None, dataset=frozen, config=config(models=["model_1", "single_5"]))
    run.parts.filter(part="single_5").update(model=pipeline.slots["model_3"])
    TrainingRun.objects.filter(pk=run.pk).update(pipeline=other_pipeline)

    def asked(row: PipelineVersion) -> tuple[Job, str]:
        answer = admin.post(reverse("training_evaluate", args=[run.public_id, row.pk]), follow=True)
        return Job.objects.get(key=f"evaluate:{row.pk}:{frozen.pk}"), answer.content.decode()

    button = "Evaluate {} on these patients"
    assert button.format(pipeline) in admin.get(reverse("training_compare", args=[run.public_id])).content.decode()
    theirs, page = asked(pipeline)
    assert "is queued; this page shows how far it is" in page
    assert f'id="job-{theirs.pk}"' in page
    assert button.format(pipeline) not in page
    Evaluation.objects.create(pipeline=pipeline, dataset=frozen, report={"patients": []}, engine_profile="t")
    Job.objects.filter(pk=theirs.pk).update(status="done")
    ours, page = asked(other_pipeline)
    assert f"{pipeline} has its report on these patients; the candidate has none yet" in page
    Job.objects.filter(pk=ours.pk).update(status="failed", error="The disk is full.", finished_at=timezone.now())
    page = admin.get(reverse("training_compare", args=[run.public_id])).content.decode()
    assert "The disk is full." in page
    assert button.format(other_pipeline) in page
    PipelineVersion.objects.filter(pk=pipeline.pk).update(is_active=False)  # nothing to compare with
    Evaluation.objects.create(pipeline=other_pipeline, dataset=frozen, report={"patients": []}, engine_profile="t")
    page = admin.get(reverse("training_compare", args=[run.public_id])).content.decode()
    assert f"Evaluate {other_pipeline} again" in page
    assert f'id="job-{ours.pk}"' not in page, "a report came after the failure"


def test_a_candidate_is_evaluated_beside_its_single_models_whoever_asks(
    frozen: Any, pipeline: PipelineVersion, other_pipeline: PipelineVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest report counts, so none may lack them; also after the run's gate was chosen, in another version."""
    run = training_create(actor=None, dataset=frozen, config=config(models=["model_1", "single_5"]), name="with s5")
    single = descendant(pipeline.slots["model_3"], "s5")
    run.parts.filter(part="single_5").update(model=single)
    TrainingRun.objects.filter(pk=run.pk).update(pipeline=other_pipeline)
    rules = rule_set_named("paper-fig2")
    earlier = pipeline_create(actor=None, name="with s5", version="1", rule_set=rules, models=pipeline.slots)
    asked: list[set[str]] = []

    def predict(images: Any, models: Any, hooks: Any) -> Any:
        asked.append(set(models) - {"model_1", "model_2", "model_3"})
        raise NobodyKnown("That is all that is asked here.")

    monkeypatch.setattr("inference.worker.evaluation.predict_images", predict)
    for row in (other_pipeline, earlier, pipeline):
        with pytest.raises(NobodyKnown):
            evaluate_dataset(row, frozen, Hooks(lambda done, total: None, nullcontext))
    assert ["single_5" in names for names in asked] == [True, True, False]
    assert comparators_of(earlier) == {"single_5": single}


def test_lists_take_a_constant_number_of_queries(as_role: Callable[[str], Client], frozen: Any) -> None:
    admin = as_role("admin")

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            admin.get(reverse("training_list"))
            admin.get(reverse("training_when"))
        return len(seen)

    training_create(actor=None, dataset=frozen, config=config(), name="run 0")
    queries()
    few = queries()
    for i in range(1, 6):
        training_create(actor=None, dataset=frozen, config=config(models=["model_1", "model_2"]), name=f"run {i}")
    assert queries() == few
