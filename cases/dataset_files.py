"""Reading an exported dataset (a folder or a zip): its images with patient, slide and label.

Read is ``images.csv`` where there is one, otherwise every COCO file whose images name a ``patient``. A list without
patients is refused: it could not be split without leaking.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from cases.archives import ZipLimits, read_zip
from leukoweb.core.exceptions import DomainError
from leukoweb.statistics.cells import FORMULA_STARTS

NEEDED: Final = ("file", "patient", "slide", "label")
MAX_TABLE_BYTES: Final = 200_000_000
ZIP_LIMITS: Final = ZipLimits(
    members=200_000, member_bytes=MAX_TABLE_BYTES, total_bytes=200_000_000_000, directory_bytes=64_000_000
)
Read = Callable[[str], bytes]


class BadDataset(DomainError):
    code = "E_DATASET_FILES"


@dataclass(frozen=True)
class Listed:
    """One image of the list; what the list does not say is empty or None."""

    file: str
    patient: str
    slide: str
    label: str
    position: int | None
    content_sha256: str
    synthetic: bool
    notes: str
    acquisition: Mapping[str, Any]  # of its slide: only what is known


_TEXTS: Final = ("camera", "microscope", "stain", "light", "slide_maker")
_NUMBERS: Final[Mapping[str, Callable[[str], float]]] = {
    "magnification": int, "pixel_size_um": float, "capture_minutes": float,
}  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[tuple[list[str], Read]]:
    """(names, read a file) of a folder or zip; raises `BadDataset` or `ZipRefused` for anything else."""
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
        yield names, lambda name: (path / name).read_bytes()
    elif path.is_file():
        with path.open("rb") as file:
            contents = read_zip(file, limits=ZIP_LIMITS)
            yield contents.paths, contents.read
    else:
        raise BadDataset(f"{str(path)!r} is neither a folder nor a zip archive.", hint="Give what export_dataset made.")


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
    if not rows:
        raise BadDataset("The list names no image.", hint="Give what export_dataset made.")
    _require_consistent(rows)
    return rows


def _require_consistent(rows: list[Listed]) -> None:
    """A slide has one patient and one acquisition; a patient is drawn or a person, never both."""
    slides: dict[str, Listed] = {}
    patients: dict[str, Listed] = {}
    for row in rows:
        first = slides.setdefault(row.slide, row)
        if first.patient != row.patient:
            raise BadDataset(f"{row.file}: the slide {row.slide!r} belongs to {first.patient!r} and {row.patient!r}.")
        if differing := sorted(dict(set(first.acquisition.items()) ^ set(row.acquisition.items()))):
            raise BadDataset(f"{row.file}: {differing[0]} of the slide {row.slide!r} differs from an earlier line's.")
        if patients.setdefault(row.patient, row).synthetic != row.synthetic:
            raise BadDataset(f"{row.file}: the patient {row.patient!r} is drawn in one line and a person in another.")


def stated_taxonomy(names: list[str], read: Read) -> Mapping[str, Any] | None:
    """``taxonomy.json`` of an export: {name, labels, maps}; None if the dataset has none."""
    if "taxonomy.json" not in names:
        return None
    try:
        body = json.loads(read("taxonomy.json"))
        labels = [{str(k): _words(v) for k, v in label.items()} for label in body["labels"]]
        maps = {name: _map(one) for name, one in body["maps"].items()}
        return {"name": _words(body["name"]), "labels": labels, "maps": maps}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadDataset(f"taxonomy.json is not what export_dataset writes ({error!r}).") from error


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def _map(body: Mapping[str, Any]) -> dict[str, Any]:
    """``classes`` may be left out; then they follow from ``by_label``."""
    by_label = {label: _words(name) for label, name in body["by_label"].items()}
    classes = {"classes": [_words(name) for name in body["classes"]]} if "classes" in body else {}
    return {"by_label": by_label, **classes}


def _listed(row: Mapping[str, Any]) -> Listed:
    position, synthetic = str(row.get("position") or ""), _text(row, "synthetic").lower()
    file = str(row.get("file") or "")
    if synthetic not in ("", "no", "yes"):
        raise BadDataset(f"{file[:200]}: synthetic is {synthetic[:40]!r}.", hint="Write yes or no.")
    acquisition: dict[str, Any] = {name: text for name in _TEXTS if (text := _text(row, name))}
    for name, number in _NUMBERS.items():
        if text := _text(row, name):
            try:
                acquisition[name] = number(text)
                if not math.isfinite(acquisition[name]):
                    raise ValueError(text)
            except ValueError as error:
                raise BadDataset(f"{file[:200]}: {name} is {text[:40]!r}, which is no number.") from error
    return Listed(
        file=file, patient=_text(row, "patient"), slide=_text(row, "slide"), label=_text(row, "label"),
        position=int(position) or None if len(position) <= 9 and position.isdecimal() else None,
        content_sha256=_text(row, "content_sha256"), synthetic=synthetic == "yes", notes=_text(row, "notes"),
        acquisition=acquisition,
    )  # fmt: skip


def _text(row: Mapping[str, Any], name: str) -> str:
    """An apostrophe that the export put before a formula is taken off again."""
    value = str(row.get(name) or "").strip()
    return value[1:] if value[:1] == "'" and value[1:].startswith(FORMULA_STARTS) else value


def _from_csv(content: bytes) -> list[Listed]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
        missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise BadDataset(f"images.csv has no column {missing[0]!r}.", hint=f"Needed are {', '.join(NEEDED)}.")
        return _bounded(_listed(row) for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadDataset(f"images.csv cannot be read: {error}.", hint="Save it as UTF-8 CSV with commas.") from error


def _from_coco(name: str, content: bytes) -> list[Listed]:
    try:
        body = json.loads(content)
        labels = {row["id"]: row["name"] for row in body["categories"]}
        given = {row["image_id"]: labels[row["category_id"]] for row in body["annotations"]}
        rows = ({**row, "file": row["file_name"], "label": given.get(row["id"], "")} for row in body["images"])
        return _bounded(_listed(row) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        raise BadDataset(f"{name} is not the COCO file that it should be ({error!r}).") from error


def _bounded(rows: Iterable[Listed]) -> list[Listed]:
    """No more lines than an archive may have files: a list that is packed small must not fill the memory."""
    found: list[Listed] = []
    for row in rows:
        if len(found) == ZIP_LIMITS.members:
            raise BadDataset(f"The list names more than {ZIP_LIMITS.members:,} images.", hint="Import it in parts.")
        found.append(row)
    return found


def require_content(row: Listed, content: bytes) -> None:
    """Raises `BadDataset` where the list names another SHA-256 than the file has."""
    found = hashlib.sha256(content).hexdigest()
    if row.content_sha256 and row.content_sha256 != found:
        raise BadDataset(
            f"{row.file} is not the image that the list names (SHA-256 {found[:12]}, not {row.content_sha256[:12]}).",
            hint="Export the dataset again.",
        )
