"""Reading what curation measured and decided."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django.core.cache import cache
from django.db.models import BooleanField, CharField, Exists, F, FloatField, JSONField, OuterRef, QuerySet, Subquery

from cases.models import Cohort, Exclusion, HpfImage, ImageQuality, Patient, Slide, TextHint
from cases.quality import MEASURE_VERSION
from cases.text_hint import VERSION as TEXT_VERSION
from leukoweb.core.blindfold import hidden_patients

MEASURES = ("sharpness", "exposure", "clipped", "stain", "illumination", "nucleated")


def excluded_images(cohorts: Iterable[Cohort] | None = None) -> dict[int, Exclusion]:
    """Image id -> the exclusion in force, of live patients. 1 query."""
    rows = Exclusion.objects.filter(image__slide__patient__withdrawn_at=None).order_by("pk")
    if cohorts is not None:
        rows = rows.filter(image__slide__patient__cohort__in=list(cohorts))
    newest = {row.image_id: row for row in rows}
    return {image_id: row for image_id, row in newest.items() if row.excluded}


def _quality() -> QuerySet[ImageQuality]:
    """Of an image of the query around it."""
    return ImageQuality.objects.filter(content_sha256=OuterRef("content_sha256"), measure_version=MEASURE_VERSION)


def images_measured() -> QuerySet[HpfImage]:
    """Images of live patients with their measures (null where not measured) and exclusion as columns. 1 query."""
    quality = _quality()
    text = TextHint.objects.filter(content_sha256=OuterRef("content_sha256"), version=TEXT_VERSION)
    newest = Exclusion.objects.filter(image=OuterRef("pk")).order_by("-pk")
    columns = {name: Subquery(quality.values(name)[:1], output_field=FloatField()) for name in MEASURES}
    return (
        HpfImage.objects.filter(slide__patient__withdrawn_at=None)
        .select_related("slide__patient__cohort", "slide__device")
        .annotate(
            **columns,
            has_text=Exists(text.exclude(boxes=[])),
            text_boxes=Subquery(text.values("boxes")[:1], output_field=JSONField()),
            is_out=Subquery(newest.values("excluded")[:1], output_field=BooleanField(null=True)),
            out_reason=Subquery(newest.values("reason")[:1], output_field=CharField()),
        )
    )


def images_in_order(keys: Iterable[int]) -> list[HpfImage]:
    """The rows of `images_measured` for these primary keys, in their order. 1 query.

    Lists are paged by primary keys alone: with its measures and reasons looked up for every row before the few of a
    page are chosen, a list of 500,000 took many seconds.
    """
    wanted = list(keys)
    found = images_measured().in_bulk(wanted)
    return [found[key] for key in wanted if key in found]


class ImageKeys:
    """Primary keys of some of `images_measured` for a paginator: by slide, or by one of ``MEASURES``, with a minus for
    the largest first; what was not measured comes last. Few queries for a slice, however many there are.

    Parameters
    ----------
    rows
        Those of `images_measured`, ``narrowed`` or all of them.
    n_images
        How many there are without narrowing.
    """

    def __init__(self, rows: QuerySet[HpfImage], sort: str, *, narrowed: bool, n_images: int) -> None:
        self._rows, self._name, self._down = rows, sort.removeprefix("-"), sort.startswith("-")
        self._narrowed, self._n_images = narrowed, n_images

    def __len__(self) -> int:
        return self._n

    @cached_property
    def _n(self) -> int:
        return self._rows.count() if self._narrowed else self._n_images

    def __getitem__(self, part: slice) -> list[int]:
        if self._name not in MEASURES:
            by: Any = ("slide__patient__code", "slide__code", "position")
        elif 2 * part.stop * self._n_images <= self._n**2:
            return self._along(part.start, part.stop)
        else:
            measure = F(self._name)
            by = [measure.desc(nulls_last=True) if self._down else measure.asc(nulls_last=True)]
        return list(self._rows.order_by(*by, "pk").values_list("pk", flat=True)[part])

    def _along(self, first: int, last: int) -> list[int]:
        """Along the index of the measure until there are enough: for 60 of many. Of few among many it would be a long
        way; those are all looked up and sorted, which for 500,000 takes seconds."""
        quality, image = ImageQuality._meta.db_table, HpfImage._meta.db_table
        measured = self._rows.extra(  # noqa: S610  # nosec B610  names of ours
            tables=[quality],
            where=[f"{quality}.content_sha256 = {image}.content_sha256", f"{quality}.measure_version = %s"],
            params=[MEASURE_VERSION],
            order_by=[f"{'-' if self._down else ''}{quality}.{self._name}", "pk"],
        ).values_list("pk", flat=True)
        found = list(measured[first:last])
        if len(found) < last - first:  # the rest, or a part of it, was not measured
            n_measured = first + len(found) if found or not first else measured.count()
            rest = self._rows.exclude(Exists(_quality())).order_by("pk").values_list("pk", flat=True)
            found += rest[max(0, first - n_measured) : last - n_measured]
        return found


def n_images() -> int:
    """How many images of live patients there are: all, less those of the few withdrawn. 2 queries."""
    slides = Slide._base_manager.filter(patient__in=Patient._base_manager.filter(withdrawn_at__isnull=False))
    return HpfImage.objects.count() - HpfImage.objects.filter(slide__in=slides).count()


def images_unmeasured(cohorts: Iterable[Cohort] | None = None) -> QuerySet[HpfImage]:
    """Images of live patients whose content this version of the measurement has not seen."""
    quality = _quality()
    images = HpfImage.objects.filter(~Exists(quality), slide__patient__withdrawn_at=None)
    return images if cohorts is None else images.filter(slide__patient__cohort__in=list(cohorts))


def n_unmeasured() -> int:
    """How many images wait to be measured. 5 queries, the slow one only after rows came or went.

    Content never changes under an image, so the number belongs to how many images, measures and withdrawn patients
    there are and to the newest image, which are counted at once.
    """
    images, measures = HpfImage._base_manager, ImageQuality.objects.filter(measure_version=MEASURE_VERSION)
    newest = images.order_by("-pk").values_list("pk", flat=True).first()
    withdrawn = Patient._base_manager.filter(withdrawn_at__isnull=False).count()
    key = f"unmeasured:{MEASURE_VERSION}:{images.count()}:{newest}:{measures.count()}:{withdrawn}"
    if hidden_patients():  # the number of what this person sees
        return images_unmeasured().count()
    found: int = cache.get_or_set(key, lambda: images_unmeasured().count(), 3600)  # type: ignore[assignment]
    return found


def contents_unmeasured(cohorts: Iterable[Cohort] | None = None) -> list[str]:
    """Each content once, in a fixed order. 1 query."""
    rows = images_unmeasured(cohorts).order_by("content_sha256").values_list("content_sha256", flat=True)
    return list(rows.distinct())


def colours_of(images: QuerySet[HpfImage]) -> QuerySet[HpfImage]:
    """Images with the measured colour and every score as columns, of those that were measured. 1 query."""
    quality = _quality()
    columns = {name: Subquery(quality.values(name)[:1], output_field=FloatField()) for name in MEASURES}
    colour = Subquery(quality.values("colour")[:1], output_field=JSONField())
    return images.annotate(colour=colour, **columns, device_name=F("slide__device__camera")).exclude(colour=None)
