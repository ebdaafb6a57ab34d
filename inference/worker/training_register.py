"""From a trained network to a registered model, and from a run's models to a candidate pipeline beside the live one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from inference.models import ModelVersion, PipelineVersion, TrainingPart, TrainingRun
from inference.pipeline.card import ModelCard
from inference.pipeline.dataset import ImageSet
from inference.pipeline.runner import softmax
from inference.pipeline.training_config import PARTS, PINS
from inference.pipeline.training_data import INTERNAL, TRAIN, Entry, class_counts, part_map
from inference.pipeline.validation import model_report
from inference.selectors.comparisons import known_to
from inference.selectors.evaluation import entry_groups
from inference.selectors.registry import pipeline_active, version_free
from inference.selectors.training import evaluation_newest
from inference.services.registry import model_import, pipeline_create
from inference.services.training import model_name
from inference.services.version import app_version
from inference.worker.evaluation import Hooks, evaluate_dataset
from inference.worker.training_quick import save_epochs
from inference.worker.training_start import Start
from inference.worker.training_withdrawals import entries_still
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.context import JobContext

CONTROL = "CONTROL trained on shuffled labels: it must stay at chance and is never to be used. "
LICENCE = "Belongs to whoever trained it; research use only"
CALIBRATION_IMAGES = 256


def register_part(
    context: JobContext, run: TrainingRun, part: TrainingPart, trained: Any, data: tuple[ImageSet, ImageSet],
    start: Start, say: Any,
) -> ModelVersion:  # fmt: skip
    """Export, re-check margin, validation report, registry entry and the part's row (these in one transaction)."""
    from inference.pipeline.export import calibrate_recheck, save_model_folder
    from inference.pipeline.head import cool, fit_temperature

    validation = data[1]
    temperature = 1.0
    if run.plan.temperature:
        temperature = fit_temperature(trained.logits, validation.targets)
        cool(trained.network, temperature)
        say(f"{PARTS[part.part][2]}: temperature {temperature:.3f}, folded into the last layer.")
    entries = entries_still(run, data)
    report = model_report(
        softmax(trained.logits / np.float32(temperature)), validation.targets, validation.patients,
        validation.classes, images=[e.image for e in entries if e.split == INTERNAL], groups=entry_groups(run.dataset),
    )  # fmt: skip
    card = _card(run, part, trained, report, start, temperature, entries)
    Path(settings.CACHE_ROOT).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.CACHE_ROOT, prefix="export-") as name:
        folder = save_model_folder(Path(name) / part.part, trained.network, card)
        context.check()
        rows = np.arange(min(CALIBRATION_IMAGES, len(validation.targets)))
        folder = calibrate_recheck(folder, validation.images[rows])
        with context.write():
            entries_still(run, data)
            model = model_import(actor=run.created_by, folder=folder.path)
            part.model, part.report, part.state_name = model, report, ""
            fields = ["model", "report", "state_name"]
            if run.plan.method == "quick":
                save_epochs(part, trained.history)
                fields += ["epochs_done", "best_epoch", "best_macro_f1"]
            part.save(update_fields=fields)
    best = f"epoch {part.best_epoch}, macro F1 {trained.metrics['macro_f1']:.3f} on {report['n_patients']} patients"
    say(f"{PARTS[part.part][2]}: registered as {model} ({best}).")
    return model


def candidate_ensure(context: JobContext, run: TrainingRun, entries: list[Entry], say: Any) -> str:
    """The candidate pipeline of a finished run, and its report beside that of the live one."""
    if run.pipeline is None:
        _make_candidate(context, run, say)
    if run.pipeline is None:
        return "The models are registered; there is no candidate pipeline."
    hooks = Hooks(lambda done, total: context.check(), context.write)
    live = pipeline_active()
    for pipeline in dict.fromkeys([run.pipeline, *([live] if live else [])]):
        if evaluation_newest(pipeline, run.dataset) is None:
            try:
                evaluate_dataset(pipeline, run.dataset, hooks)
            except DomainError as error:  # the training is done all the same; its page offers the evaluation again
                say(f"{pipeline} was not evaluated: {error.message}")
            else:
                say(f"{pipeline} was evaluated on the internal-validation patients.")
    return f"Candidate {run.pipeline} is ready to be compared."


