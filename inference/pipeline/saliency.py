"""Grad-CAM (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74): the served closed form and the library's.

For ReLU -> global average -> linear, the gradient of a logit by feature k is W[c, k] / (h w) wherever the
feature is above 0, so its mean is W[c, k] * mean(f_k > 0) / (h w) and no backward pass is needed.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.pipeline.errors import WeightsKeys
from inference.pipeline.preprocess import Recipe, crop_to_content

if TYPE_CHECKING:
    pass

MAX_OVERLAY_PX: Final = 1024
_EPSILON: Final = 1e-7  # the library's, so that both scale alike

Map = NDArray[np.float32]  # (h, w) or (n, h, w), 0..1


def grad_cam(
    features: NDArray[np.float32],
    classifier_weight: NDArray[np.float32],
    class_index: int,
    size_px: int | None = None,
) -> Map:
    """Closed-form Grad-CAM of one class, (n, h, w) or, with ``size_px``, (n, size_px, size_px), in 0..1.

    Parameters
    ----------
    features
        Post-ReLU (n, C, h, w), the second output of the engines.
    classifier_weight
        (n_classes, C).

    A map is all 0 where nothing speaks for the class; otherwise its largest value is 1, whatever the
    probability: it says where, not how sure.
    """
    if features.ndim != 4 or classifier_weight.ndim != 2 or features.shape[1] != classifier_weight.shape[1]:
        raise WeightsKeys(f"Features {features.shape} and classifier {classifier_weight.shape} do not belong together.")
    n_places = features.shape[2] * features.shape[3]
    active = (features > 0).mean(axis=(2, 3), dtype=np.float32)  # (n, C)
    alpha = classifier_weight[class_index] * active / n_places  # (n, C)
    maps = np.einsum("nc,nchw->nhw", alpha, features, optimize=True)
    scaled = np.stack([_scaled(one) for one in maps]) if len(maps) else maps.astype(np.float32)
    if size_px is None:
        return scaled
    return np.stack([_scaled(_resized(one, size_px)) for one in scaled])


def render_png(
    saliency: Map, recipe: Recipe, original_size: tuple[int, int], *, max_side_px: int | None = MAX_OVERLAY_PX
) -> bytes:
    """An RGBA PNG that lies exactly over the original image, whatever its padding was.

    ``saliency`` is one square map in 0..1 and ``original_size`` (width, height) in px. Colours are cividis;
    alpha is the value itself, so that the viewer's opacity slider only scales it. The longer side is at most
    ``max_side_px`` (None: as large as the original); the proportions are the original's.
    """
    longer = max(original_size)
    factor = 1.0 if max_side_px is None else min(1.0, max_side_px / longer)
    size = (max(1, round(original_size[0] * factor)), max(1, round(original_size[1] * factor)))
    values = np.clip(crop_to_content(saliency, recipe, original_size, size), 0, 1)
    index = np.round(values * 255).astype(np.uint8)  # (h, w)
    rgba = np.dstack([_cividis()[index], index])
    stream = io.BytesIO()
    Image.fromarray(rgba).save(stream, "PNG", optimize=False, compress_level=6)
    return stream.getvalue()


def _scaled(values: NDArray[np.float32]) -> Map:
    """ReLU, then 0..1, in the library's order and with its epsilon."""
    positive = np.maximum(values, 0)
    shifted = positive - positive.min()
    return (shifted / (_EPSILON + shifted.max())).astype(np.float32)


def _resized(values: Map, size_px: int) -> Map:
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BILINEAR))


@functools.cache
def _cividis() -> NDArray[np.uint8]:
    """(256, 3) table of the colour map that people with colour-vision deficiency read alike."""
    from matplotlib import colormaps  # not pyplot: no backend, no font cache

    table = colormaps["cividis"](np.arange(256), bytes=True)[:, :3]
    return np.ascontiguousarray(table, dtype=np.uint8)
