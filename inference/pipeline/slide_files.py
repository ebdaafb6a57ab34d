"""Files and folders as one slide: what is taken in, what is refused, what came twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cases.imaging import ImageRefused, accept_image

#: Suffixes looked for in a folder; a file that is named itself is tried whatever its suffix.
IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class SlideImage:
    """An accepted image: ``content`` is what is stored and computed on, ``sha256`` its hash."""

    file: str
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that was left out, with the reason for its owner."""

    file: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SlideFiles:
    """The images of one slide in the order of their names; ``duplicates`` maps a file to the one it repeats."""

    images: tuple[SlideImage, ...]
    refused: tuple[RefusedFile, ...]
    duplicates: dict[str, str]


def read_slide(paths: Iterable[Path]) -> SlideFiles:
    """Read files and folders (recursively) as one slide; nothing is raised for a bad file.

    The same content twice is one image, as it is for an upload: a field must not vote twice.
    """
    images: list[SlideImage] = []
    refused: list[RefusedFile] = []
    duplicates: dict[str, str] = {}
    first_of: dict[str, str] = {}
    for path in _files(paths, refused):
        try:
            accepted = accept_image(path.read_bytes(), path.name)
        except ImageRefused as error:
            refused.append(RefusedFile(str(path), error.code, f"{error.message} {error.hint}".strip()))
            continue
        except OSError as error:
            refused.append(RefusedFile(str(path), "E_UNREADABLE", f"The file cannot be read: {error.strerror}."))
            continue
        if accepted.content_sha256 in first_of:
            duplicates[str(path)] = first_of[accepted.content_sha256]
            continue
        first_of[accepted.content_sha256] = str(path)
        images.append(SlideImage(str(path), accepted.content, accepted.content_sha256))
    return SlideFiles(tuple(images), tuple(refused), duplicates)


def natural_order(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts field 2 before field 10."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in re.split(r"(\d+)", text) if part
    ]


def _files(paths: Iterable[Path], refused: list[RefusedFile]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        found = [path]
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            found = sorted((p for p in inside if not p.name.startswith(".")), key=lambda p: natural_order(str(p)))
            if not found:
                refused.append(RefusedFile(str(path), "E_EMPTY_FOLDER", "The folder holds no image file."))
        elif not path.exists():
            refused.append(RefusedFile(str(path), "E_NOT_FOUND", "There is no such file or folder."))
            continue
        for file in found:
            resolved = file.resolve()
            if resolved not in seen:
                seen.add(resolved)
                yield file
