"""Training augmentation of Appendix 1 on whole batches: flips, scale 60-100 %, blur, colour, sharpness.

Scaling shrinks the field inside its square (zero padding, as the recipe pads) instead of cropping it: a crop could
cut away the only blast of a field and make its label wrong (ADR 0104). What to do is drawn first, for the whole batch
and on the CPU, then applied wherever the images are: the same seed varies the same on every device, and a batch that
is split for memory or over devices is varied as if it were whole.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch.nn import functional

from inference.pipeline.training_config import COLOUR_JITTER

SCALE_RANGE = (0.6, 1.0)
SHARPNESS_RANGE = (0.0, 1.0)
BLUR_SHARE = 0.3  # share of images that are blurred, and of those that are sharpened


@dataclass(frozen=True, slots=True)
class Variants:
    """What happens to each of n images; every tensor has n rows."""

    matrix: torch.Tensor  # (n, 2, 3) of affine_grid
    choice: torch.Tensor  # (n, 1, 1, 1) below BLUR_SHARE: blurred, below twice that: sharpened
    sharpness: torch.Tensor  # (n, 1, 1, 1)
    saturation: torch.Tensor  # (n, 1, 1, 1)
    contrast: torch.Tensor  # (n, 1, 1, 1)
    gain: torch.Tensor  # (n, 3, 1, 1)

    def part(self, rows: slice, device: torch.device | str = "cpu") -> Variants:
        """The rows of a part of the batch, on its device."""
        return Variants(*(getattr(self, item.name)[rows].to(device, non_blocking=True) for item in fields(self)))


def draw_variants(n: int, generator: torch.Generator, colour_jitter: float = COLOUR_JITTER) -> Variants:
    """Random variants of n images; the same generator state gives the same variants."""

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    scale = uniform(*SCALE_RANGE)
    signs = torch.where(uniform(0, 1, 2) < 0.5, -1.0, 1.0)  # horizontal and vertical flips
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = signs[:, 0] / scale, signs[:, 1] / scale
    jitter = colour_jitter
    return Variants(
        matrix,
        uniform(0, 1, 1, 1, 1),
        uniform(*SHARPNESS_RANGE, 1, 1, 1),
        uniform(1 - jitter, 1 + jitter, 1, 1, 1),
        uniform(1 - jitter, 1 + jitter, 1, 1, 1),
        uniform(1 - jitter, 1 + jitter, 3, 1, 1),
    )


def apply_variants(batch: torch.Tensor, variants: Variants) -> torch.Tensor:
    """``batch`` (n, 3, H, W) in 0..1, varied."""
    grid = functional.affine_grid(variants.matrix, list(batch.shape), align_corners=False)
    x = functional.grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    kernel = torch.tensor([0.25, 0.5, 0.25], device=batch.device)  # Gaussian, 3 x 3
    blurred = functional.conv2d(x, torch.outer(kernel, kernel).expand(3, 1, 3, 3).contiguous(), padding=1, groups=3)
    choice = variants.choice
    sharpened = x + variants.sharpness * (x - blurred)
    x = torch.where(choice < BLUR_SHARE, blurred, torch.where(choice < 2 * BLUR_SHARE, sharpened, x))

    inside = (x.sum(1, keepdim=True) > 0).float()  # the padding stays black
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * variants.saturation
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * variants.contrast
    return (x * variants.gain * inside).clamp(0, 1)


def augment(batch: torch.Tensor, generator: torch.Generator, colour_jitter: float = COLOUR_JITTER) -> torch.Tensor:
    """Random variants of ``batch`` (n, 3, H, W) in 0..1; the same generator state gives the same variants."""
    return apply_variants(batch, draw_variants(len(batch), generator, colour_jitter))
