"""Training augmentation of Appendix 1 on whole batches: flips, scale 60-100 %, blur, colour, sharpness.

Scaling shrinks the field inside its square (zero padding, as the recipe pads) instead of cropping it: a crop could
cut away the only blast of a field and make its label wrong (ADR 0104).
"""

from __future__ import annotations

import torch
from torch.nn import functional

SCALE_RANGE = (0.6, 1.0)
COLOUR_JITTER = 0.08  # "light": brightness, contrast, saturation and each channel's gain, at most this share
SHARPNESS_RANGE = (0.0, 1.0)
BLUR_SHARE = 0.3  # share of images that are blurred, and of those that are sharpened


def augment(batch: torch.Tensor, generator: torch.Generator, colour_jitter: float = COLOUR_JITTER) -> torch.Tensor:
    """Random variants of ``batch`` (n, 3, H, W) in 0..1; the same generator state gives the same variants."""
    n = len(batch)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    scale = uniform(*SCALE_RANGE)
    signs = torch.where(uniform(0, 1, 2) < 0.5, -1.0, 1.0)  # horizontal and vertical flips
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = signs[:, 0] / scale, signs[:, 1] / scale
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    x = functional.grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    kernel = torch.tensor([0.25, 0.5, 0.25])  # Gaussian, 3 x 3
    blurred = functional.conv2d(x, torch.outer(kernel, kernel).expand(3, 1, 3, 3).contiguous(), padding=1, groups=3)
    choice = uniform(0, 1, 1, 1, 1)
    sharpened = x + uniform(*SHARPNESS_RANGE, 1, 1, 1) * (x - blurred)
    x = torch.where(choice < BLUR_SHARE, blurred, torch.where(choice < 2 * BLUR_SHARE, sharpened, x))

    inside = (x.sum(1, keepdim=True) > 0).float()  # the padding stays black
    jitter = colour_jitter
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(1 - jitter, 1 + jitter, 1, 1, 1)
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * uniform(1 - jitter, 1 + jitter, 1, 1, 1)
    return (x * uniform(1 - jitter, 1 + jitter, 3, 1, 1) * inside).clamp(0, 1)
