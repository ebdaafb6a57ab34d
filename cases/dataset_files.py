"""Reading an exported dataset (a folder or a zip): its images with patient, slide and label.

Read is ``images.csv`` where there is one, otherwise every COCO file whose images name a ``patient``. A list without
patients is refused: it could not be split without leaking.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from leukoweb.core.exceptions import DomainError

NEEDED: Final = ("file", "patient", "slide", "label")
MAX_TABLE_BYTES: Final = 200_000_000
MAX_IMAGE_BYTES: Final = 100_000_000
Read = Callable[[str], bytes]


class BadDataset(DomainError):
    code = "E_DATASET_FILES"


@dataclass(frozen=True)
class Listed:
    """One image of the list; `content_sha256` and acquisition fields are empty where the list does not say."""

    file: str
    patient: str
    slide: str
    label: str
    position: int | None
    content_sha256: str
    camera: str
    microscope: str
    stain: str


@contextmanager
def opened(path: Path) -> Iterator[tuple[list[str], Read]]:
    """(names, read a file) of a folder or zip; raises `BadDataset` for anything else."""
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
        yield names, lambda name: (path / name).read_bytes()
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield [info.filename for info in archive.infolist() if not info.is_dir()], lambda n: _member(archive, n)
    else:
        raise BadDataset(f"{str(path)!r} is neither a folder nor a zip archive.", hint="Give what export_dataset made.")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    limit = MAX_IMAGE_BYTES if name.startswith("images/") else MAX_TABLE_BYTES
    if archive.getinfo(name).file_size > limit:
        raise BadDataset(f"{name} is larger than {limit // 1_000_000} MB.")
    return archive.read(name)


def listed_images(names: list[str], read: Read) -> list[Listed]:
    """The list of a dataset, checked: every file is there, inside the dataset, named once, with patient and label."""
    tables = [name for name in names if name == "images.csv"]
    cocos = [name for name in names if name.endswith(".json") and PurePosixPath(name).parts[0] == "coco"]
    if not tables and not cocos:
        raise BadDataset("There is no images.csv and no coco/*.json.", hint="Give what export_dataset made.")
    rows = _from_csv(read(tables[0])) if tables else [row for name in cocos for row in _from_coco(name, read(name))]
    known, seen = set(names), set[str]()
    for at, row in enumerate(rows, start=2):
        where = f"line {at}" if tables else row.file
        if row.file not in known:
            raise BadDataset(f"{where}: the file {row.file[:200]!r} is not there.")
        if row.file in seen:
            raise BadDataset(f"{where}: the file {row.file[:200]!r} is listed twice.")
        if not row.patient or not row.slide or not row.label:
            raise BadDataset(
                f"{where}: an image needs a patient, a slide and a label.",
                hint="Without patients a dataset cannot be split without leaking.",
            )
        seen.add(row.file)
    return rows


def _listed(row: Mapping[str, Any]) -> Listed:
    position = str(row.get("position") or "")
    return Listed(
        file=str(row.get("file") or ""), patient=_text(row, "patient"), slide=_text(row, "slide"),
        label=_text(row, "label"), position=int(position) if position.isdigit() and int(position) > 0 else None,
        content_sha256=_text(row, "content_sha256"), camera=_text(row, "camera"),
        microscope=_text(row, "microscope"), stain=_text(row, "stain"),
    )  # fmt: skip


def _text(row: Mapping[str, Any], name: str) -> str:
    """An apostrophe that the export put before a formula is taken off again."""
    value = str(row.get(name) or "").strip()
    return value[1:] if value[:1] == "'" and value[1:2] in ("=", "+", "-", "@") else value


def _from_csv(content: bytes) -> list[Listed]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise BadDataset(f"images.csv has no column {missing[0]!r}.", hint=f"Needed are {', '.join(NEEDED)}.")
        return [_listed(row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadDataset(f"images.csv cannot be read: {error}.", hint="Save it as UTF-8 CSV with commas.") from error


def _from_coco(name: str, content: bytes) -> list[Listed]:
    try:
        body = json.loads(content)
        labels = {row["id"]: row["name"] for row in body["categories"]}
        given = {row["image_id"]: labels[row["category_id"]] for row in body["annotations"]}
        return [_listed({**row, "file": row["file_name"], "label": given.get(row["id"], "")}) for row in body["images"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadDataset(f"{name} is not the COCO file that it should be ({error!r}).") from error


def require_content(row: Listed, content: bytes) -> None:
    """Raises `BadDataset` where the list names another SHA-256 than the file has."""
    found = hashlib.sha256(content).hexdigest()
    if row.content_sha256 and row.content_sha256 != found:
        raise BadDataset(
            f"{row.file} is not the image that the list names (SHA-256 {found[:12]}, not {row.content_sha256[:12]}).",
            hint="Export the dataset again.",
        )
