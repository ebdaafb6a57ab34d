"""The images that a run reads: those of the slide, in capture order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cases.models import HpfImage


def slide_images(slide_id: int) -> list[HpfImage]:
    """Capture order; equal positions in the order of arrival."""
    return list(HpfImage.objects.filter(slide_id=slide_id).order_by("position", "id"))


def images_sha256(contents: Iterable[str]) -> str:
    """One hash for a list of content hashes in order."""
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def images_sha256_by_slide(slide_ids: Iterable[int]) -> dict[int, str]:
    """``images_sha256`` of each slide that has images, read from the images in one query."""
    contents: dict[int, list[str]] = {}
    rows = HpfImage.objects.filter(slide_id__in=list(slide_ids)).order_by("slide_id", "position", "id")
    for slide_id, content in rows.values_list("slide_id", "content_sha256"):
        contents.setdefault(slide_id, []).append(content)
    return {slide_id: images_sha256(found) for slide_id, found in contents.items()}
