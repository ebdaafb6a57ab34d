"""The pixels behind image rows: stored once per content, purged when the last patient who has them is withdrawn."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from cases.imaging import thumbnail
from cases.models import HpfImage, ImageQuality, TextHint
from leukoweb.core.exceptions import DomainError, StorageDown
from leukoweb.core.files import write_whole
from leukoweb.core.storage import blobs
from leukoweb.core.words import counted

logger = logging.getLogger(__name__)
THUMBNAIL_PX = 320
PREVIEW_PX = 1000
_MEASURES = (ImageQuality, TextHint)  # what was worked out from pixels: it goes with them and keeps none
_NAMED_BY_CONTENT = re.compile(r"[0-9a-f]{64}\.")
_HALF_MADE = re.compile(r"\.tmp-|\.new-|export-|import-")  # what a kill leaves: files, and folders of models


def content_lock(sha256: str) -> None:
    """Keep adding and purging the same content apart until the transaction ends.

    On SQLite the transaction itself began with the only write lock (transaction_mode IMMEDIATE).
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            number = int.from_bytes(bytes.fromhex(sha256[:16]), signed=True)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def is_live(sha256: str) -> bool:
    """Whether a patient who was not withdrawn has this content.

    Also one whom the person who asks may not see: whoever reads blinded must not purge a picture of the study.
    """
    return HpfImage._base_manager.filter(content_sha256=sha256, slide__patient__withdrawn_at=None).exists()


class PurgeDelayed(DomainError):
    """What was asked for is done and on record; pixels whose store failed just then are left to the sweep."""

    code = "E_PURGE_DELAYED"
    status = 503


def contents_purge(contents: Iterable[str], *, done: str) -> int:
    """Remove the pixels, and every cached file made of them, that no live patient has. Returns how many.

    Parameters
    ----------
    done
        What was done before and stands, such as "Field 3 was removed".

    Raises
    ------
    PurgeDelayed
        The store failed. It was asked no more after that; caches and measures of all the pixels are gone.
    """
    gone, left = set(), 0
    trouble: Exception | None = None
    for sha256 in sorted(set(contents)):
        with transaction.atomic():
            content_lock(sha256)
            if is_live(sha256):
                continue
            for measure in _MEASURES:
                measure.objects.filter(content_sha256=sha256).delete()  # a signature is a tiny picture
            gone.add(sha256)
            try:
                if trouble is None:
                    blobs().purge(sha256)
            except (OSError, StorageDown) as error:
                trouble = error
            left += trouble is not None
    _purge_cache(gone)
    if trouble is not None:
        logger.warning("%d stored files were not purged: %s", left, trouble)
        raise PurgeDelayed(
            f"{done}. The store failed just then, so {counted(left, 'stored file')} will go with the daily sweep.",
            hint="Nothing is left to do; an admin can run `manage.py sweep_media`.",
        ) from trouble
    return len(gone)


def _purge_cache(gone: Collection[str]) -> None:
    """Cached files are named by the content that they were made of, whoever made them."""
    for path in _cached():
        if path.name[:64] in gone:
            path.unlink(missing_ok=True)


def cache_sweep(named: Collection[str], *, before: float) -> int:
    """Remove cached files, last written before that time, of contents that are not ``named``, and what was never
    finished. Returns how many.

    A withdrawal that was killed before it came to the cache leaves such files, and so does whatever was drawing a
    thumbnail at that moment.
    """
    removed = 0
    for path in _cached():
        stray = bool(_NAMED_BY_CONTENT.match(path.name)) and path.name[:64] not in named
        if stray or _half_made(path):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
                    _drop_folders(path)
    return removed


def _half_made(path: Path) -> bool:
    parts = path.relative_to(settings.CACHE_ROOT).parts
    return ".tmp-" in path.name or any(_HALF_MADE.match(part) for part in parts)


def _drop_folders(path: Path) -> None:
    """The empty ones around a removed file that were half made; those of the cache itself may be in use."""
    for folder in path.parents:
        if not folder.is_relative_to(settings.CACHE_ROOT) or not _half_made(folder):
            return
        with contextlib.suppress(OSError):
            folder.rmdir()


def signatures_sweep() -> None:
    """Remove the measures of contents that no live patient has: of withdrawn patients, of removed fields."""
    live = HpfImage._base_manager.filter(content_sha256=OuterRef("content_sha256"), slide__patient__withdrawn_at=None)
    for measure in _MEASURES:
        measure.objects.filter(~Exists(live)).delete()


def _cached() -> Iterator[Path]:
    for folder, _, names in os.walk(settings.CACHE_ROOT):
        yield from (Path(folder) / name for name in names)


def thumbnail_of(sha256: str, size_px: int = THUMBNAIL_PX) -> bytes:
    """A small WebP of a stored image, made when it is first asked for and then kept in the cache."""
    path = Path(settings.CACHE_ROOT) / "thumbs" / sha256[:2] / f"{sha256}.{size_px}.webp"
    if path.is_file():
        return path.read_bytes()
    data = thumbnail(blobs().read(sha256), size_px)
    with contextlib.suppress(OSError):  # a full disk: then it is made again next time
        write_whole(path, data)
    return data


def named_contents() -> set[str]:
    """Every SHA-256 that a row of any app names, except the pixels of withdrawn patients.

    By convention a column that names a stored file ends in ``_sha256``, so that an app which stores files of its
    own (weights, for instance) is safe from the sweep without being known here. What was measured of a content does
    not name it: a removed field's pixels would stay for ever after a kill.
    """
    named: set[str] = set()
    for model in apps.get_models():
        if model in _MEASURES:
            continue
        for field in model._meta.local_concrete_fields:
            if field.name.endswith("_sha256"):
                named.update(model._base_manager.values_list(field.name, flat=True).distinct().iterator())
    return named - contents_gone()


def contents_gone() -> set[str]:
    """Contents of withdrawn patients that no live patient has."""
    images = HpfImage._base_manager.values_list("content_sha256", flat=True)
    live = set(images.filter(slide__patient__withdrawn_at=None))
    return set(images.exclude(slide__patient__withdrawn_at=None)) - live


def missing_or_damaged(*, deep: bool) -> list[tuple[HpfImage, str]]:
    """Live images whose stored file is absent or (with ``deep``) no longer has its hash: [(image, what is wrong)]."""
    store, found = blobs(), []
    for image in HpfImage.objects.filter(slide__patient__withdrawn_at=None).select_related("slide").iterator():
        size = store.size(image.content_sha256)
        if size is None:
            found.append((image, "missing"))
        elif size != image.size_bytes:
            found.append((image, f"{size} bytes instead of {image.size_bytes}"))
        elif deep and not store.intact(image.content_sha256):
            found.append((image, "its bytes have changed"))
    return found
