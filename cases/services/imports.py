"""Importing a planned folder: slide by slide, file by file, so that a second run finds everything done."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction

from cases.imaging import DEFAULT_LIMITS, ImageTooLarge, accept_image
from cases.models import Cohort, HpfImage, Patient, Slide
from cases.naming import printable
from cases.services.cohorts import cohort_create
from cases.services.images import image_add
from cases.services.import_plan import Plan, PlannedSlide, Refusal, codes_free, unnamed_code
from cases.services.references import reference_add
from cases.services.slides import slide_change
from cases.services.uploads import slide_ensure
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User


@dataclass
class ImportReport:
    """What became of a folder; ``duplicates`` are (file, where the identical image is)."""

    new: int = 0
    already: int = 0
    new_slides: int = 0
    new_references: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report in words, one line for each part."""
        lines = [
            f"{self.new} new images in {self.new_slides} new slides, {self.already} already there,"
            f" {len(self.duplicates)} duplicates, {len(self.refusals)} refused, {self.new_references} new references."
        ]
        if self.left_out:
            more = f" and {len(self.left_out) - 10} more" if len(self.left_out) > 10 else ""
            names = ", ".join(printable(path) for path in self.left_out[:10])
            lines.append(f"Left out, because by their names they are no images: {names}{more}.")
        return lines


def cohort_ensure(*, actor: User | None, name: str, purpose: str | None) -> Cohort:
    """The cohort of this name; made if missing, for external validation unless said otherwise.

    Raises
    ------
    Conflict
        It exists with another purpose: a purpose never changes.
    """
    cohort = Cohort.objects.filter(name=name).first()
    if cohort is None:
        return cohort_create(actor=actor, name=name, purpose=purpose or Cohort.Purpose.EXTERNAL)
    if purpose and cohort.purpose != purpose:
        raise Conflict(
            f"Cohort {name!r} exists for the purpose {cohort.purpose!r}, not {purpose!r}.", hint="Use another name."
        )
    return cohort


def read_bounded(path: Path) -> bytes:
    """The file's bytes; one that is too large is refused without being read."""
    size = path.stat().st_size
    if size > DEFAULT_LIMITS.file_bytes:
        raise ImageTooLarge(
            f"The file has {size / 1e6:.1f} MB; the limit is {DEFAULT_LIMITS.file_bytes / 1e6:.0f} MB.",
            hint="Export single fields.",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise DomainError(f"The file cannot be read: {error.strerror}.", code="E_UNREADABLE") from error


def import_check(plan: Plan, cohort_name: str) -> ImportReport:
    """A dry run: check every file as an import would, and write nothing. ``new`` counts what would be taken in."""
    report = ImportReport(refusals=list(plan.refusals), left_out=plan.left_out)
    images = HpfImage.objects.filter(slide__patient__cohort__name=cohort_name, slide__patient__withdrawn_at=None)
    stored = set(images.values_list("received_sha256", flat=True))
    for planned in plan.slides:
        seen: dict[str, str] = {}
        new_before, known = report.new, False
        for path, _ in planned.files:
            try:
                accepted = accept_image(read_bounded(plan.root / path), path)
            except DomainError as error:
                report.refusals.append(Refusal.of(path, error))
                continue
            first = seen.setdefault(accepted.content_sha256, path)
            known = known or accepted.received_sha256 in stored
            if first != path:
                report.duplicates.append((path, f"{first} (the same slide)"))
            elif accepted.received_sha256 in stored:
                report.already += 1
            else:
                report.new += 1
        report.new_slides += report.new > new_before and not known
    return report


def import_run(
    *, actor: User | None, cohort: Cohort, plan: Plan, source: str = "", tell: Callable[[str], None] | None = None
) -> ImportReport:
    """Take a planned folder in. One bad file, or one slide in conflict, does not stop the rest.

    Parameters
    ----------
    source
        What is kept as the source of reference diagnoses that the plan states.
    tell
        Called with one line after each slide.
    """
    report = ImportReport(refusals=list(plan.refusals), left_out=plan.left_out)
    for number, planned in enumerate(plan.slides, start=1):
        hashes = _hash_files(plan.root, planned, report)
        try:
            slide = _slide_for(actor, cohort, planned, hashes, report)
            if planned.reference and _reference_is_new(slide.patient, planned.reference):
                reference_add(actor=actor, patient=slide.patient, diagnosis=planned.reference, source=source)
                report.new_references += 1
        except DomainError as error:
            report.refusals.extend(Refusal.of(path, error) for path in hashes)
            continue
        _take_in(actor, plan, planned, slide, hashes, report)
        if tell:
            tell(f"slide {number} of {len(plan.slides)}: {slide.code}, {len(planned.files)} files")
    return report


def _hash_files(root: Path, planned: PlannedSlide, report: ImportReport) -> dict[str, str]:
    hashes = {}
    for path, _ in planned.files:
        try:
            hashes[path] = hashlib.sha256(read_bounded(root / path)).hexdigest()
        except DomainError as error:
            report.refusals.append(Refusal.of(path, error))
    return hashes


@transaction.atomic
def _slide_for(
    actor: User | None, cohort: Cohort, planned: PlannedSlide, hashes: dict[str, str], report: ImportReport
) -> Slide:
    patient = planned.patient or unnamed_code(cohort.name, planned.folder)
    code = planned.slide or _known_slide(patient, hashes) or _next_code(patient)
    exists = Slide.objects.filter(code=code).exists()
    slide = slide_ensure(
        actor=actor, cohort=cohort, patient_code=patient, slide_code=code, **({} if exists else planned.acquisition)
    )
    if exists and planned.acquisition:
        slide = slide_change(actor=actor, slide=slide, reason="Import", **planned.acquisition)
    report.new_slides += not exists
    return slide


def _known_slide(patient: str, hashes: dict[str, str]) -> str:
    """The slide of this patient that holds most of these files already; empty if none holds any."""
    images = HpfImage.objects.filter(slide__patient__code=patient, received_sha256__in=hashes.values())
    counts = Counter(images.values_list("slide__code", flat=True))
    return counts.most_common(1)[0][0] if counts else ""


def _next_code(patient: str) -> str:
    """The first free code P-S1, P-S2, ...; a slide that an interrupted import left empty counts as free."""
    filled = Slide.objects.filter(code__startswith=f"{patient}-S").exclude(images=None, patient__code=patient)
    return next(codes_free(patient, filled.values_list("code", flat=True)))


def _take_in(
    actor: User | None, plan: Plan, planned: PlannedSlide, slide: Slide, hashes: dict[str, str], report: ImportReport
) -> None:
    stored = set(slide.images.values_list("received_sha256", flat=True))
    seen: dict[str, str] = {}
    for place, (path, order) in enumerate(planned.files, start=1):
        sha256 = hashes.get(path)
        if sha256 is None:
            continue  # refused while hashing
        if sha256 in seen:
            report.duplicates.append((path, f"{seen[sha256]} (the same slide)"))
            continue
        seen[sha256] = path
        if sha256 in stored:
            report.already += 1
            continue
        try:
            data = read_bounded(plan.root / path)
            added = image_add(actor=actor, slide=slide, data=data, name=path, position=order or place)
        except DomainError as error:
            if error.status >= 500:
                raise
            report.refusals.append(Refusal.of(path, error))
            continue
        report.new += added.created
        report.already += not added.created
        report.duplicates.extend((path, warning.message) for warning in added.warnings if added.created)


def _reference_is_new(patient: Patient, diagnosis: str) -> bool:
    newest = patient.references.order_by("-id").values_list("diagnosis", flat=True).first()
    return newest != diagnosis
