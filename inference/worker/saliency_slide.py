"""The job ``inference.saliency_slide``: all maps of one result and the overlays of its sheet, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cases.models import HpfImage, Patient
from inference.models import PipelineRun
from inference.pipeline.saliency import grad_cam
from inference.selectors.results import Field, result_get
from inference.services.errors import PatientWithdrawn, SaliencyUnavailable
from inference.services.saliency import maps_exist, maps_save, overlay_png
from inference.worker.engines import OpenModel, open_model
from inference.worker.images import Prepared, batches
from inference.worker.saliency import maps_of
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.words import counted

BATCH = 8


def render_slide(context: JobContext) -> str:
    """The payload is {run: id}. What is there is not computed again, so a cancelled or killed job goes on later."""
    run = PipelineRun.objects.select_related("slide").get(pk=context.payload["run"])
    result = result_get(run.public_id)
    fields = [field for field in result.fields if field.image is not None]
    if not fields:
        raise SaliencyUnavailable("None of the fields of this result is left on its slide.")
    models = {slot: open_model(row) for slot, row in result.slots_run.items()}
    lacking = [f for f in fields if any(not maps_exist(f.content_sha256, m.row) for m in models.values())]
    todo = [field.image for field in lacking if field.image is not None]
    recipes = list({model.recipe.sha256: model.recipe for model in models.values()}.values())
    done = len(fields) - len(todo)
    context.progress(done, len(fields), f"{counted(len(todo), 'field')} without maps")
    for batch in batches(todo, recipes, BATCH):
        if not Patient.objects.filter(pk=run.slide.patient_id, withdrawn_at=None).exists():
            raise PatientWithdrawn("This patient was withdrawn while the maps were being made; none was kept.")
        for model in models.values():
            context.check()
            _compute(context, model, batch)
        done += len(batch)
        context.progress(done, len(fields), f"{done} of {counted(len(fields), 'field')} done")
    for field in fields:
        context.check()
        _draw(field, models)
    return f"{counted(len(todo), 'field')} computed, {len(fields) - len(todo)} had maps before."


def _compute(context: JobContext, model: OpenModel, batch: Sequence[tuple[HpfImage, Prepared]]) -> None:
    """Maps of all classes of one model: the closed form for the whole batch, or the library's field by field."""
    wanted = [(image, inputs) for image, inputs in batch if not maps_exist(image.content_sha256, model.row)]
    if not wanted:
        return
    stack = np.stack([inputs[model.recipe.sha256] for _, inputs in wanted])  # (n, size_px, size_px, 3)
    features = model.engine.infer(stack, with_features=True).features if model.classifier is not None else None
    if features is not None and model.classifier is not None:
        maps = np.stack([grad_cam(features, model.classifier, k) for k in range(len(model.classifier))], axis=1)
        for (image, _), map_ in zip(wanted, maps, strict=True):
            maps_save(image.content_sha256, model.row, map_)
        return
    for image, inputs in wanted:
        context.check()
        maps_save(image.content_sha256, model.row, maps_of(model, inputs[model.recipe.sha256]))


def _draw(field: Field, models: dict[str, OpenModel]) -> None:
    """The overlay of each model's own label, which is what the sheet shows."""
    for values in field.models:
        if field.image is not None and values.slot in models:
            overlay_png(field.image, models[values.slot].row, values.top.name)
