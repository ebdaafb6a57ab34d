"""The files of an exported dataset version: CSV and COCO, and a zip that is written while it is sent."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cases.manifests import canonical
from leukoweb.statistics.cells import safe_cell

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
    light: str
    slide_maker: str
    pixel_size_um: float | None
    capture_minutes: float | None
    synthetic: str  # "yes": drawn, not a picture of a person
    notes: str  # what was changed when the image came in: "CODE: words", joined by " | "


COLUMNS: Final = tuple(Exported.__dataclass_fields__)
_NOT_IN_COCO: Final = ("file", "label", "width_px", "height_px")  # COCO has keys of its own for these
INTEGERS: Final = ("position", "fold", "width_px", "height_px", "magnification")
FLOATS: Final = ("pixel_size_um", "capture_minutes")


def images_csv(rows: Iterable[Exported]) -> bytes:
    """UTF-8 with a mark, which Excel needs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([safe_cell("" if (v := getattr(row, name)) is None else v) for name in COLUMNS])
    return b"\xef\xbb\xbf" + buffer.getvalue().encode()


def csv_pieces(columns: Sequence[str], rows: Iterable[Sequence[Sequence[Any]]]) -> Iterator[bytes]:
    """A table whose rows come in pieces, as ``images_csv`` writes one."""
    yield b"\xef\xbb\xbf" + _lines([columns])
    for piece in rows:
        yield _lines(piece)


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows([safe_cell(cell) for cell in row] for row in rows)
    return buffer.getvalue().encode()


def coco(rows: Sequence[Exported], *, description: str) -> bytes:
    """Image-level labels as COCO: one annotation over the whole image; the other columns of the CSV are extra keys."""
    labels = sorted({row.label for row in rows})
    ids = {label: at for at, label in enumerate(labels, start=1)}
    images = [
        {"id": at, "file_name": row.file, "width": row.width_px, "height": row.height_px}
        | {name: getattr(row, name) for name in COLUMNS if name not in _NOT_IN_COCO}
        for at, row in enumerate(rows, start=1)
    ]
    annotations = [
        {"id": at, "image_id": at, "category_id": ids[row.label], "bbox": [0, 0, row.width_px, row.height_px],
         "area": row.width_px * row.height_px, "iscrowd": 0}
        for at, row in enumerate(rows, start=1)
    ]  # fmt: skip
    categories = [{"id": at, "name": label} for label, at in ids.items()]
    info = {"description": description}
    return canonical({"info": info, "images": images, "annotations": annotations, "categories": categories})


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


def zip_stream(files: Iterable[tuple[str, Callable[[], bytes | Iterator[bytes]]]]) -> Iterator[bytes]:
    """A zip of (name, read) pairs, one file in memory at a time, or one piece of a file that comes in pieces; images
    are stored as they are, everything else is deflated."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", allowZip64=True) as archive:
        for name, read in files:
            info = zipfile.ZipInfo(name, date_time=_DATE)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if name.startswith("images/") else zipfile.ZIP_DEFLATED
            content = read()
            if isinstance(content, bytes):
                archive.writestr(info, content)
            else:
                with archive.open(info, "w", force_zip64=True) as member:
                    for piece in content:
                        member.write(piece)
                        if len(pipe.waiting) >= _BUFFER_BYTES:
                            yield pipe.take()
            if len(pipe.waiting) >= _BUFFER_BYTES:
                yield pipe.take()
    yield pipe.take()
