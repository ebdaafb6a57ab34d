"""The closed form against the library, and the overlay that people see."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.pipeline.checkpoint import ModelFolder
from inference.pipeline.engine import open_engine
from inference.pipeline.errors import WeightsKeys
from inference.pipeline.preprocess import Recipe
from inference.pipeline.saliency import grad_cam, render_png
from inference.pipeline.saliency_reference import grad_cam_reference
from tests.inference.pipeline.models import TINY


@pytest.mark.parametrize(("engine", "tolerance"), [("torch", 1e-5), ("openvino", 1e-4)])
def test_the_closed_form_equals_the_library(
    model_folder: ModelFolder, batch: NDArray[np.uint8], engine: str, tolerance: float
) -> None:
    import torch

    from inference.pipeline.networks import build_network

    card = model_folder.card
    network = build_network(card.architecture, len(card.classes)).eval()
    network.load_state_dict({k: torch.from_numpy(v) for k, v in model_folder.weights().items()})
    x = (batch / 255 - np.array(card.recipe.mean)) / np.array(card.recipe.std)
    inputs = torch.from_numpy(x.transpose(0, 3, 1, 2)).float()
    features = open_engine(model_folder, engine, precision="fp32").infer(batch, with_features=True).features
    assert features is not None
    for index in range(len(card.classes)):
        expected = grad_cam_reference(network, network.features[-1], inputs, [index] * len(batch))
        found = grad_cam(features, model_folder.classifier_weight(), index, TINY.size_px)
        assert expected.max() > 0.9
        assert np.abs(found - expected).max() <= tolerance


def test_other_layers_go_through_the_library(model_folder: ModelFolder, batch: NDArray[np.uint8]) -> None:
    import torch

    from inference.pipeline.networks import build_network

    network = build_network(model_folder.card.architecture, 5).eval()
    inputs = torch.from_numpy(batch[:1].transpose(0, 3, 1, 2)).float() / 255
    maps = grad_cam_reference(network, network.features.denseblock2, inputs, [1])
    assert maps.shape == (1, 64, 64)


def test_nothing_that_speaks_for_the_class_gives_an_empty_map() -> None:
    features = np.ones((1, 2, 3, 3), dtype=np.float32)
    weight = np.array([[-1, -1], [1, 1]], dtype=np.float32)
    assert not grad_cam(features, weight, 0, 12).any()
    assert grad_cam(features[:0], weight, 1).shape == (0, 3, 3)


def test_features_of_another_model_are_refused() -> None:
    with pytest.raises(WeightsKeys):
        grad_cam(np.zeros((1, 4, 2, 2), dtype=np.float32), np.zeros((2, 3), dtype=np.float32), 0)


@pytest.mark.parametrize("size", [(160, 120), (120, 160)])
def test_the_overlay_lies_over_the_image_with_alpha_by_value(size: tuple[int, int]) -> None:
    recipe = Recipe(size_px=64)
    saliency = np.zeros((64, 64), dtype=np.float32)
    left, top, right, bottom = (int(v) for v in recipe.content_box(size))
    saliency[top : (top + bottom) // 2, left : (left + right) // 2] = 1  # the image's top left quarter
    overlay = Image.open(io.BytesIO(render_png(saliency, recipe, size)))
    assert (overlay.mode, overlay.size) == ("RGBA", size)
    alpha = np.asarray(overlay)[..., 3]
    height, width = alpha.shape
    # The outermost pixels lie between content and padding, so they are left out.
    assert alpha[4 : height // 2 - 4, 4 : width // 2 - 4].min() == 255
    assert alpha[height // 2 + 4 :].max() == 0
    assert alpha[:, width // 2 + 4 :].max() == 0


def test_the_overlay_is_cividis_and_bounded() -> None:
    from matplotlib import colormaps

    overlay = Image.open(io.BytesIO(render_png(np.full((14, 14), 0.5, np.float32), Recipe(), (3000, 1500))))
    assert overlay.size == (1024, 512)
    pixel = np.asarray(overlay)[100, 100]
    assert tuple(pixel[:3]) == tuple(colormaps["cividis"](128, bytes=True)[:3])
    assert pixel[3] == 128
    full = Image.open(io.BytesIO(render_png(np.zeros((4, 4), np.float32), Recipe(), (50, 30), max_side_px=None)))
    assert full.size == (50, 30)
