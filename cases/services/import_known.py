"""What the installation knows already of the files of a folder, wherever corrections have put them since."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from cases.models import Cohort, HpfImage, Slide
from cases.services.import_plan import Refusal
from leukoweb.core.models import AuditEvent
from leukoweb.core.words import day_text

_CHUNK = 500
_COLUMNS = (
    "slide_id", "position", "slide__code", "slide__patient__code", "slide__patient__cohort_id",
    "slide__patient__cohort__name", "slide__patient__withdrawn_at", "original_name__name",
)  # fmt: skip
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Held:
    """An image row that was made of a file with these bytes."""

    slide_id: int
    position: int
    slide: str
    patient: str
    cohort_id: int
    cohort: str
    withdrawn_at: datetime | None
    name: str | None

    def was(self, path: str) -> bool:
        """Whether it was that file: by its path, which may have been taken from a folder above or below."""
        if not self.name:
            return False
        one, other = sorted((self.name, path[-500:]), key=len)
        return one == other or other.endswith(f"/{one}")


@dataclass
class Known:
    """Bytes (SHA-256 as received) -> the images made of them, of every cohort, and of withdrawn patients too."""

    held: Mapping[str, list[Held]]
    sizes: Mapping[int, int]
    removed: Mapping[str, datetime]

    def slide_of(self, patient: str, cohort_id: int | None, hashes: Mapping[str, str]) -> int:
        """The slide that these files are, under whatever codes by now; 0 if there is none.

        It is one of this cohort of which most images are files of this folder, at their paths; or one of the patient
        that has some of them, or most of its images among these files under other names. One that holds a file of
        another smear as well is not that smear. Of a withdrawn patient, whose names are gone, the bytes alone tell.
        """
        named, alike = Counter[int](), Counter[int]()
        slides = {one.slide_id: one for path in hashes for one in self.held.get(hashes[path], ())}
        for path, sha256 in hashes.items():
            holders = self.held.get(sha256, ())
            alike.update({one.slide_id for one in holders})
            named.update({one.slide_id for one in holders if one.was(path)})

        def fits(number: int) -> bool:
            one, most = slides[number], self.sizes[number] / 2
            if one.withdrawn_at is not None:
                return alike[number] > most
            if one.cohort_id != cohort_id:
                return False
            theirs = one.patient == patient
            return named[number] > most or (theirs and (named[number] > 0 or alike[number] > most))

        return max(filter(fits, slides), key=lambda number: (named[number], alike[number], -number), default=0)

    def holds(self, slide: Slide, sha256: str) -> bool:
        return any(one.slide_id == slide.pk for one in self.held.get(sha256, ()))

    def against(self, path: str, sha256: str, cohort_id: int | None, slide: Slide | None) -> Refusal | str | None:
        """Why a file stays out, or in which other slide it is by now; None if it is to be taken into the slide."""
        holders = self.held.get(sha256, ())
        live = [one for one in holders if one.withdrawn_at is None]
        if slide is not None and any(one.slide_id == slide.pk for one in live):
            return None  # whoever takes the files in finds it, and counts copies
        here = sorted((one for one in live if one.was(path)), key=lambda one: one.cohort_id != cohort_id)
        if here and here[0].cohort_id != cohort_id:
            return Refusal(
                path, "E_TAKEN", f"It is in slide {here[0].slide} of cohort {here[0].cohort}.",
                "A patient is in one cohort only. If that cohort was renamed, give its new name.",
            )  # fmt: skip
        if here:
            return f"field {here[0].position} of slide {here[0].slide}, patient {here[0].patient}"
        if gone := next((one for one in holders if one.withdrawn_at is not None), None):
            return Refusal(
                path, "E_WITHDRAWN", f"It is of a patient who was withdrawn on {day_text(gone.withdrawn_at)}.",
                "Nothing of a withdrawn patient is taken in again. Take the file out of the folder.",
            )  # fmt: skip
        if at := self.removed.get(sha256):
            return Refusal(
                path, "E_REMOVED", f"It was removed on {day_text(at)}, so no import takes it in again.",
                "Take it out of the folder; upload it in the browser if it is to come back.",
            )  # fmt: skip
        return None


def known_of(hashes: Collection[str], removed: Mapping[str, datetime]) -> Known:
    """Queries: 2 for every 500 files."""
    held: dict[str, list[Held]] = defaultdict(list)
    sizes: dict[int, int] = {}
    ordered = sorted(set(hashes))
    for start in range(0, len(ordered), _CHUNK):
        rows = HpfImage._base_manager.filter(received_sha256__in=ordered[start : start + _CHUNK]).order_by("pk")
        for row in rows.values_list("received_sha256", *_COLUMNS):
            held[row[0]].append(Held(*row[1:]))
    numbers = {one.slide_id for holders in held.values() for one in holders}
    for some in _chunks(numbers):
        counted = Slide._base_manager.filter(pk__in=some).order_by().annotate(n=Count("images"))
        sizes |= dict(counted.values_list("pk", "n"))
    return Known(held, sizes, removed)


def _chunks(numbers: Iterable[int]) -> Iterable[list[int]]:
    ordered = sorted(numbers)
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))


def removed_files() -> dict[str, datetime]:
    """Bytes of every field that was removed -> when; of removals before the bytes as received were kept, as stored."""
    found = {}
    for at, data in AuditEvent.objects.filter(action="image.remove").order_by("pk").values_list("at", "data"):
        sha256 = data.get("received_sha256") or data.get("content_sha256")
        if isinstance(sha256, str) and _SHA256.fullmatch(sha256):
            found[sha256] = at
    return found


def cohort_number(name: str) -> int | None:
    return Cohort.objects.filter(name=name).values_list("pk", flat=True).first()
