"""Grad-CAM by the library: the reference that the closed form is tested against, and the way for other networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inference.pipeline.errors import EngineUnavailable
from inference.pipeline.saliency import Map

if TYPE_CHECKING:
    from torch import nn


def grad_cam_reference(network: nn.Module, layer: nn.Module, inputs: Any, class_indices: list[int]) -> Map:
    """The library's Grad-CAM, for other layers and networks: (n, H, W) in 0..1 for normalised ``inputs``.

    ``inputs`` is a torch tensor (n, 3, H, W). Needs torch and grad-cam; some 20 times
    slower than the closed form.
    """
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise EngineUnavailable(
            "Grad-CAM of other layers needs torch and grad-cam.", hint="Install the extra [ai]."
        ) from error
    maps = []
    with GradCAM(model=network, target_layers=[layer]) as cam:
        for i, index in enumerate(class_indices):  # one by one: the library is slower on batches
            maps.append(cam(input_tensor=inputs[i : i + 1], targets=[ClassifierOutputTarget(index)])[0])
    return np.stack(maps).astype(np.float32)
