"""A dataset version as files: image folders or COCO, each with a CSV, the manifest and Croissant metadata."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

from django.db.models import F

from cases.croissant import croissant
from cases.exporting import Exported, coco, images_csv, zip_stream
from cases.image_notes import written
from cases.manifests import canonical
from cases.models import DatasetVersion
from cases.selectors.datasets import (
    dataset_class_map,
    dataset_moved,
    dataset_rows,
    dataset_withdrawn,
    manifest_bytes,
)
from cases.services.exposures import exposures_record
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from leukoweb.core.storage import blobs
from leukoweb.core.words import counted

LAYOUTS = {"folders": "Image folders and CSV", "coco": "COCO and CSV"}
_ENDINGS = {"JPEG": "jpg", "PNG": "png"}


def export_name(version: DatasetVersion, layout: str) -> str:
    """A file name of plain characters."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", version.name).strip("-.") or "dataset"
    return f"{words}-{version.version}-{layout}.zip"


def dataset_export(*, actor: User | None, version: DatasetVersion, layout: str = "folders") -> Iterator[bytes]:
    """The zip of a version in pieces, as it is made. Patients withdrawn since the freeze are not in it, nor images
    that were moved to another patient: a slide would have two.

    ``folders``: ``images/<split>/<label>/``; ``coco``: ``images/<split>/`` with ``coco/<split>.json``. Both have
    ``images.csv``, ``manifest.json`` (whose SHA-256 is the version's), ``taxonomy.json`` and ``croissant.json``.

    Raises
    ------
    DomainError
        An unknown layout.
    Conflict
        Stored files are missing. In a bucket that is found out on the way, and the stream ends with an error.
    """
    if layout not in LAYOUTS:
        raise DomainError(
            f"{layout[:40]!r} is not a layout.", field="layout", hint=f"Choose one of {', '.join(LAYOUTS)}."
        )
    rows = _rows(version, layout)
    if lost := blobs().lost(row.content_sha256 for row in rows):
        raise Conflict(
            f"Of {counted(len(rows), 'image')} {len(lost)} cannot be exported: the stored file is missing.",
            code="E_FILE_MISSING", hint="Tell your admin: `manage.py verify_media` names the files; a backup has them.",
        )  # fmt: skip
    labels_seen(actor, version)
    audit_record(
        actor=actor, action="dataset.export", target=f"dataset:{version.pk}",
        data={"version": str(version), "layout": layout, "n_images": len(rows)},
    )  # fmt: skip
    return zip_stream(_files(version, layout, rows))


def labels_seen(actor: User | None, version: DatasetVersion) -> None:
    """Record that a person gets to see the label of every image of a version."""
    if actor is not None:
        exposures_record(actor, set(version.entries.values_list("patient_id", flat=True)), "label")


def _rows(version: DatasetVersion, layout: str) -> list[Exported]:
    class_map = dataset_class_map(version)
    found = dataset_rows(version).filter(image__slide__patient=F("patient"))
    entries = list(found.select_related("image__slide__device", "patient__cohort"))
    slides: dict[str, set[int]] = defaultdict(set)
    for entry in entries:
        slides[entry.slide_code].add(entry.image.slide_id)
    exported = []
    for entry in entries:
        image, slide = entry.image, entry.image.slide
        folder = f"images/{entry.split}/{entry.label}" if layout == "folders" else f"images/{entry.split}"
        device = slide.device
        exported.append(
            Exported(
                file=f"{folder}/{entry.number:05d}.{_ENDINGS[image.format]}",
                patient=entry.patient_code, position=image.position, label=entry.label,
                # A slide whose images went apart has two acquisitions, which no import takes: then by today's codes.
                slide=entry.slide_code if len(slides[entry.slide_code]) == 1 else slide.code,
                class_name=class_map(entry.label), split=entry.split, fold=entry.fold,
                content_sha256=entry.content_sha256, width_px=image.width_px, height_px=image.height_px,
                camera=device.camera if device else "", microscope=device.microscope if device else "",
                stain=slide.stain, magnification=slide.magnification, light=slide.light, slide_maker=slide.slide_maker,
                pixel_size_um=slide.pixel_size_um, capture_minutes=slide.capture_minutes,
                synthetic="yes" if entry.patient.cohort.synthetic else "no", notes=written(image.notes),
            )
        )  # fmt: skip
    return exported


def _files(version: DatasetVersion, layout: str, rows: list[Exported]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    words = _words(version, rows)
    table = images_csv(rows)
    yield "README.txt", lambda: words.encode()
    yield "images.csv", lambda: table
    yield "manifest.json", lambda: manifest_bytes(version)
    yield "taxonomy.json", partial(_taxonomy, version)
    meta = croissant(
        name=version.name, version=version.version, csv_bytes=table, description=words,
        published=version.created_at.date().isoformat(), manifest_sha256=version.manifest_sha256,
    )  # fmt: skip
    yield "croissant.json", lambda: meta
    if layout == "coco":
        for split in ("train", "internal"):
            part = [row for row in rows if row.split == split]
            yield f"coco/{split}.json", partial(coco, part, description=f"{version}, {split}")
    for row in rows:
        yield row.file, partial(blobs().read, row.content_sha256)


def _taxonomy(version: DatasetVersion) -> bytes:
    """The labels and maps, so that another installation can read labels which it does not know yet."""
    taxonomy = version.taxonomy
    return canonical({"name": taxonomy.name, "version": taxonomy.version, "sha256": taxonomy.sha256,
                      "labels": taxonomy.labels, "maps": taxonomy.maps})  # fmt: skip


def _words(version: DatasetVersion, rows: list[Exported]) -> str:
    gone, moved = dataset_withdrawn(version), dataset_moved(version).count()
    lines = [
        f"Dataset {version}: {counted(len(rows), 'image')}. Research use only. Not for diagnosis.",
        f"SHA-256 of manifest.json: {version.manifest_sha256}",
        f"Taxonomy {version.taxonomy}, class map {version.class_map}.",
    ]
    if version.synthetic:
        lines.append("PHANTOM: drawn images, not people.")
    if gone:
        lines.append(f"{gone} images of the manifest are missing: their patients were withdrawn after the freeze.")
    if moved:
        lines.append(f"{moved} images of the manifest are missing: they were moved to another patient since.")
    return "\n".join(lines) + "\n"
