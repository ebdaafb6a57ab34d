"""Which slides wait for a review, and what a reviewer is shown."""

from __future__ import annotations

import hashlib

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from cases.models import Cohort, HpfImage, Slide, TextHint
from cases.selectors.records import image_list
from cases.text_hint import VERSION
from leukoweb.core.models import Job


def slides_unreviewed(cohort: Cohort) -> QuerySet[Slide]:
    """Slides of live patients of a cohort that have images and no passed review: a study may not use them. 1 query."""
    return _reviewable().filter(patient__cohort=cohort).exclude(review=Slide.Review.PASSED)


def slides_to_review() -> QuerySet[Slide]:
    """All slides that wait or were refused, those that wait first and the oldest of them on top. 1 query.

    With ``n_images``, and ``n_text``, the number of images in which text seems to be.
    """
    hints = TextHint.objects.filter(version=VERSION).exclude(boxes=[]).values("content_sha256")
    return (
        _reviewable()
        .exclude(review=Slide.Review.PASSED)
        .select_related("patient__cohort", "reviewed_by")
        .annotate(n_images=Count("images"), n_text=Count("images", filter=Q(images__content_sha256__in=hints)))
        .order_by("-review", "created_at", "pk")  # "waiting" sorts behind "refused"
    )


def review_counts() -> dict[str, int]:
    """How many slides wait and how many were refused. 1 query."""
    rows = _reviewable().order_by().values("review").annotate(n=Count("pk"))
    return dict.fromkeys(Slide.Review.values, 0) | {row["review"]: row["n"] for row in rows}


def _reviewable() -> QuerySet[Slide]:
    images = HpfImage.objects.filter(slide=OuterRef("pk"))
    return Slide.objects.filter(Exists(images), patient__withdrawn_at=None)


def fields_fingerprint(slide: Slide) -> str:
    """A hash of the fields in their order: equal only while the slide is what the reviewer saw. 1 query."""
    fields = image_list(slide).values_list("pk", "position", "content_sha256")
    text = "\n".join(f"{pk} {position} {sha256}" for pk, position, sha256 in fields)
    return hashlib.sha256(text.encode()).hexdigest()


def text_hints(slide: Slide) -> dict[str, list[dict[str, float]]]:
    """Content hash -> places that look like text; a content that nobody looked through is missing. 1 query."""
    contents = slide.images.values("content_sha256")
    return dict(
        TextHint.objects.filter(version=VERSION, content_sha256__in=contents).values_list("content_sha256", "boxes")
    )


def text_jobs(slide: Slide) -> QuerySet[Job]:
    """Unfinished searches for text in a slide, at most one. 1 query."""
    return Job.objects.filter(key=f"text:{slide.pk}", status__in=Job.ACTIVE)
