"""Decoded network inputs on disk: one file of raw pixels per image content and recipe, read in rows.

File names begin with the hash of the image's content, by which a withdrawal removes them. A file that is missing or cut
short is made again; nothing else is ever believed about the cache.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.preprocess import Recipe

READERS = 4


class ArrayCache:
    """Arrays of one shape under content hashes; written beside and renamed, so no half file is ever read.

    What a kill leaves beside has a name that begins with the hash, too: a withdrawal finds it.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], kind: type[np.generic]) -> None:
        self.folder, self.shape, self.kind = folder, shape, np.dtype(kind)
        self.n_bytes = int(np.prod(shape)) * self.kind.itemsize

    def path(self, content_sha256: str) -> Path:
        return self.folder / content_sha256[:2] / f"{content_sha256}.raw"

    def has(self, content_sha256: str) -> bool:
        path = self.path(content_sha256)
        return path.is_file() and path.stat().st_size == self.n_bytes

    def put(self, content_sha256: str, values: NDArray[np.generic]) -> None:
        if values.shape != self.shape or values.dtype != self.kind:
            raise ValueError(f"{values.dtype} {values.shape} does not belong among {self.kind} {self.shape}")
        path = self.path(content_sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.tmp-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(np.ascontiguousarray(values).data)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def get(self, content_sha256: str) -> NDArray[np.generic]:
        return np.fromfile(self.path(content_sha256), dtype=self.kind).reshape(self.shape)


def pixel_cache(folder: Path, recipe: Recipe) -> ArrayCache:
    """Prepared images of one recipe."""
    size = recipe.size_px
    return ArrayCache(folder / recipe.sha256[:16], (size, size, 3), np.uint8)


class CachedImages:
    """Rows of a cache as ``dataset.Images``: read in threads when asked for; the system keeps what fits in memory."""

    def __init__(self, cache: ArrayCache, contents: Sequence[str]) -> None:
        self.cache, self.contents = cache, tuple(contents)
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="pixels")

    def __len__(self) -> int:
        return len(self.contents)

    def __getitem__(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        names = [self.contents[int(row)] for row in rows]
        return np.stack(list(self._pool.map(self.cache.get, names)))  # type: ignore[arg-type]

    def in_memory(self, limit_bytes: int) -> NDArray[np.uint8] | CachedImages:
        """All rows as one array where they take no more than the limit, else this object."""
        if len(self) * self.cache.n_bytes > limit_bytes:
            return self
        return self[np.arange(len(self))]


def fill(
    cache: ArrayCache, contents: Sequence[str], make: Callable[[str], NDArray[np.generic]], threads: int = READERS
) -> Iterator[int]:
    """Make what is missing, in threads; yields how many of ``contents`` are there."""
    missing = [content for content in dict.fromkeys(contents) if not cache.has(content)]
    done = len(contents) - len(missing)
    yield done
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        for start in range(0, len(missing), 4 * threads):
            chunk = missing[start : start + 4 * threads]
            for content, values in zip(chunk, pool.map(make, chunk), strict=True):
                cache.put(content, values)
            done += len(chunk)
            yield done
