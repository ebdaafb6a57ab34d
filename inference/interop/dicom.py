"""A result as a DICOM Comprehensive SR document (PS3.3 A.35.3), by pydicom, which is the extra ``[interop]``.

The document is COMPLETE and UNVERIFIED: nobody attests to it. Questions are DICOM's own codes (DCM) where it has them
(observer context TID 1002, algorithm identification TID 4019) and ours (99LEUKOWEB) elsewhere; answers are always ours.
Nothing here reads a clock or a random number: one result gives one file, byte for byte.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from inference.interop import facts as names
from inference.interop.facts import CONCEPTS, ModelFact, ResultFacts, StepFact, oid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SCHEME: Final = "99LEUKOWEB"
COMPREHENSIVE_SR: Final = "1.2.840.10008.5.1.4.1.1.88.33"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
IMPLEMENTATION_UID: Final = oid("implementation")

Code = tuple[str, str, str]
"""Value, scheme, meaning."""

ENGLISH: Final[Code] = ("en", "RFC5646", "English")
FIELDS: Final[Code] = ("{fields}", "UCUM", "fields")
DCM: Final[Mapping[str, Code]] = {
    name: (code, "DCM", name)
    for code, name in (
        ("121049", "Language of Content Item and Descendants"),
        ("121005", "Observer Type"),
        ("121007", "Device"),
        ("121012", "Device Observer UID"),
        ("121013", "Device Observer Name"),
        ("121014", "Device Observer Manufacturer"),
        ("121015", "Device Observer Model Name"),
        ("111700", "Specimen Container Identifier"),
        ("111001", "Algorithm Name"),
        ("111003", "Algorithm Version"),
        ("111002", "Algorithm Parameters"),
        ("121070", "Findings"),
        ("121077", "Conclusion"),
    )
}


def available() -> bool:
    """Whether the extra is installed. Imports nothing."""
    return find_spec("pydicom") is not None


def sr_bytes(facts: ResultFacts) -> bytes:
    """The document as a DICOM file (explicit little endian, UTF-8). Raises ImportError without pydicom."""
    from pydicom import dcmwrite

    stream = io.BytesIO()
    dcmwrite(stream, document(facts), enforce_file_format=True)
    return stream.getvalue()


def document(facts: ResultFacts) -> Dataset:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(COMPREHENSIVE_SR)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(_uid(facts, "instance"))
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE_ENDIAN)
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    dataset.file_meta.ImplementationVersionName = f"LEUKOWEB_{names.FORMAT}"
    _identity(dataset, facts)
    _document(dataset, facts)
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = _sequence(_ours("REPORT"))
    dataset.ContinuityOfContent = "SEPARATE"
    dataset.ContentSequence = list(_content(facts))
    return dataset


def _identity(dataset: Dataset, facts: ResultFacts) -> None:
    """Patient, General Study, SR Document Series, General Equipment."""
    moment = facts.decided_at.astimezone(UTC)
    dataset.PatientName = ""
    dataset.PatientID = facts.patient
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Pseudonymous code only; no identity was ever stored"
    dataset.StudyInstanceUID = _uid(facts, "study")
    dataset.StudyDate, dataset.StudyTime = _date(moment), _time(moment)
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = str(facts.run)[:8]
    dataset.AccessionNumber = ""
    dataset.StudyDescription = CONCEPTS["RESEARCH"]
    dataset.Modality = "SR"
    dataset.SeriesInstanceUID = _uid(facts, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = CONCEPTS["REPORT"]
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.Manufacturer = "leukoweb"
    dataset.ManufacturerModelName = facts.pipeline[:64]
    dataset.SoftwareVersions = [_lo(facts.app_version), _lo(facts.pipeline_version)]


def _document(dataset: Dataset, facts: ResultFacts) -> None:
    """SOP Common and SR Document General."""
    moment = facts.decided_at.astimezone(UTC)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = COMPREHENSIVE_SR
    dataset.SOPInstanceUID = _uid(facts, "instance")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = _date(moment), _time(moment)
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.CodingSchemeIdentificationSequence = [_scheme()]
    dataset.InstanceNumber = 1
    dataset.PreliminaryFlag = "PRELIMINARY"
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.ContentDate, dataset.ContentTime = _date(moment), _time(moment)
    dataset.PerformedProcedureCodeSequence = []


def _content(facts: ResultFacts) -> Iterable[Dataset]:
    yield _code("HAS CONCEPT MOD", DCM["Language of Content Item and Descendants"], ENGLISH)
    yield from _observer(facts)
    yield _text("HAS OBS CONTEXT", DCM["Specimen Container Identifier"], facts.slide)
    for notice in facts.notices:
        yield _text("CONTAINS", _ours("NOTICE"), notice)
    yield _container(DCM["Findings"], _findings(facts))
    yield from (_container(_ours("STEP"), _step(facts, step)) for step in facts.steps)
    yield _container(_ours("PIPELINE"), _pipeline(facts))
    yield from (_container(_ours("MODEL"), _model(facts, model)) for model in facts.models)
    yield _text("CONTAINS", DCM["Conclusion"], facts.conclusion)


def _observer(facts: ResultFacts) -> Iterable[Dataset]:
    """TID 1002 and 1004: the observer is a device."""
    yield _code("HAS OBS CONTEXT", DCM["Observer Type"], DCM["Device"])
    yield _uidref(
        "HAS OBS CONTEXT", DCM["Device Observer UID"], oid(f"pipeline {facts.pipeline} {facts.pipeline_version}")
    )
    yield _text("HAS OBS CONTEXT", DCM["Device Observer Name"], f"{facts.pipeline} {facts.pipeline_version}")
    yield _text("HAS OBS CONTEXT", DCM["Device Observer Manufacturer"], "leukoweb")
    yield _text("HAS OBS CONTEXT", DCM["Device Observer Model Name"], facts.pipeline)


def _findings(facts: ResultFacts) -> list[Dataset]:
    found = [_code("CONTAINS", _ours(concept), _class(facts, name)) for concept, name in facts.answers]
    if not found:
        found = [_code("CONTAINS", _ours("DIAGNOSIS"), _ours("NO_DECISION"))]
        found += [_text("CONTAINS", _ours("REASON"), facts.reason)] if facts.reason else []
    found.append(_number(_ours("N_FIELDS"), facts.n_images))
    return found + [_text("CONTAINS", _ours("REMARK"), flag) for flag in facts.flags]


def _step(facts: ResultFacts, step: StepFact) -> list[Dataset]:
    return [
        _code("CONTAINS", _ours("OUTCOME"), _class(facts, step.outcome)),
        _text("CONTAINS", _ours("WORDS"), step.sentence),
        _number(_ours("N_VOTERS"), step.n_voters),
        _container(_ours("VOTES"), [_number(_class(facts, name), n) for name, n in step.counts.items()]),
    ]


def _pipeline(facts: ResultFacts) -> list[Dataset]:
    """TID 4019 for the rules, with what they are bound to."""
    hashes = (("RULES_SHA256", facts.rules_sha256), ("IMAGES_SHA256", facts.images_sha256))
    return [
        _text("CONTAINS", DCM["Algorithm Name"], facts.pipeline),
        _text("CONTAINS", DCM["Algorithm Version"], facts.pipeline_version),
        _text("CONTAINS", DCM["Algorithm Parameters"], f"mode {facts.mode}"),
        _text("CONTAINS", _ours("RULES"), f"{facts.rules} {facts.rules_version}"),
        _text("CONTAINS", _ours("SOFTWARE"), f"leukoweb {facts.app_version}"),
        *(_text("CONTAINS", _ours(concept), value) for concept, value in hashes if value),
    ]


def _model(facts: ResultFacts, model: ModelFact) -> list[Dataset]:
    """TID 4019 for the model, with its hashes and what it called the fields."""
    said = [
        _text("CONTAINS", DCM["Algorithm Name"], model.name),
        _text("CONTAINS", DCM["Algorithm Version"], model.version),
        _text("CONTAINS", DCM["Algorithm Parameters"], model.title),
        _text("CONTAINS", _ours("SHA256"), model.weights_sha256),
        _text("CONTAINS", _ours("RECIPE_SHA256"), model.recipe_sha256),
    ]
    if model.labels is None:
        return [*said, _text("CONTAINS", _ours("REMARK"), CONCEPTS["NOT_RUN"])]
    said += [_text("CONTAINS", _ours("ENGINE"), model.engine)] if model.engine else []
    return [*said, _container(_ours("LABELS"), [_number(_class(facts, name), n) for name, n in model.labels.items()])]


def _item(relationship: str, value_type: str, concept: Code) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = _sequence(concept)
    return item


def _container(concept: Code, content: Sequence[Dataset]) -> Dataset:
    item = _item("CONTAINS", "CONTAINER", concept)
    item.ContinuityOfContent = "SEPARATE"
    if content:
        item.ContentSequence = list(content)
    return item


def _text(relationship: str, concept: Code, value: str) -> Dataset:
    item = _item(relationship, "TEXT", concept)
    item.TextValue = value
    return item


def _uidref(relationship: str, concept: Code, value: str) -> Dataset:
    item = _item(relationship, "UIDREF", concept)
    item.UID = value
    return item


def _code(relationship: str, concept: Code, value: Code) -> Dataset:
    item = _item(relationship, "CODE", concept)
    item.ConceptCodeSequence = _sequence(value)
    return item


def _number(concept: Code, value: int, units: Code = FIELDS) -> Dataset:
    from pydicom.dataset import Dataset

    item = _item("CONTAINS", "NUM", concept)
    measured = Dataset()
    measured.NumericValue = str(value)
    measured.MeasurementUnitsCodeSequence = _sequence(units)
    item.MeasuredValueSequence = [measured]
    return item


def _sequence(code: Code) -> list[Dataset]:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return [item]


def _scheme() -> Dataset:
    from pydicom.dataset import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeUID = names.CODES_OID
    scheme.CodingSchemeName = "leukoweb concepts and classes"
    return scheme


def _ours(concept: str) -> Code:
    return concept, SCHEME, CONCEPTS[concept]


def _class(facts: ResultFacts, name: str) -> Code:
    """A class as a code. Value at most 16 characters, meaning at most 64 (VR SH and LO)."""
    return name[:16], SCHEME, _lo(facts.title(name))


def _lo(text: str) -> str:
    """VR LO: at most 64 characters; a backslash would part it into two values."""
    return text.replace("\\", "/")[:64]


def _uid(facts: ResultFacts, part: str) -> str:
    return f"2.25.{facts.id(f'dicom/{part}').int}"


def _date(moment: Any) -> str:
    return str(moment.strftime("%Y%m%d"))


def _time(moment: Any) -> str:
    return str(moment.strftime("%H%M%S.%f"))