def _make_candidate(context: JobContext, run: TrainingRun, say: Any) -> None:
    """Trained slots over those of the live pipeline; comparators go to the single-model slot, five classes first."""
    live, plan = pipeline_active(), run.plan
    rules = run.rules
    models = dict(live.slots) if live is not None else {}  # those that the rules do not read stay for what comes later
    trained = {part.part: part.model for part in run.parts.select_related("model") if part.model is not None}
    for part in ("single_3", "single_5", "model_1", "model_2", "model_3"):
        if part in trained:
            models[PARTS[part][0]] = trained[part]
    if "model_3" in trained and not trained.keys() & {"single_3", "single_5"} and "single_model" not in rules.slots:
        models.pop("single_model", None)  # an older one would be taken for the new models' comparator
    lacking = [slot for slot in rules.slots if slot not in models]
    if lacking:
        say(f"No candidate pipeline: the rules {rules.name} also need {', '.join(lacking)}, and none is live.")
        return
    words = (CONTROL if plan.shuffled_labels else "") + f"Candidate of the training {run.name} on {run.dataset}."
    with context.write():
        run.pipeline = pipeline_create(
            actor=run.created_by, name=run.name, version=version_free(PipelineVersion, run.name), rule_set=rules,
            models=models, description=words,
        )  # fmt: skip
        run.save(update_fields=["pipeline"])
    say(f"Candidate pipeline {run.pipeline} made.")
    if known := known_to(run.pipeline, run.dataset).patients:
        say(
            f"Its models from the live pipeline have learned from {len(known)} internal-validation patients: its "
            "report is too good. Train them too, or freeze a version that keeps the sides of theirs."
        )


def _card(
    run: TrainingRun, part: TrainingPart, trained: Any, report: dict[str, Any], start: Start, temperature: float,
    entries: list[Entry],
) -> ModelCard:  # fmt: skip
    from inference.pipeline.export import UNKNOWN_SHA256

    plan, dataset = run.plan, run.dataset
    slot, map_name, _ = PARTS[part.part]
    mapping = part_map(part.part, dataset.taxonomy.maps)
    quick, name = plan.method == "quick", model_name(run.name, part.part)
    use = "Research use only; not for diagnosis. Fields of blood smears like those of its training data. "
    if quick:
        use = "QUICK retraining: the backbone was not trained on these images, only the last layer was. " + use
    if plan.shuffled_labels:
        use = CONTROL + use
    return ModelCard(
        name=name, version=version_free(ModelVersion, name), slot=slot, classes=mapping.classes,
        architecture=dict(plan.architecture), recipe=plan.recipe, weights_sha256=UNKNOWN_SHA256,
        onnx_sha256=UNKNOWN_SHA256, licence=LICENCE, intended_use=use.strip(),
        synthetic=dataset.synthetic, created=run.created_at.date().isoformat(),
        dataset={
            "name": str(dataset), "dataset_version": str(dataset.public_id),
            "manifest_sha256": dataset.manifest_sha256, "class_map": map_name, "taxonomy": str(dataset.taxonomy),
            "n_images": sum(e.split == TRAIN for e in entries),
            "n_patients": len({e.patient for e in entries if e.split == TRAIN}),
            "by_class": class_counts(entries, mapping, TRAIN),
        },
        metrics={"validation": _summary(report)},
        training=trained.settings
        | {
            "run": run.name, "method": "quick" if quick else "full", "initial_weights": start.words,
            "initial_weights_sha256": start.sha256, "start_datasets": list(start.datasets),
            "start_synthetic": start.synthetic,
            "best_epoch": part.best_epoch, "epochs_trained": part.epochs_done,
            "shuffled_labels": plan.shuffled_labels, "temperature": temperature,
            "environment": {k: v for k, v in run.environment.items() if k not in PINS}, "software": app_version(),
        },
    )  # fmt: skip


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    macro = {name: figure["estimate"] for name, figure in report["macro"].items()}
    return {
        "on": "images of internal-validation patients", "n_images": report["n_images"],
        "n_patients": report["n_patients"], "accuracy": report["accuracy"]["estimate"],
        "confusion": report["confusion"], "calibration_error": report["calibration"]["expected_error"],
        "macro": macro, "macro_f1_interval": [report["macro"]["f1"]["low"], report["macro"]["f1"]["high"]],
    }  # fmt: skip
