"""The manifest of a dataset version: canonical JSON that is equal wherever the same state is frozen.

It names patients and slides by their codes, images by the hash of their bytes and people by their user names, never
by a database id, in sorted order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

FORMAT: Final = "leukoweb-dataset/1"


@dataclass(frozen=True, order=True)
class Line:
    """One image of a version."""

    patient: str
    slide: str
    content_sha256: str
    label: str
    split: str
    fold: int

    def as_list(self) -> list[Any]:
        return [self.patient, self.slide, self.content_sha256, self.label, self.split, self.fold]


LINE_FIELDS: Final = ("patient", "slide", "content_sha256", "label", "split", "fold")


@dataclass(frozen=True, order=True)
class LeftOut:
    """One image that the chosen cohorts have and the version has not, with the step that took it out."""

    patient: str
    slide: str
    content_sha256: str
    step: str


@dataclass(frozen=True, order=True)
class Decided:
    """One decision that counted: who said what about which image."""

    content_sha256: str
    slide: str
    task: str
    person: str
    verdict: str
    label: str


def canonical(data: Any) -> bytes:
    """One spelling for equal data: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def decisions_digest(decisions: Iterable[Decided]) -> str:
    """SHA-256 over every decision that counted, so that a changed one shows even where the label stays."""
    rows = [[d.content_sha256, d.slide, d.task, d.person, d.verdict, d.label] for d in sorted(decisions)]
    return hashlib.sha256(canonical(rows)).hexdigest()


def manifest(
    *, choices: Mapping[str, Any], taxonomy: Mapping[str, Any], lines: Iterable[Line], left_out: Iterable[LeftOut],
    decisions_sha256: str,
) -> bytes:  # fmt: skip
    """The bytes whose SHA-256 is the version's hash. Name, number, date and author are not part of it."""
    return canonical(
        {
            "format": FORMAT,
            "choices": choices,
            "taxonomy": taxonomy,
            "fields": LINE_FIELDS,
            "images": [line.as_list() for line in sorted(lines)],
            "left_out": [[out.patient, out.slide, out.content_sha256, out.step] for out in sorted(left_out)],
            "decisions_sha256": decisions_sha256,
        }
    )


def rows_of(content: bytes) -> list[list[Any]]:
    """The images of a stored manifest, in its order, as plain rows of `LINE_FIELDS`."""
    return list(json.loads(content)["images"])


def left_out_of(content: bytes) -> list[LeftOut]:
    """What a stored manifest says was left out."""
    return [LeftOut(*row) for row in json.loads(content)["left_out"]]
