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
from dataclasses import dataclass, field
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
    """Names a line of the list, never what stands there: a job keeps and logs the words, and names may be people's."""

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
    where: str = field(default="", compare=False)  # for messages


_UNEXPECTED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_KEYS: Final = frozenset(
    ("categories", "annotations", "images", "id", "name", "image_id", "category_id", "file_name", "labels", "maps",
     "by_label")
)  # fmt: skip
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
    if tables:
        rows = _from_csv(read(tables[0]))
    else:
        by_name = enumerate(sorted(cocos), start=1)
        rows = [row for n, name in by_name for row in _from_coco(f"COCO file {n} by name", read(name))]
    known, seen = set(names), dict[str, str]()
    for row in rows:
        if row.file not in known:
            raise BadDataset(f"{row.where}: the file that it names is not there.")
        if row.file in seen:
            raise BadDataset(f"{row.where}: its file is listed twice, first at {seen[row.file]}.")
        if not row.patient or not row.slide or not row.label:
            raise BadDataset(
                f"{row.where}: an image needs a patient, a slide and a label.",
                hint="Without patients a dataset cannot be split without leaking.",
            )
        seen[row.file] = row.where
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
            raise BadDataset(f"{row.where}: its slide belongs to another patient at {first.where}.")
        if differing := sorted(dict(set(first.acquisition.items()) ^ set(row.acquisition.items()))):
            raise BadDataset(f"{row.where}: {differing[0]} of its slide differs from that at {first.where}.")
        same = patients.setdefault(row.patient, row)
        if same.synthetic != row.synthetic:
            raise BadDataset(f"{row.where}: its patient is drawn here and a person at {same.where}, or the reverse.")


def stated_taxonomy(names: list[str], read: Read) -> Mapping[str, Any] | None:
    """``taxonomy.json`` of an export: {name, labels, maps}; None if the dataset has none."""
    if "taxonomy.json" not in names:
        return None
    try:
        body = json.loads(read("taxonomy.json"))
        labels = [{str(k): _words(v) for k, v in label.items()} for label in body["labels"]]
        maps = {name: _map(one) for name, one in body["maps"].items()}
        return {"name": _words(body["name"]), "labels": labels, "maps": maps}
    except _UNEXPECTED as error:
        raise BadDataset(f"taxonomy.json is not what export_dataset writes ({_reason(error)}).") from error


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text is expected")
    return value


def _map(body: Mapping[str, Any]) -> dict[str, Any]:
    """``classes`` may be left out; then they follow from ``by_label``."""
    by_label = {label: _words(name) for label, name in body["by_label"].items()}
    classes = {"classes": [_words(name) for name in body["classes"]]} if "classes" in body else {}
    return {"by_label": by_label, **classes}


def _reason(error: Exception) -> str:
    """What is wrong with a JSON file, without anything that stands in it but the keys that belong there."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing" if error.args[0] in _KEYS else "it names what it does not define"
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a value is of another kind than expected"


def _listed(row: Mapping[str, Any], where: str) -> Listed:
    position, synthetic = str(row.get("position") or ""), _text(row, "synthetic").lower()
    if synthetic not in ("", "no", "yes"):
        raise BadDataset(f"{where}: synthetic is neither yes nor no.", hint="Write yes or no.")
    acquisition: dict[str, Any] = {name: text for name in _TEXTS if (text := _text(row, name))}
    for name, number in _NUMBERS.items():
        if text := _text(row, name):
            try:
                acquisition[name] = number(text)
                if not math.isfinite(acquisition[name]):
                    raise ValueError(text)
            except (ValueError, OverflowError) as error:
                raise BadDataset(f"{where}: {name} is no number, or none that can be.") from error
    return Listed(
        where=where, file=str(row.get("file") or ""),
        patient=_text(row, "patient"), slide=_text(row, "slide"), label=_text(row, "label"),
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
        return _bounded(_listed(row, f"line {reader.line_num}") for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadDataset(f"images.csv cannot be read: {error}.", hint="Save it as UTF-8 CSV with commas.") from error


def _from_coco(which: str, content: bytes) -> list[Listed]:
    try:
        body = json.loads(content)
        labels = {row["id"]: row["name"] for row in body["categories"]}
        given = {row["image_id"]: labels[row["category_id"]] for row in body["annotations"]}
        rows = ({**row, "file": row["file_name"], "label": given.get(row["id"], "")} for row in body["images"])
        return _bounded(_listed(row, f"{which}, image {at}") for at, row in enumerate(rows, start=1))
    except _UNEXPECTED as error:
        raise BadDataset(f"{which} is not the COCO file that it should be ({_reason(error)}).") from error


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
            f"{row.where}: the file is not the image that the list names (its SHA-256 begins with {found[:12]}).",
            hint="Export the dataset again.",
        )
