"""Which files of a folder belong to which patient and slide, before anything is read or written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.crypto import salted_hmac

from cases.acquisition_csv import SlideRow
from cases.naming import NamePattern, NameRefused, natural_key
from leukoweb.core.exceptions import DomainError

DOCUMENTS = frozenset(
    "md txt csv tsv json xml html htm pdf doc docx odt xls xlsx ods ppt pptx ini log db yaml yml url lnk".split()  # noqa: SIM905
)
SYSTEM = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "$recycle.bin"})


@dataclass(frozen=True)
class Refusal:
    """A file that does not go in, and why."""

    path: str
    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, path: str, error: DomainError) -> Refusal:
        return cls(path, error.code, error.message, error.hint)


@dataclass
class PlannedSlide:
    """Files of one slide in capture order: [(path, stated place or None)]. Empty codes are chosen at import."""

    patient: str
    slide: str
    folder: str
    files: list[tuple[str, int | None]] = field(default_factory=list)
    acquisition: dict[str, Any] = field(default_factory=dict)
    reference: str = ""


@dataclass
class Plan:
    root: Path
    slides: list[PlannedSlide]
    refusals: list[Refusal]
    left_out: list[str]


def folder_files(root: Path) -> tuple[list[str], list[str]]:
    """Paths under ``root`` in capture order, and documents that are no images by their names.

    Links are not followed; hidden files and those of operating systems are passed over.
    """
    files: list[str] = []
    documents: list[str] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not _is_system(name)]
        for name in names:
            path = Path(folder) / name
            if _is_system(name) or path.is_symlink():
                continue
            relative = path.relative_to(root).as_posix()
            (documents if name.rpartition(".")[2].lower() in DOCUMENTS else files).append(relative)
    return sorted(files, key=natural_key), sorted(documents, key=natural_key)


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def plan_import(root: Path, *, pattern: NamePattern | None = None, rows: Sequence[SlideRow] | None = None) -> Plan:
    """Group the files of a folder into slides.

    With ``rows`` (of a CSV) exactly the files that they name go in. A patient comes from the row, else from the
    pattern; where there is neither, a folder is one slide of one unnamed patient. A file in whose name a given
    pattern finds no patient is refused.
    """
    present, documents = folder_files(root)
    plan = Plan(root, [], [], documents)
    groups: dict[tuple[str, str, str], PlannedSlide] = {}
    for row in _rows(present, rows, plan):
        try:
            patient, slide, order = _codes(row, pattern)
        except DomainError as error:
            plan.refusals.append(Refusal.of(row.file, error))
            continue
        folder = row.file.rpartition("/")[0]
        group = groups.setdefault((patient, slide, "" if slide else folder), PlannedSlide(patient, slide, folder))
        group.files.append((row.file, order))
        _merge(group, row)
    for group in groups.values():
        group.files.sort(key=lambda file: (file[1] is None, file[1] or 0, natural_key(file[0])))
    plan.slides = list(groups.values())
    return plan


def _rows(present: Sequence[str], rows: Sequence[SlideRow] | None, plan: Plan) -> Iterator[SlideRow]:
    if rows is None:
        for path in present:
            yield SlideRow(line=0, file=path, patient="", slide="", order=None, reference="", acquisition={})
        return
    there = set(present) | set(plan.left_out)
    listed = {row.file for row in rows}
    for row in rows:
        if row.file in there:
            yield row
        else:
            message = f"Line {row.line} names it, but the folder does not hold it."
            plan.refusals.append(Refusal(row.file, "E_FILE_MISSING", message, "Paths are relative to the folder."))
    for path in present:
        if path not in listed:
            plan.refusals.append(Refusal(path, "E_NOT_LISTED", "The CSV has no row for it.", "Add a row."))
    plan.left_out = [path for path in plan.left_out if path not in listed]


def _codes(row: SlideRow, pattern: NamePattern | None) -> tuple[str, str, int | None]:
    found = pattern.parse(row.file) if pattern else None
    if pattern and not row.patient and (found is None or not found.patient):
        raise NameRefused(
            "The patient pattern finds nothing in this name.", code="E_PATTERN", hint="Mend the pattern or the name."
        )
    patient = row.patient or (found.patient if found else None) or ""
    slide = row.slide or (found.slide if found else None) or ""
    order = row.order if row.order is not None else found.order if found else None
    return patient, slide, order


def _merge(group: PlannedSlide, row: SlideRow) -> None:
    values = {("capture_minutes" if name == "minutes" else name): value for name, value in row.acquisition.items()}
    for name, value in values.items():
        if group.acquisition.setdefault(name, value) != value:
            raise DomainError(
                f"Line {row.line}: {name} is {value!r}, but another row of the same slide says"
                f" {group.acquisition[name]!r}.",
                code="E_FIELD_CONFLICT",
                hint="Give the two slides different codes in the column slide.",
            )
    group.reference = row.reference or group.reference


def unnamed_code(cohort_id: int, folder: str) -> str:
    """The code of a folder's unnamed patient: the same at every import, whatever the cohort is called by then.

    Keyed, because a folder is often called like a diagnosis, and a plain hash of it could be guessed.
    """
    return f"UNNAMED-{salted_hmac('cases.unnamed', f'{cohort_id}/{folder}', algorithm='sha256').hexdigest()[:8]}"


def codes_free(patient: str, taken: Iterable[str]) -> Iterator[str]:
    """Slide codes of a patient that nobody uses: P-S1, P-S2, ..."""
    used, number = set(taken), 0
    while True:
        number += 1
        if (code := f"{patient}-S{number}") not in used:
            yield code
