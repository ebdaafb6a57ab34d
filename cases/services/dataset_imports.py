"""Taking an exported dataset in: cohort, patients, slides, images, and the labels as imported decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cases.dataset_files import Listed, Read, listed_images, opened, require_content
from cases.models import Cohort, HpfImage, SortingTask, Taxonomy
from cases.services.cohorts import cohort_create
from cases.services.images import image_add
from cases.services.label_imports import labels_import
from cases.services.taxonomies import data_of
from cases.services.uploads import slide_ensure
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User


def dataset_import(
    *, actor: User | None, path: Path, cohort_name: str, taxonomy: Taxonomy, purpose: str = "development",
    prefix: str = "", tell: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Cohort, SortingTask, int]:  # fmt: skip
    """Import a folder or zip. Returns the cohort, the task with the labels and how many images are new.

    Everything is checked before anything is written; images that are there already are left alone, so that a stopped
    import can be run again. ``prefix`` goes before every patient and slide code, where codes are taken.

    Raises
    ------
    BadDataset
        A list or file that cannot be used (`cases.dataset_files`).
    DomainError
        A label that the taxonomy has not.
    Conflict
        A patient or slide code belongs to another cohort, or the cohort has another purpose.
    """
    with opened(path) as (names, read):
        rows = listed_images(names, read)
        known = set(data_of(taxonomy).names)
        if unknown := sorted({row.label for row in rows} - known):
            raise DomainError(
                f"Taxonomy {taxonomy} has no label {unknown[0][:40]!r}.", code="E_CLASS", field="label",
                hint=f"It has {', '.join(sorted(known))}.",
            )  # fmt: skip
        cohort = Cohort.objects.filter(name=cohort_name).first()
        if cohort is not None and cohort.purpose != purpose:
            raise Conflict(f"The cohort {cohort_name!r} is for {cohort.get_purpose_display().lower()}.", field="cohort")
        cohort = cohort or cohort_create(actor=actor, name=cohort_name, purpose=purpose)
        labels: dict[int, str] = {}
        before = HpfImage.objects.filter(slide__patient__cohort=cohort).count()
        for done, row in enumerate(rows, start=1):
            labels[_take_in(actor, cohort, row, read, prefix).pk] = row.label
            tell(done, len(rows))
    name = f"Labels of {cohort.name}"[:80]
    task = labels_import(actor=actor, name=name, cohorts=[cohort], taxonomy=taxonomy, labels=labels)
    return cohort, task, HpfImage.objects.filter(slide__patient__cohort=cohort).count() - before


def _take_in(actor: User | None, cohort: Cohort, row: Listed, read: Read, prefix: str) -> HpfImage:
    content = read(row.file)
    require_content(row, content)
    slide = slide_ensure(
        actor=actor, cohort=cohort, patient_code=f"{prefix}{row.patient}", slide_code=f"{prefix}{row.slide}",
        camera=row.camera, microscope=row.microscope, stain=row.stain,
    )  # fmt: skip
    name = row.file.rsplit("/", 1)[-1]
    return image_add(actor=actor, slide=slide, data=content, name=name, position=row.position).image
