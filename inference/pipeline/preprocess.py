"""The one preset that serves training's evaluation and inference: pad to a square, resize, normalise.

Paper, Methods ("Image preprocessing") and Appendix 1: zero-pad the shorter side to a square, then bilinear
to 448 x 448. The paper leaves open where the padding goes and whether bilinear is antialiased; the recipe
says both and travels with the weights: turning antialiasing off moves logits more than any precision does.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from inference.pipeline.errors import RecipeInvalid

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

# What this version can follow. A card that asks for anything else is refused, never approximated.
_FIXED: Final[dict[str, Any]] = {
    "pad": "centre",
    "pad_colour": (0, 0, 0),
    "pad_when": "before",
    "interpolation": "bilinear",
    "antialias": True,
    "library": "Pillow",
}

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image becomes the network's input.

    ``size_px`` is the side of the square input; ``mean`` and ``std`` are per RGB channel on the 0..1 scale.
    ``library_version`` is a note of what made the training data; it is not part of ``sha256``.
    """

    size_px: int = 448
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    pad: str = "centre"
    pad_colour: tuple[int, int, int] = (0, 0, 0)
    pad_when: str = "before"
    interpolation: str = "bilinear"
    antialias: bool = True
    library: str = "Pillow"
    library_version: str = field(default=PIL.__version__, compare=False)

    def __post_init__(self) -> None:
        size = self.size_px
        if isinstance(size, bool) or not isinstance(size, int) or not 32 <= size <= 4096:
            raise RecipeInvalid(f"size_px is {size!r}; it must be a whole number from 32 to 4096.", field="size_px")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in values):
                raise RecipeInvalid(f"{name} is {values!r}; it must be three finite numbers.", field=name)
        if min(self.std) <= 0:
            raise RecipeInvalid(f"std is {self.std}; every value must be above 0.", field="std")
        for name, expected in _FIXED.items():
            if getattr(self, name) != expected:
                raise RecipeInvalid(
                    f"{name} is {getattr(self, name)!r}; this version follows only {expected!r}.",
                    hint="Train or export the model with this recipe.",
                    field=name,
                )

    @property
    def sha256(self) -> str:
        """Identity of the recipe, part of a prediction's key."""
        data = self.as_dict()
        del data["library_version"]
        return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        data = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Inverse of ``as_dict``; every key must be there, so that nothing falls back to a default unseen."""
        names = set(cls.__dataclass_fields__)
        if not isinstance(data, Mapping) or set(data) != names:
            found = sorted(data) if isinstance(data, Mapping) else type(data).__name__
            raise RecipeInvalid(f"A recipe has exactly the keys {sorted(names)}, found {found}.", field="recipe")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        try:
            values["mean"], values["std"] = (tuple(map(float, values[name])) for name in ("mean", "std"))
        except (TypeError, ValueError) as error:
            raise RecipeInvalid(f"mean or std is not three numbers: {error}.", field="mean") from error
        return cls(**values)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """The network's input as (size_px, size_px, 3) uint8 RGB; normalisation belongs to the engine."""
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        (width_px, height_px), (left, top) = rgb.size, self._offset(*rgb.size)
        if height_px < width_px:
            # Pillow resizes across before it resizes down, so rows of padding are added in between: the same bytes
            # as from a padded original in two thirds of the time.
            rgb = rgb.resize((self.size_px, height_px), Image.Resampling.BILINEAR)
            rgb = self._padded(rgb, (self.size_px, width_px), (0, top))
        elif width_px < height_px:
            rgb = self._padded(rgb, (height_px, height_px), (left, 0))
        resized = rgb.resize((self.size_px, self.size_px), Image.Resampling.BILINEAR)
        return np.asarray(resized, dtype=np.uint8)  # (size_px, size_px, 3)

    def content_box(self, original_size: tuple[int, int], grid_px: float | None = None) -> Box:
        """Where the original image (width, height in px) lies in the square, scaled to a side of ``grid_px``.

        ``grid_px`` is the input's side by default; give a saliency map's own side to crop its padding off.
        """
        side = max(original_size)
        scale = (self.size_px if grid_px is None else grid_px) / side
        left, top = self._offset(*original_size)
        return left * scale, top * scale, (left + original_size[0]) * scale, (top + original_size[1]) * scale

    def _padded(self, image: Image.Image, size: tuple[int, int], offset: tuple[int, int]) -> Image.Image:
        padded = Image.new("RGB", size, self.pad_colour)
        padded.paste(image, offset)
        return padded

    @staticmethod
    def _offset(width_px: int, height_px: int) -> tuple[int, int]:
        side = max(width_px, height_px)
        return (side - width_px) // 2, (side - height_px) // 2


def decode(content: bytes) -> Image.Image:
    """A fully loaded RGB image from stored bytes; ``RecipeInvalid`` if they cannot be decoded.

    Uploads were accepted by ``cases.imaging`` before; this only turns stored bytes back into pixels.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return image.convert("RGB") if image.mode != "RGB" else image.copy()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RecipeInvalid(
            f"The image cannot be decoded: {error}.", code="E_UNREADABLE", hint="Capture or copy it again."
        ) from error


def crop_to_content(
    values: NDArray[np.float32], recipe: Recipe, original_size: tuple[int, int], output_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Map a square map (g, g) back onto the image: float32 (output height, output width), bilinear.

    ``original_size`` and ``output_size`` are (width, height) in px. Pixel centres are kept, so a point of the
    image and its value in the map coincide.
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise RecipeInvalid(f"A saliency map is square, found shape {values.shape}.", field="map")
    box = recipe.content_box(original_size, grid_px=values.shape[0])
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize(output_size, Image.Resampling.BILINEAR, box=box))
