"""What may be read from file names: capture order, a patient code by an agreed pattern, a hint of identity.

A name is never used as a path, never shown to a reader and kept only in a restricted table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from leukoweb.core.exceptions import DomainError

NAME_BYTES_MAX: Final = 255
CODE_PATTERN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,58}[A-Za-z0-9._-])?")
"""Codes of patients and slides: nothing that a spreadsheet, a shell or a URL takes for more than a code."""

_DIGITS: Final = re.compile(r"([0-9]+)")
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class NameRefused(DomainError):
    """A file name or code that cannot be stored or shown safely."""

    code = "E_NAME"


class PatternRefused(DomainError):
    """A patient pattern that does not compile or names no patient."""

    code = "E_PATTERN"


def printable(text: str, limit: int = 80) -> str:
    """`text` for a message: control, text-direction and broken characters escaped, cut at `limit`."""
    shown = "".join(
        c if c not in _BIDI and unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") else f"\\u{ord(c):04x}"
        for c in text[:limit]
    )
    return shown + ("..." if len(text) > limit else "")


def base_name(name: str) -> str:
    """The last part of a name that may carry a Windows or Unix path, in NFC; checked to be storable.

    Raises
    ------
    NameRefused
        Empty, only an extension, longer than 255 bytes of UTF-8, with control or text-direction characters, or
        not valid Unicode (a name of an old file system in another encoding).
    """
    base = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    stem = base.rsplit(".", 1)[0] if "." in base else base
    if not stem.strip(" ."):
        raise NameRefused(
            f"The file name '{printable(base)}' has nothing before its extension.", hint="Rename the file.",
            nameless="The file name has nothing before its extension.",
        )  # fmt: skip
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _BIDI for c in base):
        raise NameRefused(
            f"The file name '{printable(base)}' has control, text-direction or undecodable characters.",
            hint="Rename the file; letters, digits, '.', '_' and '-' are safe.",
            nameless="The file name has control, text-direction or undecodable characters.",
        )
    size = len(base.encode("utf-8"))
    if size > NAME_BYTES_MAX:
        raise NameRefused(
            f"The file name '{printable(base, 40)}' has {size} bytes; the limit is {NAME_BYTES_MAX}.",
            hint="Rename the file.",
            nameless=f"The file name has {size} bytes; the limit is {NAME_BYTES_MAX}.",
        )
    return base


def extension(name: str) -> str:
    """Lower-case extension without its dot; empty if there is none."""
    base = re.split(r"[/\\]", name)[-1]
    stem, dot, ending = base.rpartition(".")
    return ending.lower() if dot and stem else ""


def require_code(text: str, what: str) -> str:
    """`text` if it can be a code, else `NameRefused` (``E_CODE_CHARS``); `what` is "patient" or "slide"."""
    if CODE_PATTERN.fullmatch(text):
        return text
    raise NameRefused(
        f"The {what} code '{printable(text)}' is not 1 to 60 letters (A-Z), digits, spaces, '.', '_' "
        "or '-', beginning with a letter or digit.",
        code="E_CODE_CHARS",
        hint="Use a study code such as P-017, not a name or a formula.",
        field=what,
    )


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key under which ``field2`` comes before ``field10``, folder by folder, in either case.

    Numbers compare by value whatever their length; equal keys fall back to the name, so the order is total.
    """
    parts: list[tuple[int, int, str]] = []
    for folder in re.split(r"[/\\]", name):
        for piece in _DIGITS.split(folder):
            if _DIGITS.fullmatch(piece):
                number = piece.lstrip("0")
                parts.append((1, len(number), number))
            elif piece:
                parts.append((2, 0, piece.casefold()))
        parts.append((0, 0, ""))  # a folder's end sorts before anything that goes on
    return tuple(parts), name


def capture_order(names: Iterable[str]) -> list[str]:
    """The names in the order in which a camera numbered them (natural sort; ``_2`` before ``_10``)."""
    return sorted(names, key=natural_key)


@dataclass(frozen=True)
class ParsedName:
    """What a pattern found in a name; None where its group is missing or did not take part in the match."""

    patient: str | None
    slide: str | None = None
    order: int | None = None


