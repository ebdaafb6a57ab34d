"""One run: images of a slide -> probabilities of the needed models -> the patient's prediction with its trace.

What is told as done is saved, under the key of decision 8, so a killed worker's successor computes only what is
missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cases.models import HpfImage, Patient
from inference.models import ImagePrediction, ModelVersion, PatientPrediction, PipelineRun
from inference.pipeline.close_calls import TOGETHER, CloseCalls
from inference.pipeline.engine import EngineOutput
from inference.pipeline.hierarchy import Decision, decide, slots_needed
from inference.pipeline.rules import RuleSet
from inference.pipeline.runner import softmax
from inference.pipeline.saliency import grad_cam
from inference.selectors.images import images_sha256, slide_images
from inference.services.contents import contents_remember
from inference.services.errors import PatientWithdrawn
from inference.services.saliency import maps_save
from inference.services.version import app_version
from inference.worker.engines import OpenModel, open_model
from inference.worker.images import Prepared, batches, one_by_one
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.words import counted

BATCH = 8  # also the step of progress and of a cancel; a kill costs it and the close calls put aside

Tables = dict[str, NDArray[np.float64]]  # slot -> (n_images, n_classes)


def run_pipeline(context: JobContext) -> str:
    """The job ``inference.run``. Returns the closing words of the job."""
    run = PipelineRun.objects.select_related(
        "slide__patient", "pipeline__model_1", "pipeline__model_2", "pipeline__model_3", "pipeline__single_model"
    ).get(job_id=context.job_id)
    if PatientPrediction.objects.filter(run=run).exists():
        return "The result was there already."
    _refuse_withdrawn(run, "This patient was withdrawn before the run began; nothing was computed.")
    images = slide_images(run.slide_id)
    if not images:
        _store(context, run, images, {}, None)
        return "No decision: the slide has no images."
    rules = RuleSet.from_dict(run.pipeline.rule_set)
    opened = {slot: open_model(row) for slot, row in _slots(run, rules).items()}
    told = Told(context, len(images), 2 if run.mode == "cascade" else 1, _profiles(opened))
    used = _predict_cascade(context, told, images, opened, rules) if run.mode == "cascade" else opened
    if used is opened:
        _predict(context, told, images, opened)
    told.end()
    tables = {slot: _table(images, model) for slot, model in used.items()}
    single = run.pipeline.single_model
    decision = decide(
        rules,
        **{slot: tables.get(slot) for slot in ("model_1", "model_2", "model_3", "single_model")},
        classes=single.classes if single else None,
    )
    _store(context, run, images, used, decision)
    return f"{counted(len(images), 'image')} done."


def _refuse_withdrawn(run: PipelineRun, words: str) -> None:
    if not Patient.objects.filter(pk=run.slide.patient_id, withdrawn_at=None).exists():
        raise PatientWithdrawn(words)


def _slots(run: PipelineRun, rules: RuleSet) -> dict[str, ModelVersion]:
    """The slots that the rules read, and every other model once: a comparator may share the weights of a slot."""
    filled = run.pipeline.slots
    chosen = {slot: filled[slot] for slot in rules.slots}
    for slot, model in filled.items():
        if model not in chosen.values():
            chosen[slot] = model
    return chosen


@dataclass(frozen=True)
class Told:
    """What the job's row tells of a run: the same for every outcome, because lists of jobs are no results (ADR 0300).

    A cascade always has two passes over the images and ends with both done, also behind a gate that stayed shut; and no
    model is named, neither by its slot nor by a profile that it alone has.
    """

    context: JobContext
    n_images: int
    n_passes: int
    profiles: str

    def __call__(self, done: int) -> None:
        total = self.n_passes * self.n_images
        what = "images" if self.n_passes == 1 else "steps"
        self.context.progress(done, total, f"{done} of {total} {what} on {self.profiles}")

    def field(self, done: int, position: int) -> None:
        words = f"field {position}, alone because an earlier attempt ended here"
        self.context.progress(done, self.n_passes * self.n_images, words)

    def end(self) -> None:
        self(self.n_passes * self.n_images)


def _profiles(models: Mapping[str, OpenModel]) -> str:
    return ", ".join(sorted({model.engine.profile for model in models.values()}))


def _predict_cascade(
    context: JobContext, told: Told, images: Sequence[HpfImage], opened: Mapping[str, OpenModel], rules: RuleSet
) -> dict[str, OpenModel]:
    """The first model on every image, the others only if the rules then ask for them. Returns what was run."""
    first = {slot: opened[slot] for slot in slots_needed(rules)}
    _predict(context, told, images, first)
    model_1 = _table(images, first["model_1"]) if "model_1" in first else None
    rest = {slot: opened[slot] for slot in slots_needed(rules, model_1) if slot not in first}
    if rest:
        _predict(context, told, images, rest, len(images))
    return first | rest


def _predict(
    context: JobContext, told: Told, images: Sequence[HpfImage], models: Mapping[str, OpenModel], before: int = 0
) -> None:
    """Predict and save what is not saved yet. ``before`` units were done in an earlier pass."""
    lacking = {slot: _lacking(images, model) for slot, model in models.items()}
    todo = [image for image in images if any(image.content_sha256 in lacking[slot] for slot in models)]
    done = before + len(images) - len(todo)
    told(done)
    recipes = list({model.recipe.sha256: model.recipe for model in models.values()}.values())
    # An earlier attempt ended here, perhaps by the death of its worker: what it had in hand, a batch, the one decoded
    # ahead and the close calls put aside, is taken field by field and each is named first, so that a field that kills
    # workers is known.
    n_suspects = 2 * BATCH + TOGETHER * len(models) if context.claim.fence > 1 else 0
    passes = {
        slot: CloseCalls[HpfImage](model.engine, with_features=model.classifier is not None)
        for slot, model in models.items()
    }

    def work() -> Iterator[list[tuple[HpfImage, Prepared]]]:
        for suspect in todo[:n_suspects]:
            told.field(done, suspect.position)
            yield from one_by_one([suspect], recipes)
        yield from batches(todo[n_suspects:], recipes, BATCH)

    for number, batch in enumerate(work()):
        rows: list[ImagePrediction] = []
        for slot, model in models.items():
            context.check()
            mine = [(image, inputs) for image, inputs in batch if image.content_sha256 in lacking[slot]]
            if mine:
                stack = np.stack([inputs[model.recipe.sha256] for _, inputs in mine])  # (n, size, size, 3)
                rows += _rows(model, passes[slot].add([image for image, _ in mine], stack))
            if number < n_suspects:
                rows += _rows(model, passes[slot].settle())
        _save(context, rows)
        done += len(batch)
        told(done - len({image.pk for calls in passes.values() for image in calls.waiting}))
    _save(context, [row for slot, model in models.items() for row in _rows(model, passes[slot].settle())])
    told(done)


def _save(context: JobContext, rows: Sequence[ImagePrediction]) -> None:
    if rows:
        with context.write():
            ImagePrediction.objects.bulk_create(rows, ignore_conflicts=True)


def _rows(model: OpenModel, finished: Sequence[tuple[list[HpfImage], EngineOutput]]) -> list[ImagePrediction]:
    return [row for images, output in finished for row in _rows_of(model, images, output)]


def _rows_of(model: OpenModel, images: Sequence[HpfImage], output: EngineOutput) -> list[ImagePrediction]:
    if model.classifier is not None and output.features is not None:
        # The features are here now and the closed form costs next to nothing, so saliency maps are there at once later.
        maps = np.stack([grad_cam(output.features, model.classifier, k) for k in range(len(model.classifier))], axis=1)
        for image, map_ in zip(images, maps, strict=True):
            with contextlib.suppress(OSError):  # a full disk takes the map, not the prediction
                maps_save(image.content_sha256, model.row, map_)
    return [
        ImagePrediction(content_sha256=image.content_sha256, probabilities=p.tolist(), **model.key)
        for image, p in zip(images, softmax(output.logits), strict=True)
    ]


def _saved(images: Sequence[HpfImage], model: OpenModel) -> dict[str, list[float]]:
    contents = HpfImage.objects.filter(slide_id=images[0].slide_id).values("content_sha256")
    rows = ImagePrediction.objects.filter(content_sha256__in=contents, **model.key)
    return dict(rows.values_list("content_sha256", "probabilities"))


def _lacking(images: Sequence[HpfImage], model: OpenModel) -> set[str]:
    return {image.content_sha256 for image in images} - set(_saved(images, model))


def _table(images: Sequence[HpfImage], model: OpenModel) -> NDArray[np.float64]:
    """(n_images, n_classes) in capture order, as stored: what is shown is what decided."""
    saved = _saved(images, model)
    return np.array([saved[image.content_sha256] for image in images], dtype=np.float64)


def _store(
    context: JobContext,
    run: PipelineRun,
    images: Sequence[HpfImage],
    models: Mapping[str, OpenModel],
    decision: Decision | None,
) -> None:
    profile = _profiles(models)
    profiles = {slot: model.engine.profile for slot, model in models.items()}
    with context.write():
        _refuse_withdrawn(run, "This patient was withdrawn while the run worked; no result was stored.")
        PatientPrediction.objects.create(
            run=run,
            patient=run.slide.patient,
            slide=run.slide,
            decided=decision is not None,
            reason="" if decision else "The slide has no usable images, so nothing can be decided.",
            diagnosis=decision.diagnosis if decision else "",
            diagnosis_3=(decision.diagnosis_3 or "") if decision else "",
            diagnosis_5=(decision.diagnosis_5 or "") if decision else "",
            trace=decision.trace if decision else [],
            flags=list(decision.flags) if decision else [],
            images=[
                {"image": str(image.public_id), "position": image.position, "content_sha256": image.content_sha256,
                 "profiles": profiles}
                for image in images
            ],
            images_sha256=images_sha256(image.content_sha256 for image in images) if images else "",
            rule_set_sha256=RuleSet.from_dict(run.pipeline.rule_set).sha256,
            engine_profile=profile[:240],
            app_version=app_version(),
        )  # fmt: skip
        PipelineRun.objects.filter(pk=run.pk).update(engine_profile=profile[:240])
    # Not in the same transaction: it locks the slide, and whoever moves images between slides locks the patient first.
    contents_remember(run.slide_id)
