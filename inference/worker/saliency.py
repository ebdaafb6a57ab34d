"""The job ``inference.saliency``: heat maps that were not kept, or were lost, are computed again."""

from __future__ import annotations

import numpy as np

from cases.models import HpfImage
from inference.models import ModelVersion
from inference.pipeline.saliency import grad_cam
from inference.services.errors import SaliencyUnavailable
from inference.services.saliency import maps_save
from inference.worker.engines import open_model
from inference.worker.images import prepare
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.storage import blobs


def render_map(context: JobContext) -> str:
    """All classes of one model on one image; the payload is {image: content hash, model: id}."""
    image = HpfImage.objects.filter(content_sha256=context.payload["image"], slide__patient__withdrawn_at=None).first()
    if image is None:
        raise SaliencyUnavailable("The image is gone: its patient was withdrawn, or it was removed.")
    model = open_model(ModelVersion.objects.get(pk=context.payload["model"]))
    inputs = prepare(image, [model.recipe], blobs())
    output = model.engine.infer(inputs[model.recipe.sha256][None], with_features=True)
    if model.classifier is None or output.features is None:
        raise SaliencyUnavailable(
            f"{model.row} is not a DenseNet, so its heat maps have no closed form.",
            hint="Grad-CAM of other networks is available in Python: inference.pipeline.saliency.grad_cam_reference.",
        )
    maps = np.stack([grad_cam(output.features, model.classifier, k)[0] for k in range(len(model.classifier))])
    maps_save(image.content_sha256, model.row, maps)
    context.progress(1, 1)
    return "Heat maps ready."
