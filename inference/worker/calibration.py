"""The job ``inference.calibrate``: measures the re-check band of a model that was registered without one."""

from __future__ import annotations

from inference.models import ModelCalibration, ModelVersion
from inference.pipeline.calibration import calibration_fields, measure_margin
from inference.pipeline.preprocess import Recipe
from inference.services.files import model_folder
from leukoweb.core.jobs.context import JobContext

PRECISION = "bf16"


def calibrate(context: JobContext) -> str:
    """Until this is done the model runs in fp32. The payload is {model: id}."""
    row = ModelVersion.objects.get(pk=context.payload["model"])
    if row.calibrations.filter(precision=PRECISION).exists():
        return "The band was measured already."
    images = calibration_fields(Recipe.from_dict(row.card["recipe"]))
    context.check()
    margin = measure_margin(model_folder(row), images)
    if margin is None:
        return "This CPU does not compute bfloat16, so the model runs in fp32."
    import openvino

    engine = f"openvino-{openvino.__version__.split('-')[0]}"
    with context.write():
        ModelCalibration.objects.get_or_create(
            model=row, precision=PRECISION, defaults={"margin": margin, "n_images": len(images), "engine": engine}
        )
    context.progress(1, 1)
    return f"Calls closer than {margin:.3g} logits are computed again in fp32."
