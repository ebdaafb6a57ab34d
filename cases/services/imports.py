"""Importing a planned folder: slide by slide, file by file, so that a second run finds everything done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction

from cases.imaging import DEFAULT_LIMITS, ImageTooLarge, accept_image
from cases.models import Cohort, Patient, Slide
from cases.naming import printable
from cases.services.checks import require_live
from cases.services.cohorts import cohort_create
from cases.services.images import image_add
from cases.services.import_known import Known, cohort_number, known_of, removed_files
from cases.services.import_plan import Plan, PlannedSlide, Refusal, codes_free, unnamed_code
from cases.services.references import reference_add
from cases.services.slides import slide_change
from cases.services.uploads import slide_ensure
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User


@dataclass
class ImportReport:
    """What became of a folder; ``duplicates`` are (file, where the identical image is).

    ``elsewhere`` are files that were taken in before and are in another slide by now: (file, where).
    """

    new: int = 0
    already: int = 0
    new_slides: int = 0
    new_references: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)
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
    cohort, removed = cohort_number(cohort_name), removed_files()
    for planned in plan.slides:
        content: dict[str, str] = {}
        hashes: dict[str, str] = {}
        for path, _ in planned.files:
            try:
                accepted = accept_image(read_bounded(plan.root / path), path)
            except DomainError as error:
                report.refusals.append(Refusal.of(path, error))
                continue
            content[path], hashes[path] = accepted.content_sha256, accepted.received_sha256
        known = known_of(hashes.values(), removed)
        target = _target(planned, known, cohort, hashes)
        wanted, seen, new_before = _wanted(planned, known, cohort, target, hashes, report), dict[str, str](), report.new
        stored = set(target.images.values_list("received_sha256", flat=True)) if target else set()
        for path, sha256 in wanted.items():
            first = seen.setdefault(content[path], path)
            if first != path:
                report.duplicates.append((path, f"{first} (the same slide)"))
            elif sha256 in stored:
                report.already += 1
            else:
                report.new += 1
        report.new_slides += report.new > new_before and target is None
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
    removed = removed_files()
    for number, planned in enumerate(plan.slides, start=1):
        hashes = _hash_files(plan.root, planned, report)
        known = known_of(hashes.values(), removed)
        target = _target(planned, known, cohort.pk, hashes)
        hashes = _wanted(planned, known, cohort.pk, target, hashes, report)
        if not hashes:
            continue  # nothing to take in: no slide, no patient
        try:
            slide = _slide_for(actor, cohort, planned, target, report)
            # Whoever corrected the patient of a slide did not mean this row's diagnosis for the new one.
            theirs = planned.patient in ("", slide.patient.code)
            if planned.reference and theirs and _reference_is_new(slide.patient, planned.reference):
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


def _patient_code(planned: PlannedSlide, cohort: int | None) -> str:
    return planned.patient or unnamed_code(cohort or 0, planned.folder)


def _target(planned: PlannedSlide, known: Known, cohort: int | None, hashes: dict[str, str]) -> Slide | None:
    """The slide that is there already for these files: the named one, or the one that they are in."""
    slides = Slide.objects.select_related("patient")
    if planned.slide and (named := slides.filter(code=planned.slide, patient__code=planned.patient).first()):
        return named
    number = known.slide_of(_patient_code(planned, cohort), cohort, hashes)
    return slides.get(pk=number) if number else None


def _wanted(
    planned: PlannedSlide, known: Known, cohort: int | None, target: Slide | None, hashes: dict[str, str],
    report: ImportReport,
) -> dict[str, str]:  # fmt: skip
    """The files that are still to be taken in, or are in the slide already. The others are in the report."""
    found = {path: known.against(path, sha256, cohort, target) for path, sha256 in hashes.items()}
    settled = {hashes[path]: path for path, what in reversed(found.items()) if what is not None}
    wanted = {}
    for path, what in found.items():
        if isinstance(what, Refusal):
            report.refusals.append(what)
        elif what is not None:
            report.already += 1
            report.elsewhere.append((path, what))
        elif hashes[path] in settled:
            report.duplicates.append((path, f"{settled[hashes[path]]} (the same slide)"))
        elif target and planned.slide not in ("", target.code) and not known.holds(target, hashes[path]):
            told = f"The other files of slide {planned.slide!r} are in slide {target.code} by now."
            report.refusals.append(Refusal(path, "E_MOVED", told, "Name that slide for it, or upload it there."))
        else:
            wanted[path] = hashes[path]
    return wanted


@transaction.atomic
def _slide_for(
    actor: User | None, cohort: Cohort, planned: PlannedSlide, target: Slide | None, report: ImportReport
) -> Slide:
    if target is None:
        patient = _patient_code(planned, cohort.pk)
        code = planned.slide or _next_code(patient)
        exists = Slide.objects.filter(code=code).exists()
        slide = slide_ensure(
            actor=actor, cohort=cohort, patient_code=patient, slide_code=code,
            **({} if exists else planned.acquisition),
        )  # fmt: skip
        report.new_slides += not exists
        return slide
    require_live(target.patient)
    target = slide_ensure(actor=actor, cohort=cohort, patient_code=target.patient.code, slide_code=target.code)
    if planned.acquisition and planned.slide in ("", target.code):
        return slide_change(actor=actor, slide=target, reason="Import", **planned.acquisition)
    return target


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
