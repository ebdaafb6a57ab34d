"""A result as a file for other systems. Recorded like every export."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.db import transaction

from inference.interop import dicom
from inference.interop.facts import ResultFacts
from inference.interop.fhir import fhir_bytes
from inference.selectors.exports import result_as_dict
from inference.selectors.interop import result_facts
from inference.selectors.results import Result
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import User

KINDS = {
    "json": (".json", "application/json"),
    "fhir": (".fhir.json", "application/fhir+json"),
    "sr": (".dcm", "application/dicom"),
}


class InteropUnavailable(DomainError):
    code = "E_NO_INTEROP"
    status = 503


@dataclass(frozen=True)
class ExportedFile:
    name: str
    content_type: str
    data: bytes


def result_export(*, actor: User | None, result: Result, kind: str) -> ExportedFile:
    """``kind`` is ``json``, ``fhir`` or ``sr``. The document is read again and checked before anybody gets it.

    Raises
    ------
    InteropUnavailable
        A DICOM SR was asked for, but the extra ``[interop]`` is not installed.
    """
    file = result_file(result, kind)
    with transaction.atomic():
        audit_record(actor=actor, action="result.export", target=f"run:{result.run.public_id}", data={"format": kind})
    return file


def result_file(result: Result, kind: str) -> ExportedFile:
    """The same without a record of it, for whoever records a whole cohort at once."""
    suffix, content_type = KINDS[kind]
    return ExportedFile(f"result-{result.run.public_id}{suffix}", content_type, _data(result, kind))


def _data(result: Result, kind: str) -> bytes:
    if kind == "json":
        return json.dumps(result_as_dict(result), indent=2, ensure_ascii=False).encode()
    facts = result_facts(result)
    return fhir_bytes(facts) if kind == "fhir" else _sr(facts)


def interop_required(kind: str) -> None:
    """Refuse early, before anything is recorded."""
    if kind == "sr" and not dicom.available():
        raise InteropUnavailable(
            "DICOM files cannot be written: the extra [interop] is not installed.",
            hint="Ask an admin to run: pip install -c constraints.txt -e '.[interop]'",
        )


def _sr(facts: ResultFacts) -> bytes:
    interop_required("sr")
    import io

    from pydicom import dcmread

    from inference.interop.dicom_check import problems

    data = dicom.sr_bytes(facts)
    found = problems(dcmread(io.BytesIO(data)))
    if found:
        raise DomainError(f"This result makes no valid DICOM document: {'; '.join(found[:3])}.", code="E_DICOM")
    return data