@dataclass(frozen=True)
class NamePattern:
    """A regular expression that reads codes from a file's path.

    It has a group called ``patient``, or else its first group is the patient; groups called ``slide`` and ``order``
    are read too. Example: ``^([0-9]+)_`` takes the number before the first underscore.
    """

    expression: re.Pattern[str]

    @classmethod
    def compile(cls, text: str) -> NamePattern:
        """Raises `PatternRefused` for an expression that does not compile or has no group."""
        try:
            expression = re.compile(text)
        except re.error as error:
            raise PatternRefused(
                f"The patient pattern '{printable(text)}' is not a regular expression: {error}.",
                hint=r"Example: ^(\d+)_ takes the number before the first underscore.",
            ) from None
        if not expression.groups:
            raise PatternRefused(
                f"The patient pattern '{printable(text)}' has no group, so it names no patient.",
                hint=r"Put the patient's part in parentheses, for example ^(\d+)_ or (?P<patient>P\d+).",
            )
        return cls(expression)

    def parse(self, path: str) -> ParsedName | None:
        """Match the file's base name, then its path with forward slashes; None where neither matches.

        Raises `NameRefused` where a matched code is not a valid code or the order is not a number.
        """
        whole = path.replace("\\", "/")
        match = self.expression.search(whole.rsplit("/", 1)[-1]) or self.expression.search(whole)
        if match is None:
            return None
        groups = match.groupdict()
        patient = groups.get("patient") if "patient" in groups else match.group(1)
        slide, order = groups.get("slide"), groups.get("order")
        if order is not None and not re.fullmatch(r"[0-9]{1,9}", order):
            raise NameRefused(f"The order '{printable(order)}' in '{printable(path)}' is not a whole number.")
        return ParsedName(
            patient=require_code(patient, "patient") if patient else None,
            slide=require_code(slide, "slide") if slide else None,
            order=int(order) if order is not None else None,
        )


_DATE: Final = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}[-._ ]?(?:0[1-9]|1[0-2])[-._ ]?(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[1-9]|[12][0-9]|3[01])[-._ /](?:0[1-9]|1[0-2])[-._ /](?:19|20)[0-9]{2})(?![0-9])"
)
_RECORD_NUMBER: Final = re.compile(
    r"(?i)(?<![a-z])(?:mrn|mrd|nhs|ssn|dob|pid|uhid|hosp|acc(?:ession)?)[-_ #:]*[0-9]{2,}"
)
_LONG_NUMBER: Final = re.compile(r"(?<![0-9])[1-9][0-9]{6,}(?![0-9])")
_MAIL: Final = re.compile(r"[^\s@]+@[^\s@]+\.[a-z]{2,}", re.IGNORECASE)
_CARET_NAME: Final = re.compile(r"[^\W\d_]{2,}\^[^\W\d_]{1,}")
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ORDINARY_WORDS: Final = frozenset(
    """
    acute all aml and apml area basophil blast blasts blood bmp bone bottom bright camera capture
    case cell cells chronic cll cml copy count crop dark data dataset demo dsc dscn edited
    eosinophil export exported external field fields film final frame giemsa high hpf image images
    img internal jpeg jpg left leica leukaemia leukemia light low lymphocyte lymphoid marrow mgg
    monocyte myeloid neutrophil new nikon no none normal objective oil old olympus original page
    part patient pbs peripheral phantom photo pic picture platelet plt png power rbc reactive red
    region right sample scan series set slide slides smear smears smudge snap snapshot stain stained
    study synthetic test the tif tiff tile top train untitled valid validation view wbc white with
    wright zeiss zoom
    """.split()  # noqa: SIM905  (a list of 120 quoted words reads worse)
)


def identity_hint(name: str) -> str | None:
    """Why a name looks as if it named a person ("a date", "a record number", "a person's name"), or None.

    A hint for the uploader only: it misses identities, and it finds some that are none.
    """
    base = re.split(r"[/\\]", name)[-1]
    stem = base.rsplit(".", 1)[0]
    if _RECORD_NUMBER.search(stem):
        return "a record number"
    if _DATE.search(stem):
        return "a date"
    if _LONG_NUMBER.search(stem):
        return "a long number"
    if _MAIL.search(base):
        return "an e-mail address"
    words = {word.lower() for word in _WORD.findall(_CAMEL.sub(" ", stem))}
    if _CARET_NAME.search(stem) or len(words - _ORDINARY_WORDS) >= 2:
        return "a person's name"
    return None
