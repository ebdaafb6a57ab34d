"""From optical density to the picture a camera gives: lamp, optics, tone curve, noise."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .shapes import Canvas
from .styles import Style
from .texture import FloatArray, grain


def _lamp(style: Style, canvas: Canvas, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Log illumination by columns (3, 1, width) and rows (3, height, 1): off-centre Gaussian fall-off and a tilt."""
    u = np.linspace(-1, 1, canvas.width_px, dtype=np.float32)
    v = np.linspace(-1, 1, canvas.height_px, dtype=np.float32)
    centre_u, centre_v = rng.normal(0, 0.12, 2)
    tilt_u, tilt_v = rng.normal(0, style.tilt / 2, 2)
    fall = np.asarray(style.vignette, dtype=np.float32)[:, None] / 2
    glass = -np.log(np.asarray(style.background, dtype=np.float32) / 255)[:, None]
    exposure = rng.normal(0, 0.02)
    columns = fall * (u - centre_u) ** 2 - tilt_u * u + glass + exposure
    rows = fall * (v - centre_v) ** 2 - tilt_v * v
    return np.asarray(columns[:, None, :], dtype=np.float32), np.asarray(rows[:, :, None], dtype=np.float32)


def _slip(plane: FloatArray, columns: int) -> FloatArray:
    """The plane moved sideways by whole pixels; the border's column is repeated."""
    moved = np.roll(plane, columns, axis=1)
    if columns > 0:
        moved[:, :columns] = plane[:, :1]
    elif columns < 0:
        moved[:, columns:] = plane[:, -1:]
    return moved


def _fringe(canvas: Canvas, shift_um: float) -> None:
    """Lateral colour: red slips one way and blue the other, by a fraction of a pixel."""
    whole, part = divmod(shift_um / canvas.um_per_px, 1.0)
    for channel, side in ((0, 1), (2, -1)):
        plane = canvas.density[channel]
        near, far = _slip(plane, side * int(whole)), _slip(plane, side * (int(whole) + 1))
        far -= near
        far *= np.float32(part)
        np.add(near, far, out=plane)


def _add_noise(image: Image.Image, style: Style, um_per_px: float, rng: np.random.Generator) -> Image.Image:
    """Add sensor noise; a field of fewer pixels averages more sensor elements, so it has less of it."""
    source = grain()
    size = source.shape[1]
    strength = min(1.0, (0.0875 / um_per_px) ** 0.5)
    luminance, colour = (np.float32(sigma * strength) for sigma in style.noise)
    row, column = (int(value) for value in rng.integers(0, size, 2))
    repeats = (-(-image.height // size) + 1, -(-image.width // size) + 1)
    bands = []
    for channel, band in enumerate(image.split()):
        tile = np.rint(source[0] * luminance + source[1 + channel] * colour).astype(np.int16)
        noise = np.tile(tile, repeats)[row : row + image.height, column : column + image.width]
        bands.append(Image.fromarray(np.clip(np.asarray(band) + noise, 0, 255).astype(np.uint8)))
    return Image.merge("RGB", bands)


def photograph(canvas: Canvas, style: Style, *, defocus_um: float, rng: np.random.Generator) -> Image.Image:
    """Render the canvas, using it up (its densities are changed in place). Returns an RGB image."""
    columns, rows = _lamp(style, canvas, rng)
    _fringe(canvas, style.fringe_um)
    levels = canvas.density
    levels += columns
    levels += rows
    levels *= np.float32(-1 / style.gamma)
    np.exp(levels, out=levels)
    levels *= np.float32(255)
    levels += np.float32(0.5)
    np.clip(levels, 0, 255, out=levels)
    image = Image.merge("RGB", [Image.fromarray(band.astype(np.uint8)) for band in levels])
    blur_px = float(np.hypot(style.blur_um, defocus_um)) / canvas.um_per_px
    if blur_px > 0.45:
        image = image.filter(ImageFilter.GaussianBlur(blur_px))
    return _add_noise(image, style, canvas.um_per_px, rng)
