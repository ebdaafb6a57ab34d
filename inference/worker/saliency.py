"""The job ``inference.saliency``: saliency maps that were not kept, or were lost, are computed again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cases.models import HpfImage
from inference.models import ModelVersion
from inference.pipeline.networks import build_network, require_torch
from inference.pipeline.saliency import grad_cam
from inference.pipeline.saliency_reference import grad_cam_reference
from inference.services.errors import SaliencyUnavailable
from inference.services.files import model_folder
from inference.services.saliency import maps_save
from inference.worker.engines import OpenModel, open_model
from inference.worker.images import prepare
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.storage import blobs

REFERENCE_GRID_PX = 56  # what is kept of the library's map, which comes enlarged to the input's size


def render_map(context: JobContext) -> str:
    """All classes of one model on one image; the payload is {image: content hash, model: id}."""
    image = HpfImage.objects.filter(content_sha256=context.payload["image"], slide__patient__withdrawn_at=None).first()
    if image is None:
        raise SaliencyUnavailable("The image is gone: its patient was withdrawn, or it was removed.")
    model = open_model(ModelVersion.objects.get(pk=context.payload["model"]))
    inputs = prepare(image, [model.recipe], blobs())[model.recipe.sha256]  # (size_px, size_px, 3)
    maps_save(image.content_sha256, model.row, maps_of(model, inputs))
    context.progress(1, 1)
    return "Saliency maps ready."


def maps_of(model: OpenModel, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n_classes, h, w) in 0..1: the closed form where the network has one, else the library's Grad-CAM."""
    if model.classifier is not None:
        features = model.engine.infer(inputs[None], with_features=True).features
        if features is not None:
            return np.stack([grad_cam(features, model.classifier, k)[0] for k in range(len(model.classifier))])
    return _reference_maps(model, inputs)


def _reference_maps(model: OpenModel, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grad-CAM of the last convolution, by the library; seconds instead of milliseconds, and needs torch."""
    require_torch(f"Grad-CAM of {model.row.card['architecture']['name']}")
    import torch

    n_classes = len(model.row.classes)
    network = build_network(model.row.card["architecture"], n_classes).eval()
    weights = model_folder(model.row).weights()
    network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    layer = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d)][-1]
    scaled = (inputs / 255.0 - np.array(model.recipe.mean)) / np.array(model.recipe.std)
    x = torch.from_numpy(scaled.transpose(2, 0, 1)[None].astype(np.float32)).expand(n_classes, -1, -1, -1)
    maps = grad_cam_reference(network, layer, x, list(range(n_classes)))
    grid = (REFERENCE_GRID_PX, REFERENCE_GRID_PX)
    return np.stack([np.asarray(Image.fromarray(one).resize(grid, Image.Resampling.BOX)) for one in maps])
