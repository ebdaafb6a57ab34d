"""`python -m cases.phantoms.contact_sheet OUT.png [--real FOLDER]`: phantoms of every label, above real fields."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from .fields import draw_field
from .patients import LABELS
from .styles import STYLES

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}


def phantom_tiles(styles: Sequence[str], *, seed: int, width_px: int) -> list[tuple[str, Image.Image]]:
    """One field of every label in every style, as (caption, image)."""
    return [
        (
            f"PHANTOM {label} {style} #{seed + row}",
            draw_field(label, seed=seed + row, style=style, width_px=width_px).image,
        )
        for row, label in enumerate(LABELS)
        for style in styles
    ]


def real_tiles(folder: Path, count: int) -> list[tuple[str, Image.Image]]:
    """Evenly picked images under a folder, as (caption, image).

    Raises:
        FileNotFoundError: no image below the folder.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"No image found below {folder}.")
    step = max(1, len(paths) // count)
    return [(f"real {path.name}", Image.open(path).convert("RGB")) for path in paths[::step][:count]]


def sheet(tiles: Sequence[tuple[str, Image.Image]], *, columns: int, tile_px: int) -> Image.Image:
    """Lay tiles out in rows, each scaled into a square with its caption below."""
    caption_px = 14
    rows = -(-len(tiles) // columns)
    height = round(tile_px * 3 / 4) if all(image.width * 3 <= image.height * 4 + 8 for _, image in tiles) else tile_px
    page = Image.new("RGB", (columns * tile_px, rows * (height + caption_px)), "white")
    pen = ImageDraw.Draw(page)
    for index, (caption, image) in enumerate(tiles):
        left, top = index % columns * tile_px, index // columns * (height + caption_px)
        small = image.copy()
        small.thumbnail((tile_px - 4, height - 2), Image.Resampling.LANCZOS)
        page.paste(small, (left, top))
        pen.text((left + 2, top + height), caption, fill="black")
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw a contact sheet of phantom smear fields.")
    parser.add_argument("out", type=Path, help="the PNG to write")
    parser.add_argument("--real", type=Path, help="a folder with real fields to put underneath")
    parser.add_argument("--styles", nargs="+", choices=tuple(STYLES), default=("dp73", "dp25", "dp74", "dp74_dim"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tile", type=int, default=480, help="width of a tile in pixels")
    options = parser.parse_args(arguments)
    columns = len(options.styles)
    tiles = phantom_tiles(options.styles, seed=options.seed, width_px=max(640, options.tile))
    if options.real is not None:
        tiles += real_tiles(options.real, 4 * columns)
    sheet(tiles, columns=columns, tile_px=options.tile).save(options.out)


if __name__ == "__main__":
    main()
