"""Taking an exported dataset in: cohort, patients, slides, images, and the labels as imported decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.db import transaction

from cases.dataset_files import (
    MAX_TABLE_BYTES,
    BadDataset,
    Listed,
    Read,
    listed_images,
    opened,
    require_content,
    stated_taxonomy,
)
from cases.image_notes import read_notes
from cases.imaging import DEFAULT_LIMITS
from cases.models import CaptureDevice, Cohort, HpfImage, Patient, Slide, SortingTask, Taxonomy
from cases.services.checks import require_live, require_valid
from cases.services.cohorts import cohort_create
from cases.services.images import Prepared, image_prepare, image_store
from cases.services.label_imports import labels_import
from cases.services.taxonomies import data_of, taxonomy_ensure, taxonomy_version_create
from cases.services.uploads import slide_ensure
from cases.taxonomy_data import read_taxonomy
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from leukoweb.core.storage import blobs

# A stored file may be larger than the largest upload: what was rotated or came as TIFF is kept as lossless PNG.
LIMITS = replace(DEFAULT_LIMITS, file_bytes=MAX_TABLE_BYTES)
CHUNK = 50  # rows in one transaction: on SQLite it holds the only write lock
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Target:
    """Where a dataset goes. ``prefix`` goes before every patient and slide code, where codes are taken."""

    cohort: str
    purpose: str = Cohort.Purpose.DEVELOPMENT
    prefix: str = ""


def phantoms_of(cohort: str) -> str:
    """The name of the cohort that takes the drawn smears of a dataset that has others too."""
    return f"{cohort[:69]} (phantoms)"


@dataclass(frozen=True)
class Imported:
    cohorts: tuple[Cohort, ...]
    task: SortingTask
    n_new: int
    n_listed: int


@dataclass(frozen=True)
class _Plan:
    """A checked list: its rows with the codes that they get here."""

    rows: list[Listed]
    stated: Mapping[str, Any] | None
    names: dict[bool, str]  # drawn or not -> name of the cohort


def dataset_check(path: Path, target: Target) -> int:
    """Everything that can be refused without looking at a pixel. Returns the number of images; writes nothing.

    Raises
    ------
    BadDataset, ZipRefused
        A list or archive that cannot be used.
    DomainError
        A code or label that cannot be one.
    Conflict
        A patient or slide code belongs to another cohort or a withdrawn patient; the cohort has another purpose, or
        holds people where the dataset has phantoms.
    """
    with opened(path) as (names, read):
        return len(_plan(names, read, target).rows)


def dataset_import(
    *, actor: User | None, path: Path, target: Target, tell: Tell = lambda done, total: None,
    write: Callable[[], AbstractContextManager[Any]] = transaction.atomic,
) -> Imported:  # fmt: skip
    """Import a folder or zip.

    First everything is checked and every image is decoded; only then the first row is written. Images that are there
    already are left alone, so that a stopped import can be run again. Phantoms stay phantoms: where a dataset has
    both, they go into a cohort of their own, and in no case into one that holds people.

    Parameters
    ----------
    tell
        Called with (steps done, steps in all): two steps for each image.
    write
        Makes the transaction around each chunk of rows.

    Raises
    ------
    DomainError
        As `dataset_check`, and an image that cannot be taken in.
    """
    with opened(path) as (names, read):
        plan = _plan(names, read, target)
        prepared = _prepare(plan, read, tell)
        with write():
            taxonomy = _taxonomy_make(plan, actor)
            cohorts = {drawn: _cohort(actor, name, target, drawn=drawn) for drawn, name in plan.names.items()}
        labels, n_new = _store(actor, plan, cohorts, prepared, tell, write)
    with write():
        task = labels_import(
            actor=actor, name=_task_name(target), cohorts=list(cohorts.values()), taxonomy=taxonomy,
            labels=labels,
        )  # fmt: skip
        audit_record(
            actor=actor, action="dataset.import", target=f"sorting:{task.pk}",
            data={"cohorts": [cohort.name for cohort in cohorts.values()], "n_images": len(plan.rows), "n_new": n_new},
        )  # fmt: skip
    return Imported(tuple(cohorts.values()), task, n_new, len(plan.rows))


def _plan(names: list[str], read: Read, target: Target) -> _Plan:
    rows = [
        replace(row, patient=f"{target.prefix}{row.patient}", slide=f"{target.prefix}{row.slide}")
        for row in listed_images(names, read)
    ]
    drawn = {row.synthetic for row in rows}
    cohorts = {False: target.cohort, True: target.cohort if drawn == {True} else phantoms_of(target.cohort)}
    plan = _Plan(rows, stated_taxonomy(names, read), {one: cohorts[one] for one in sorted(drawn)})
    _require_task(target, _taxonomy(plan))
    for one, name in plan.names.items():
        _require_cohort(name, target, drawn=one)
    for code in sorted({row.patient for row in rows}):
        require_valid(Patient(code=code))
    for row in {row.slide: row for row in rows}.values():
        fields = dict(row.acquisition)
        device = {name: fields.pop(name, "") for name in ("camera", "microscope")}
        require_valid(Slide(code=row.slide, **fields))
        if any(device.values()):  # without a camera it is no device, which is refused in words
            require_valid(CaptureDevice(**device))
    _require_free(plan)
    return plan


def _task_name(target: Target) -> str:
    return f"Labels of {target.cohort}"[:80]


def _require_task(target: Target, taxonomy: Taxonomy | None) -> None:
    task = SortingTask.objects.filter(name=_task_name(target)).first()
    if task is not None and (task.closed_at is not None or taxonomy is None or task.taxonomy_id != taxonomy.pk):
        raise Conflict(
            f"The sorting task {task.name!r} is closed or has another taxonomy.", field="cohort",
            hint="Use another name for the cohort.",
        )  # fmt: skip


def _require_cohort(name: str, target: Target, *, drawn: bool) -> Cohort | None:
    """The cohort if it is there; raises where it is for something else, or could not be made."""
    cohort = Cohort.objects.filter(name=name).first()
    if cohort is None:
        require_valid(Cohort(name=name, purpose=target.purpose))
        return None
    if cohort.purpose != target.purpose:
        raise Conflict(f"The cohort {name!r} is for {cohort.get_purpose_display().lower()}.", field="cohort")
    if cohort.synthetic != drawn:
        holds, has = ("phantoms", "people") if cohort.synthetic else ("people", "phantoms")
        raise Conflict(
            f"The cohort {name!r} holds {holds}, and the dataset has {has}.", field="cohort", hint="Use another name."
        )
    return cohort


def _cohort(actor: User | None, name: str, target: Target, *, drawn: bool) -> Cohort:
    found = _require_cohort(name, target, drawn=drawn)
    words = "Imported. PHANTOM: drawn images, not people." if drawn else "Imported."
    return found or cohort_create(
        actor=actor, name=name, purpose=target.purpose, description=words, synthetic=drawn
    )  # fmt: skip


def _require_free(plan: _Plan) -> None:
    """Codes that somebody else has would stop the import half-way."""
    wanted = {row.patient: row for row in plan.rows}
    for patient in Patient.objects.filter(code__in=list(wanted)).select_related("cohort"):
        require_live(patient)
        if patient.cohort.name != plan.names[wanted[patient.code].synthetic]:
            raise _taken(f"The patient code {patient.code!r} belongs to cohort {patient.cohort.name}.")
    slides = {row.slide: row for row in plan.rows}
    for slide in Slide.objects.filter(code__in=list(slides)).select_related("patient"):
        if slide.patient.code != slides[slide.code].patient:
            raise _taken(f"The slide code {slide.code!r} belongs to patient {slide.patient.code}.")


def _taken(message: str) -> Conflict:
    return Conflict(message, code="E_TAKEN", field="prefix", hint="Give a prefix that goes before every code.")


def _taxonomy(plan: _Plan) -> Taxonomy | None:
    """The version here with the labels of the dataset; None if the one that it brings along is not known here."""
    used = {row.label for row in plan.rows}
    paper = taxonomy_ensure()
    if plan.stated is not None:
        brought = read_taxonomy(plan.stated["labels"], plan.stated["maps"], version=1)
        _require_labels(used, brought.names, "The taxonomy that the dataset brings")
        return Taxonomy.objects.filter(sha256=brought.sha256).order_by("pk").first()
    fitting = (one for one in (paper, *Taxonomy.objects.order_by("-pk")) if used <= set(data_of(one).names))
    found = next(fitting, None)
    if found is None:
        _require_labels(used, data_of(paper).names, f"Taxonomy {paper}")
    return found


def _taxonomy_make(plan: _Plan, actor: User | None) -> Taxonomy:
    found = _taxonomy(plan)
    if found is not None or plan.stated is None:
        return found or taxonomy_ensure()
    return taxonomy_version_create(
        actor=actor, name=plan.stated["name"], labels=plan.stated["labels"], maps=plan.stated["maps"],
        note="Came with an imported dataset.",
    )  # fmt: skip


def _require_labels(used: set[str], known: Iterable[str], whose: str) -> None:
    if unknown := sorted(used - set(known)):
        raise DomainError(
            f"{whose} has no label {unknown[0][:40]!r}.", code="E_CLASS", field="label",
            hint=f"It has {', '.join(sorted(known))}. Make a taxonomy with the label first.",
        )  # fmt: skip


def _known_images(plan: _Plan) -> dict[tuple[str, str], tuple[int, str]]:
    """(slide code, SHA-256 as stored or as received) -> image that is there already, and its SHA-256 as stored."""
    images = HpfImage.objects.filter(slide__patient__cohort__name__in=list(plan.names.values()))
    known = {}
    for pk, slide, content, received in images.values_list("pk", "slide__code", "content_sha256", "received_sha256"):
        known[slide, received] = known[slide, content] = (pk, content)
    return known


def _prepare(plan: _Plan, read: Read, tell: Tell) -> dict[str, Prepared | int]:
    """File -> the image that is there already, or what is to be written of it.

    The pixels are on disk then, and only their hash is kept in memory. One picture of a slide cannot have two labels:
    whichever came last would be its truth.
    """
    known = _known_images(plan)
    prepared: dict[str, Prepared | int] = {}
    first: dict[tuple[str, str], Listed] = {}
    for done, row in enumerate(plan.rows, start=1):
        content = read(row.file)
        require_content(row, content)
        there = known.get((row.slide, hashlib.sha256(content).hexdigest()))
        if there is not None:
            prepared[row.file], stored = there
        else:
            one = _prepared(row, content)
            notes = (*read_notes(row.notes), *one.accepted.notes)
            prepared[row.file] = replace(one, accepted=replace(one.accepted, content=b"", notes=notes))
            stored = one.accepted.content_sha256
        same = first.setdefault((row.slide, stored), row)
        if same.label != row.label:
            raise BadDataset(
                f"{row.where}: it is the same picture of the same slide as {same.where}, with another label.",
                code="E_TRUTH_CONFLICT", hint="Leave out the line whose label is wrong.",
            )  # fmt: skip
        tell(done, 2 * len(plan.rows))
    return prepared


def _prepared(row: Listed, content: bytes) -> Prepared:
    """As `image_prepare`; a refusal says which line it is about."""
    try:
        return image_prepare(content, row.file.rsplit("/", 1)[-1], limits=LIMITS)
    except DomainError as error:
        if error.status >= 500:
            raise
        words = {"code": error.code, "hint": error.hint, "nameless": f"{row.where}: {error.nameless}"}
        raise DomainError(f"{row.where}: {error.message}", **words) from error


def _store(
    actor: User | None, plan: _Plan, cohorts: Mapping[bool, Cohort], prepared: Mapping[str, Prepared | int],
    tell: Tell, write: Callable[[], AbstractContextManager[Any]],
) -> tuple[dict[int, str], int]:  # fmt: skip
    """Rows, in chunks. Returns image id -> label, and how many are new."""
    labels: dict[int, str] = {}
    n_new, n = 0, len(plan.rows)
    for start in range(0, n, CHUNK):
        chunk = plan.rows[start : start + CHUNK]
        with write():
            for row in chunk:
                one = prepared[row.file]
                if isinstance(one, int):
                    labels[one] = row.label
                    continue
                added = image_store(
                    actor=actor, slide=_slide(actor, cohorts[row.synthetic], row), position=row.position,
                    prepared=replace(one, accepted=replace(
                        one.accepted, content=blobs().read(one.accepted.content_sha256))),
                )  # fmt: skip
                labels[added.image.pk] = row.label
                n_new += added.created
        tell(n + start + len(chunk), 2 * n)
    return labels, n_new


def _slide(actor: User | None, cohort: Cohort, row: Listed) -> Slide:
    note = "PHANTOM: synthetic, drawn." if row.synthetic else ""
    return slide_ensure(
        actor=actor, cohort=cohort, patient_code=row.patient, slide_code=row.slide, note=note, **row.acquisition
    )
