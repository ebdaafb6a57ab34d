"""The files of an exported dataset version: CSV, COCO and Croissant, and a zip that is written while it is sent."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cases.manifests import canonical

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_DATE: Final = (2000, 1, 1, 0, 0, 0)  # the same version gives the same bytes
_BUFFER_BYTES: Final = 1 << 18


@dataclass(frozen=True)
class Exported:
    """One image with everything that is told about it."""

    file: str
    patient: str
    slide: str
    position: int
    label: str
    class_name: str
    split: str
    fold: int
    content_sha256: str
    width_px: int
    height_px: int
    camera: str
    microscope: str
    stain: str
    magnification: int | None


COLUMNS: Final = tuple(Exported.__dataclass_fields__)


def safe_cell(value: Any) -> Any:
    """A text that a spreadsheet would compute gets an apostrophe before it (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def images_csv(rows: Iterable[Exported]) -> bytes:
    """UTF-8 with a mark, which Excel needs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([safe_cell("" if (v := getattr(row, name)) is None else v) for name in COLUMNS])
    return b"\xef\xbb\xbf" + buffer.getvalue().encode()


def coco(rows: Sequence[Exported], *, description: str) -> bytes:
    """Image-level labels as COCO: one annotation over the whole image; patient and slide are extra keys of an image."""
    labels = sorted({row.label for row in rows})
    ids = {label: at for at, label in enumerate(labels, start=1)}
    images = [
        {"id": at, "file_name": row.file, "width": row.width_px, "height": row.height_px, "patient": row.patient,
         "slide": row.slide, "position": row.position, "content_sha256": row.content_sha256, "split": row.split,
         "fold": row.fold,
         "camera": row.camera, "microscope": row.microscope, "stain": row.stain}
        for at, row in enumerate(rows, start=1)
    ]  # fmt: skip
    annotations = [
        {"id": at, "image_id": at, "category_id": ids[row.label], "bbox": [0, 0, row.width_px, row.height_px],
         "area": row.width_px * row.height_px, "iscrowd": 0}
        for at, row in enumerate(rows, start=1)
    ]  # fmt: skip
    categories = [{"id": at, "name": label} for label, at in ids.items()]
    info = {"description": description}
    return canonical({"info": info, "images": images, "annotations": annotations, "categories": categories})


def croissant(*, name: str, version: str, csv_bytes: bytes, description: str) -> bytes:
    """Croissant 1.0 metadata (mlcommons.org/croissant) that points at ``images.csv`` and the image files."""
    fields = [
        {"@type": "cr:Field", "@id": f"images/{column}", "name": column,
         "dataType": "sc:Integer" if column in ("position", "fold", "width_px", "height_px") else "sc:Text",
         "source": {"fileObject": {"@id": "images.csv"}, "extract": {"column": column}}}
        for column in COLUMNS
    ]  # fmt: skip
    body: Mapping[str, Any] = {
        "@context": {"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
                     "cr": "http://mlcommons.org/croissant/", "dct": "http://purl.org/dc/terms/",
                     "conformsTo": "dct:conformsTo", "recordSet": "cr:recordSet", "field": "cr:field",
                     "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "source": "cr:source",
                     "extract": "cr:extract", "column": "cr:column", "fileObject": "cr:fileObject",
                     "fileSet": "cr:fileSet", "includes": "cr:includes"},
        "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0", "name": name, "version": version,
        "description": description,
        "distribution": [
            {"@type": "cr:FileObject", "@id": "images.csv", "name": "images.csv", "contentUrl": "images.csv",
             "encodingFormat": "text/csv", "sha256": hashlib.sha256(csv_bytes).hexdigest()},
            {"@type": "cr:FileSet", "@id": "image-files", "name": "image-files", "includes": "images/**",
             "encodingFormat": "image/*"},
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "images", "name": "images", "field": fields}],
    }  # fmt: skip
    return canonical(body)


class _Pipe(io.RawIOBase):
    """What zipfile writes into and the response reads from; it cannot seek."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.waiting += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self.waiting)
        self.waiting.clear()
        return data


def zip_stream(files: Iterable[tuple[str, Callable[[], bytes]]]) -> Iterator[bytes]:
    """A zip of (name, read) pairs, one file in memory at a time; images are stored as they are, text is deflated."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", allowZip64=True) as archive:
        for name, read in files:
            info = zipfile.ZipInfo(name, date_time=_DATE)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if name.startswith("images/") else zipfile.ZIP_DEFLATED
            archive.writestr(info, read())
            if len(pipe.waiting) >= _BUFFER_BYTES:
                yield pipe.take()
    yield pipe.take()
