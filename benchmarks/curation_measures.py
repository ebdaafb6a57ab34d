"""How well sharpness ranks blurred copies, and which copies the search for duplicates finds, on a folder of fields.

    python benchmarks/curation_measures.py FOLDER

Prints what docs/datasets.md quotes. Images of any kind below FOLDER are read; nothing is written.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from cases.hashing import perceptual_hash
from cases.likeness import HASH_BITS, LIKENESS_MIN, confirmed, likeness, signature, similar_pairs
from cases.quality import measure

ENDINGS = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def scaled(image: Image.Image, share: float) -> Image.Image:
    return image.resize((int(image.width * share), int(image.height * share)), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    cut = (1 - share) / 2
    return image.crop(
        tuple(
            int(v) for v in (image.width * cut, image.height * cut, image.width * (1 - cut), image.height * (1 - cut))
        )
    )


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 60": lambda image: jpeg(image, 60),
    "JPEG 90": lambda image: jpeg(image, 90),
    "resized 95 %": lambda image: jpeg(scaled(image, 0.95), 85),
    "resized 50 %": lambda image: scaled(image, 0.5),
    "brightness 0.85": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "brightness 1.06": lambda image: ImageEnhance.Brightness(image).enhance(1.06),
    "brightness 1.2": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "contrast 1.2": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "cropped to 99 %": lambda image: cropped(image, 0.99),
    "cropped to 97 %": lambda image: cropped(image, 0.97),
}


def main(folder: Path) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    images = [Image.open(path).convert("RGB") for path in paths]
    hashes = [perceptual_hash(image) for image in images]
    signatures = dict(enumerate(map(signature, images)))
    print(f"{len(images)} images, {len(images) * (len(images) - 1) // 2} pairs")
    for pair in confirmed(similar_pairs(hashes), signatures):
        print(f"found: {paths[pair.first]} {paths[pair.second]} ({pair.bits} bits, {pair.likeness})")
    every = np.stack([np.frombuffer(raw, dtype=np.int8).astype(float) for raw in signatures.values()])
    every /= np.maximum(np.linalg.norm(every, axis=1, keepdims=True), 1e-9)
    alike = np.sort((every @ every.T)[np.triu_indices(len(images), 1)])[::-1]
    print("most alike pairs:", np.round(alike[:5], 3))
    chosen = np.random.default_rng(1).choice(len(images), min(150, len(images)), replace=False)
    for name, copy in COPIES.items():
        copies = [copy(images[at]) for at in chosen]
        bits = [(perceptual_hash(c) ^ hashes[at]).bit_count() for c, at in zip(copies, chosen, strict=True)]
        like = [likeness(signature(c), signatures[at]) for c, at in zip(copies, chosen, strict=True)]
        found = np.mean([b <= HASH_BITS and v >= LIKENESS_MIN for b, v in zip(bits, like, strict=True)])
        print(f"{name}: found {found:.3f}, at most {max(bits)} bits, likeness at least {min(like):.3f}")
    sharp = [measure(images[at]).sharpness for at in chosen[:60]]
    print(f"sharpness: median {np.median(sharp):.3f}")
    for radius in (1, 2, 3, 4):
        blurred = [measure(images[at].filter(ImageFilter.GaussianBlur(radius))).sharpness for at in chosen[:60]]
        lower = np.mean(np.array(blurred) < np.array(sharp))
        print(f"blurred by {radius} px: median {np.median(blurred):.3f}, lower than sharp in {lower:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
