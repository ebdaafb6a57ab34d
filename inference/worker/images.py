"""Stored images as network inputs, decoded in threads one batch ahead of the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from cases.models import HpfImage
from inference.pipeline.preprocess import Recipe, decode
from inference.services.errors import ImageLost
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.storage import BlobStore, blobs

DECODERS = 2

Prepared = dict[str, NDArray[np.uint8]]  # recipe hash -> (size_px, size_px, 3)


def prepare(image: HpfImage, recipes: Sequence[Recipe], store: BlobStore) -> Prepared:
    """One field for each recipe; ImageLost, naming the field, if its file is missing or damaged."""
    try:
        content = store.read(image.content_sha256)
    except NotFound as error:
        raise _lost(image, "is missing") from error
    if hashlib.sha256(content).hexdigest() != image.content_sha256:
        raise _lost(image, "is damaged (its bytes have changed)")
    try:
        pixels = decode(content)
    except DomainError as error:
        raise _lost(image, f"cannot be decoded ({error.message})") from error
    return {recipe.sha256: recipe.prepare(pixels) for recipe in recipes}


def one_by_one(images: Sequence[HpfImage], recipes: Sequence[Recipe]) -> Iterator[list[tuple[HpfImage, Prepared]]]:
    """Batches of one, nothing decoded ahead: whatever kills the process then is the image that was asked for."""
    store = blobs()
    for image in images:
        yield [(image, prepare(image, recipes, store))]


def batches(
    images: Sequence[HpfImage], recipes: Sequence[Recipe], size: int
) -> Iterator[list[tuple[HpfImage, Prepared]]]:
    """Batches in the order of ``images``; the next is being decoded while the caller computes this one."""
    store = blobs()
    chunks = [images[start : start + size] for start in range(0, len(images), size)]
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as pool:

        def submit(chunk: Sequence[HpfImage]) -> list[Future[Prepared]]:
            return [pool.submit(prepare, image, recipes, store) for image in chunk]

        ahead = submit(chunks[0]) if chunks else []
        for i, chunk in enumerate(chunks):
            current, ahead = ahead, submit(chunks[i + 1]) if i + 1 < len(chunks) else []
            yield [(image, future.result()) for image, future in zip(chunk, current, strict=True)]


def _lost(image: HpfImage, what: str) -> ImageLost:
    return ImageLost(
        f"The stored file of field {image.position} {what}. Nothing was decided without it.",
        hint="Upload the field again or remove it, then retry; `manage.py verify_media` lists all such fields.",
    )
