"""Pipelines on patients whose diagnosis is known: every image's probabilities are kept, the report is stored.

Used at the end of a training, by the job ``training.evaluate`` and by ``manage.py evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cases.models import DatasetVersion, HpfImage
from inference.models import Evaluation, ImagePrediction, ModelVersion, PipelineVersion
from inference.pipeline.evaluation import Case, Comparator, pipeline_report
from inference.pipeline.rules import RuleSet
from inference.pipeline.runner import softmax
from inference.selectors.evaluation import KnownPatient, internal_patients
from inference.selectors.training import comparators_of
from inference.services.training import check_moved
from inference.worker.engines import OpenModel, open_model
from inference.worker.images import batches
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.words import counted

BATCH = 16
COMPARATORS = {
    "single_model": "single model", "single_3": "single model, 3 classes", "single_5": "single model, 5 classes",
}  # fmt: skip

Tables = dict[str, NDArray[np.float64]]


class NobodyKnown(DomainError):
    """No patient has both images and a diagnosis, so there is nothing to evaluate on."""

    code = "E_NO_REFERENCE"
    status = 409


@dataclass(frozen=True)
class Hooks:
    """How the caller is kept informed: ``step(done, total)`` may raise to stop; ``write()`` guards each write."""

    step: Callable[[int, int], None]
    write: Callable[[], AbstractContextManager[None]]


def evaluate_job(context: JobContext) -> str:
    """The job ``training.evaluate``; the payload is {pipeline, dataset}."""
    pipeline = PipelineVersion.objects.get(pk=context.payload["pipeline"])
    dataset = DatasetVersion.objects.get(pk=context.payload["dataset"])
    hooks = Hooks(lambda done, total: context.progress(done, total, f"{pipeline} on {dataset}"), context.write)
    evaluation = evaluate_dataset(pipeline, dataset, hooks)
    return f"{counted(evaluation.report['n_patients'], 'patient')} evaluated."


def evaluate_dataset(
    pipeline: PipelineVersion, dataset: DatasetVersion, hooks: Hooks
) -> Evaluation:
    """Run what is missing on the internal-validation patients and store the report.

    TrainingRefused where images of the version are another patient's now.
    """
    check_moved(dataset)
    report, profile = evaluate_patients(pipeline, internal_patients(dataset), hooks)
    with hooks.write():
        return Evaluation.objects.create(
            pipeline=pipeline, dataset=dataset, report=report, engine_profile=profile[:240]
        )


def evaluate_patients(
    pipeline: PipelineVersion,
    patients: Sequence[KnownPatient],
    hooks: Hooks,
) -> tuple[dict[str, object], str]:
    """The report of ``inference.pipeline.evaluation`` and the numeric profiles that computed it.

    Whoever asks: a candidate has the single models of its run beside it, since the newest report counts.
    """
    if not patients:
        raise NobodyKnown(
            "No patient with images has a known diagnosis here, so there is nothing to evaluate on.",
            hint="Enter reference diagnoses, or choose another dataset.",
        )
    models = dict(pipeline.slots)
    models |= {name: row for name, row in comparators_of(pipeline).items() if row not in models.values()}
    images = [image for patient in patients for image in patient.images]
    tables, profile = predict_images(images, models, hooks)
    cases, start = [], 0
    for patient in patients:
        rows = tuple(range(start, start + len(patient.images)))
        cases.append(Case(patient.code, patient.reference, rows, patient.device))
        start += len(rows)
    rules = RuleSet.from_dict(pipeline.rule_set)
    comparators = []
    for name, title in COMPARATORS.items():
        if name in models:
            tables[title] = tables[name]
            comparators.append(Comparator(title, tuple(models[name].classes)))
    if not comparators and "model_3" in models:
        tables["model 3 alone"] = tables["model_3"]
        comparators = [Comparator("model 3 alone", tuple(models["model_3"].classes))]
    return pipeline_report(cases, tables, rules, comparators), profile


def predict_images(
    images: Sequence[HpfImage], models: Mapping[str, ModelVersion], hooks: Hooks
) -> tuple[Tables, str]:
    """Stored probabilities where they are, computed and stored where not.  # name -> (n_images, n_classes)"""
    tables: Tables = {}
    profiles: set[str] = set()
    by_model: dict[int, NDArray[np.float64]] = {}
    total = len(images) * len({model.pk for model in models.values()})
    done = 0
    for name, row in models.items():
        if row.pk not in by_model:
            model = open_model(row)
            profiles.add(model.engine.profile)
            by_model[row.pk] = _one_model(images, model, hooks, done, total)
            done += len(images)
        tables[name] = by_model[row.pk]
    return tables, ", ".join(sorted(profiles))


def _one_model(
    images: Sequence[HpfImage], model: OpenModel, hooks: Hooks, before: int, total: int
) -> NDArray[np.float64]:
    saved = _saved(images, model)
    unique = {image.content_sha256: image for image in images if image.content_sha256 not in saved}
    done = before + len(images) - len(unique)
    hooks.step(done, total)
    for batch in batches(list(unique.values()), [model.recipe], BATCH):
        stack = np.stack([inputs[model.recipe.sha256] for _, inputs in batch])
        probabilities = softmax(model.engine.infer(stack).logits)
        rows = [
            ImagePrediction(content_sha256=image.content_sha256, probabilities=p.tolist(), **model.key)
            for (image, _), p in zip(batch, probabilities, strict=True)
        ]
        with hooks.write():
            ImagePrediction.objects.bulk_create(rows, ignore_conflicts=True)
        done += len(batch)
        hooks.step(done, total)
    saved = _saved(images, model)
    return np.array([saved[image.content_sha256] for image in images], dtype=np.float64)


def _saved(images: Sequence[HpfImage], model: OpenModel) -> dict[str, list[float]]:
    contents = [image.content_sha256 for image in images]
    found: dict[str, list[float]] = {}
    for start in range(0, len(contents), 500):  # SQLite takes a limited number of parameters
        rows = ImagePrediction.objects.filter(content_sha256__in=contents[start : start + 500], **model.key)
        found |= dict(rows.values_list("content_sha256", "probabilities"))
    return found
