"""What is wrong with a Comprehensive SR document: mandatory attributes, content tree, codes, identifiers.

Written from PS3.3 (A.35.3, C.7.1.1, C.7.2.1, C.17.1, C.7.5.1, C.12.1, C.17.2, C.17.3, Table A.35.3-2) and PS3.5 (UIDs,
lengths). It is no substitute for a validator such as dciodvfy, but it runs before every file is handed out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Module -> attributes that must have a value (type 1), attributes that must be there but may be empty (type 2).
MODULES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "Patient": ((), ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")),
    "General Study": (
        ("StudyInstanceUID",),
        ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    ),
    "SR Document Series": (
        ("Modality", "SeriesInstanceUID", "SeriesNumber"), ("ReferencedPerformedProcedureStepSequence",),
    ),
    "General Equipment": ((), ("Manufacturer",)),
    "SOP Common": (("SOPClassUID", "SOPInstanceUID"), ()),
    "SR Document General": (
        ("InstanceNumber", "CompletionFlag", "VerificationFlag", "ContentDate", "ContentTime"),
        ("PerformedProcedureCodeSequence",),
    ),
    "SR Document Content": (("ValueType", "ConceptNameCodeSequence", "ContinuityOfContent", "ContentSequence"), ()),
}  # fmt: skip

FIXED: Final = {
    "SOPClassUID": ("1.2.840.10008.5.1.4.1.1.88.33",),
    "Modality": ("SR",),
    "CompletionFlag": ("PARTIAL", "COMPLETE"),
    "VerificationFlag": ("UNVERIFIED", "VERIFIED"),
    "PreliminaryFlag": ("PRELIMINARY", "FINAL"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "ValueType": ("CONTAINER",),
    "ContinuityOfContent": ("SEPARATE", "CONTINUOUS"),
}

# Value type -> the attribute that holds the value.
VALUES: Final = {
    "CONTAINER": "ContinuityOfContent", "TEXT": "TextValue", "CODE": "ConceptCodeSequence",
    "NUM": "MeasuredValueSequence", "UIDREF": "UID", "DATETIME": "DateTime", "DATE": "Date", "TIME": "Time",
    "PNAME": "PersonName",
}  # fmt: skip

# Table A.35.3-2, as far as a document without images, waveforms and coordinates can use it:
# relationship -> (value types of sources, value types of targets).
_PLAIN: Final = frozenset({"TEXT", "CODE", "NUM", "DATETIME", "DATE", "TIME", "UIDREF", "PNAME"})
RELATIONSHIPS: Final = {
    "CONTAINS": (frozenset({"CONTAINER"}), _PLAIN | {"CONTAINER"}),
    "HAS OBS CONTEXT": (frozenset({"CONTAINER", "TEXT", "CODE", "NUM"}), _PLAIN),
    "HAS CONCEPT MOD": (frozenset(VALUES), frozenset({"TEXT", "CODE"})),
    "HAS PROPERTIES": (frozenset({"TEXT", "CODE", "NUM"}), _PLAIN | {"CONTAINER"}),
    "INFERRED FROM": (frozenset({"TEXT", "CODE", "NUM"}), _PLAIN | {"CONTAINER"}),
}

_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_LENGTHS: Final = {"SH": 16, "LO": 64, "CS": 16, "DS": 16, "UI": 64}


def problems(dataset: Dataset) -> list[str]:
    """Each in words; an empty list: nothing was found."""
    return [
        *_missing(dataset), *_outside(dataset), *_conditional(dataset), *_values(dataset),
        *_tree(dataset, "CONTAINER", "1"),
    ]  # fmt: skip


def _missing(dataset: Dataset) -> Iterator[str]:
    for module, (type_1, type_2) in MODULES.items():
        for keyword in (*type_1, *type_2):
            if keyword not in dataset:
                yield f"{module}: {keyword} is missing"
        for keyword in type_1:
            if keyword in dataset and _empty(dataset[keyword].value):
                yield f"{module}: {keyword} has no value"


def _outside(dataset: Dataset) -> Iterator[str]:
    for keyword, allowed in FIXED.items():
        if keyword in dataset and dataset[keyword].value not in allowed:
            yield f"{keyword} is {dataset[keyword].value!r}, not one of {', '.join(allowed)}"


def _conditional(dataset: Dataset) -> Iterator[str]:
    """Types 1C and 2C whose condition can be read in the document, and the file's header."""
    if dataset.get("VerificationFlag") == "VERIFIED" and "VerifyingObserverSequence" not in dataset:
        yield "VERIFIED without VerifyingObserverSequence"
    if dataset.get("PatientIdentityRemoved") == "YES" and not (
        dataset.get("DeidentificationMethod") or dataset.get("DeidentificationMethodCodeSequence")
    ):
        yield "PatientIdentityRemoved is YES, but no method is named"
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("MediaStorageSOPInstanceUID") != dataset.get("SOPInstanceUID"):
        yield "MediaStorageSOPInstanceUID differs from SOPInstanceUID"
    if meta is not None and meta.get("MediaStorageSOPClassUID") != dataset.get("SOPClassUID"):
        yield "MediaStorageSOPClassUID differs from SOPClassUID"
    text = "".join(str(element.value) for element in dataset.iterall() if element.VR in ("LO", "LT", "SH", "UT", "PN"))
    if not text.isascii() and "SpecificCharacterSet" not in dataset:
        yield "There is text beyond ASCII, but no SpecificCharacterSet"


def _values(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR not in _LENGTHS:
            continue
        values = element.value if element.VM > 1 else [element.value]
        for value in map(str, values):
            if len(value) > _LENGTHS[element.VR]:
                yield f"{element.keyword}: {len(value)} characters, more than {_LENGTHS[element.VR]}"
            if element.VR == "UI" and value and not _UID.fullmatch(value):
                yield f"{element.keyword}: {value!r} is not a UID"


def _tree(node: Dataset, source: str, place: str) -> Iterator[str]:
    """One content item and, recursively, what it contains; ``place`` as in PS3.3: 1.2.3."""
    yield from _code_sequence(node, "ConceptNameCodeSequence", place)
    for number, item in enumerate(node.get("ContentSequence", ()), start=1):
        here, kind, relationship = f"{place}.{number}", item.get("ValueType"), item.get("RelationshipType")
        sources, targets = RELATIONSHIPS.get(relationship, (frozenset(), frozenset()))
        if kind not in VALUES:
            yield f"{here}: value type {kind!r} is unknown"
            continue
        if source not in sources or kind not in targets:
            yield f"{here}: {source} may not have {kind} by {relationship!r}"
        if VALUES[kind] not in item or (kind != "NUM" and _empty(item[VALUES[kind]].value)):
            yield f"{here}: {kind} without {VALUES[kind]}"
        if kind == "CODE":
            yield from _code_sequence(item, "ConceptCodeSequence", here)
        for measured in item.get("MeasuredValueSequence", ()):
            yield from _code_sequence(measured, "MeasurementUnitsCodeSequence", here)
            if _empty(measured.get("NumericValue")):
                yield f"{here}: MeasuredValueSequence without NumericValue"
        yield from _tree(item, kind, here)


def _code_sequence(node: Dataset, keyword: str, place: str) -> Iterator[str]:
    codes = node.get(keyword, ())
    if len(codes) != 1:
        yield f"{place}: {keyword} has {len(codes)} items, not one"
        return
    for part in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"):
        if _empty(codes[0].get(part)):
            yield f"{place}: {keyword} without {part}"


def _empty(value: Any) -> bool:
    return value is None or str(value) == "" or (hasattr(value, "__len__") and len(value) == 0)
