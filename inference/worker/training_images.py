"""The frozen images of a dataset version as trainers read them: every file is checked, then decoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from cases.models import DatasetVersion
from cases.selectors.datasets import dataset_problems
from inference.pipeline.dataset import ImageSet
from inference.pipeline.image_cache import ArrayCache, CachedImages, fill, pixel_cache
from inference.pipeline.preprocess import Recipe, decode
from inference.pipeline.training_data import INTERNAL, TRAIN, Entry, PartMap, TrainingRefused
from leukoweb.core.exceptions import DomainError
from leukoweb.core.storage import blobs

IN_MEMORY_BYTES = 4 * 2**30  # of decoded images; more is read from the disk cache while training


def cache_folder(kind: str) -> Path:
    return Path(settings.CACHE_ROOT) / "training" / kind


def verify_manifest(dataset: DatasetVersion) -> None:
    """The rows of the version are those of its manifest; TrainingRefused says what differs."""
    if problems := dataset_problems(dataset):
        raise TrainingRefused(
            f"{dataset} is not what was frozen: {problems[0]}. Nothing was trained.", code="E_MANIFEST",
            hint="Restore the database and its files from one backup, or freeze a new version.", field="dataset",
        )  # fmt: skip


def verify_files(entries: Sequence[Entry], on_step: Callable[[], None]) -> None:
    """Every stored file still has the hash under which the dataset was frozen; TrainingRefused names the first."""
    store = blobs()
    for entry in entries:
        on_step()
        if not store.exists(entry.content_sha256):
            raise _changed(entry, "is missing")
        if not store.intact(entry.content_sha256):
            raise _changed(entry, "no longer has the hash under which it was frozen")


def decode_all(entries: Sequence[Entry], recipe: Recipe, on_step: Callable[[], None]) -> ArrayCache:
    """The pixel cache of a recipe, filled with these images."""
    cache, store = pixel_cache(cache_folder("pixels"), recipe), blobs()

    def make(content: str) -> NDArray[np.generic]:
        return recipe.prepare(decode(store.read(content)))

    for _ in fill(cache, [entry.content_sha256 for entry in entries], make):
        on_step()
    return cache


def image_sets(
    entries: Sequence[Entry], part: PartMap, cache: ArrayCache, *, shuffle_seed: int | None = None, load: bool = True
) -> tuple[ImageSet, ImageSet]:
    """Training and internal-validation set of one part; ``load``: in memory, where they fit."""
    sets = [_one(part, cache, [e for e in entries if e.split == split], load) for split in (TRAIN, INTERNAL)]
    training = sets[0] if shuffle_seed is None else sets[0].shuffled(shuffle_seed)
    return training, sets[1]


def _one(part: PartMap, cache: ArrayCache, chosen: Sequence[Entry], load: bool) -> ImageSet:
    cached = CachedImages(cache, [e.content_sha256 for e in chosen])
    images = cached.in_memory(IN_MEMORY_BYTES) if load else cached
    return ImageSet(images, part.targets(chosen), tuple(e.patient for e in chosen), part.classes)


def _changed(entry: Entry, what: str) -> DomainError:
    return TrainingRefused(
        f"The file of an image of patient {entry.patient} {what} (SHA-256 {entry.content_sha256[:12]}...). "
        "Nothing was trained.",
        code="E_IMAGE_CHANGED",
        hint="Restore the file from a backup (`manage.py verify_media` lists all such files), or freeze a new version.",
        field="dataset",
    )
