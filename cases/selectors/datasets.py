"""Reading dataset versions: the list, one version, its images, what training needs of it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import F, QuerySet

from cases.manifests import LeftOut, Line, left_out_of, rows_of
from cases.models import DatasetEntry, DatasetVersion
from cases.taxonomy import ClassMap
from cases.taxonomy_data import read_taxonomy
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.storage import blobs

LINE_FIELDS = ("patient_code", "slide_code", "content_sha256", "label", "split", "fold")  # as a manifest's line


@dataclass(frozen=True)
class Entry:
    """One image of a version as training reads it; the pixels are the blob ``content_sha256``."""

    content_sha256: str
    patient: str
    slide: str
    label: str
    split: str
    fold: int


def dataset_list() -> QuerySet[DatasetVersion]:
    """The newest first. 1 query."""
    return DatasetVersion.objects.select_related("taxonomy", "created_by").order_by("-id")


def dataset_get(public_id: uuid.UUID | str) -> DatasetVersion:
    try:
        version = dataset_list().filter(public_id=uuid.UUID(str(public_id))).first()
    except ValueError:
        version = None
    if version is None:
        raise NotFound("There is no such dataset version.", hint="Go back to the list.")
    return version


def dataset_named(text: str) -> DatasetVersion:
    """By ``name`` (its newest version) or ``name:version``; for the command line."""
    name, _, number = text.rpartition(":")
    numbered = name and number.isdecimal() and len(number) <= 9
    rows = dataset_list().filter(name=name, version=int(number)) if numbered else None
    version = (rows.first() if rows is not None else None) or dataset_list().filter(name=text).first()
    if version is None:
        known = ", ".join(f"{v.name}:{v.version}" for v in dataset_list()[:20]) or "none yet"
        raise NotFound(f"There is no dataset version {text[:80]!r}.", hint=f"Known: {known}.")
    return version


def dataset_rows(version: DatasetVersion) -> QuerySet[DatasetEntry]:
    """The images of a version whose patients were not withdrawn since, in manifest order."""
    return version.entries.filter(patient__withdrawn_at=None).order_by("number")


def dataset_entries(version: DatasetVersion) -> list[Entry]:
    """The images that may be used: a patient who was withdrawn after the freeze is not among them. 1 query."""
    fields = ("content_sha256", "patient_code", "slide_code", "label", "split", "fold")
    return [Entry(*values) for values in dataset_rows(version).values_list(*fields)]


def dataset_withdrawn(version: DatasetVersion) -> int:
    """Images that are gone because their patient was withdrawn after the freeze. 1 query."""
    return version.entries.exclude(patient__withdrawn_at=None).count()


def dataset_moved(version: DatasetVersion) -> QuerySet[DatasetEntry]:
    """Images that were moved to another patient after the freeze: the version still counts them as the first one's.

    They may stand on the wrong side of the split, so nothing is trained, judged or exported with them. 1 query.
    """
    return dataset_rows(version).exclude(image__slide__patient=F("patient"))


def dataset_class_map(version: DatasetVersion) -> ClassMap:
    """The map that the version was frozen with."""
    taxonomy = version.taxonomy
    return read_taxonomy(taxonomy.labels, taxonomy.maps, version=taxonomy.version).maps[version.class_map]


def manifest_lines(version: DatasetVersion) -> list[Line]:
    """All images as frozen, from the rows."""
    return [Line(*values) for values in version.entries.order_by("number").values_list(*LINE_FIELDS)]


def patients_recoded(first: DatasetVersion, second: DatasetVersion) -> dict[str, str]:
    """Code in the first version -> code in the second, of patients of both who got another one between. 2 queries."""
    codes = [dict(v.entries.order_by().values_list("patient_id", "patient_code").distinct()) for v in (first, second)]
    return {code: codes[1][pk] for pk, code in codes[0].items() if codes[1].get(pk, code) != code}


def _rows(version: DatasetVersion) -> list[list[Any]]:
    """As `manifest_lines`, as plain rows: hundreds of thousands are only compared."""
    return list(map(list, version.entries.order_by("number").values_list(*LINE_FIELDS)))


def manifest_bytes(version: DatasetVersion) -> bytes:
    """The stored manifest; its SHA-256 is the version's hash. Raises `NotFound` if the file is missing."""
    return blobs().read(version.manifest_sha256)


def left_out(version: DatasetVersion) -> list[LeftOut]:
    """Images of the chosen cohorts that the version has not, with the step that took them out."""
    return left_out_of(manifest_bytes(version))


def dataset_problems_known(version: DatasetVersion) -> Sequence[str]:
    """As `dataset_problems`, for pages: what was found sound is not compared again for an hour.

    Rows cannot be changed (triggers) and their number is counted; a manifest that was touched is read again.
    """
    try:
        file = blobs().path(version.manifest_sha256).stat()
    except OSError:
        return dataset_problems(version)
    key = f"dataset-sound:{version.pk}:{file.st_mtime_ns}:{file.st_size}:{version.entries.count()}"
    if cache.get(key):
        return []
    problems = dataset_problems(version)
    if not problems:
        cache.set(key, True, 3600)
    return problems


def dataset_problems(version: DatasetVersion) -> Sequence[str]:
    """What differs between a version's rows and its manifest; empty if nothing does."""
    try:
        content = manifest_bytes(version)
    except DomainError as error:
        return [error.message]
    problems = []
    if hashlib.sha256(content).hexdigest() != version.manifest_sha256:
        problems.append("the stored manifest no longer has the version's hash")
    if rows_of(content) != _rows(version):
        problems.append("the rows of the version are not those of its manifest")
    return problems
