"""Taking in the readings of a study, or of readers, that read elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db import transaction
from django.utils import timezone

from cases.csv_tables import BYTES_MAX
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import User
from leukoweb.core.signing import Signature
from reader_study.models import Reading, ReadingSession, SessionSeal, Study, StudyCase
from reader_study.readings_csv import OPTIONAL, REQUIRED, Expected, ReadingRow, parse_readings
from reader_study.selectors.studies import protocol_current
from reader_study.services.guard import (
    READING_STATES,
    locked_study,
    require_coordinator,
    require_signature,
    require_state,
)
from reader_study.services.seals import SIGNED, readings_sha256

__all__ = ["BYTES_MAX", "COLUMNS", "readings_import", "readings_import_by_system", "sessions_waiting"]

COLUMNS = (*REQUIRED, *OPTIONAL)


def sessions_waiting(study: Study) -> list[ReadingSession]:
    """Sessions of readers without a user, which only a file can fill."""
    waiting = ReadingSession.objects.filter(
        reader__study=study, reader__user=None, imported=True, state=ReadingSession.State.PLANNED
    )
    return list(waiting.select_related("reader").order_by("reader__label", "number"))


@transaction.atomic
def readings_import(*, actor: User, study: Study, data: bytes, signature: Signature) -> int:
    """Store the readings of a CSV file, marked imported, and seal their sessions under ``signature``.

    The whole file is checked first; sessions that it does not mention go on waiting. A case that was not read gets no
    reading. Returns the number of readings.

    Raises
    ------
    CsvRefused
        Anything is wrong with the file; every problem has its line.
    Conflict
        Not locked, frozen already, or no session waits for a file.
    """
    require_coordinator(actor, study)
    require_signature(actor, signature)
    return _import(locked_study(study), data, actor, signature)


@transaction.atomic
def readings_import_by_system(*, study: Study, data: bytes, meaning: str) -> int:
    """For a reconstruction from published tables, which no person signs and the study says so."""
    study = locked_study(study)
    if not study.reconstruction:
        raise Conflict("Only a reconstruction takes readings without a person's signature.")
    return _import(study, data, None, Signature(None, "leukoweb (reconstruction)", meaning, "none"))


def _import(study: Study, data: bytes, actor: User | None, signature: Signature) -> int:
    require_state(study, READING_STATES, "no readings can be imported")
    waiting = {(session.reader.label, session.number): session for session in sessions_waiting(study)}
    if not waiting:
        raise Conflict(
            "No session waits for a file.", code="E_NOTHING",
            hint="Sessions of readers without a user name in the protocol do.",
        )  # fmt: skip
    protocol = protocol_current(study)
    cases = list(StudyCase.objects.filter(study=study, training=False).select_related("patient"))
    names = {case.patient.code: case.code for case in cases} | {case.code: case.code for case in cases}
    classes = protocol.document["classes"]["names"] if protocol else []
    gone = {case.code for case in cases if case.patient.withdrawn_at}
    rows = parse_readings(data, Expected(names, classes, set(waiting), timezone.now(), gone))
    by_code = {case.code: case for case in cases}
    for key, session in waiting.items():
        own = [row for row in rows if (row.reader, row.session) == key]
        if own:
            _store(session, own, by_code, signature)
    done = Counter(f"{row.reader}-{row.session}" for row in rows)
    audit_record(
        actor=actor, action="study.readings_import", target=f"study:{study.pk}",
        data={"sessions": sorted(done), "readings": len(rows), "signature": signature.as_dict(),
              "not_read": {name: len(cases) - n for name, n in sorted(done.items()) if n < len(cases)}},
    )  # fmt: skip
    return len(rows)


def _store(
    session: ReadingSession, rows: list[ReadingRow], cases: dict[str, StudyCase], signature: Signature
) -> None:  # fmt: skip
    now = timezone.now()
    readings = [_reading(session, row, cases[row.case]) for row in sorted(rows, key=lambda row: row.position)]
    Reading.objects.bulk_create(readings)
    signed: list[dict[str, Any]] = [{name: getattr(reading, name) for name in SIGNED} for reading in readings]
    SessionSeal.objects.create(
        session=session, signed_by=signature.user, signed_name=signature.name, meaning=signature.meaning,
        n_readings=len(readings), readings_sha256=readings_sha256(signed),
    )  # fmt: skip
    times = [row.answered_at for row in rows if row.answered_at]
    session.state, session.sealed_at = ReadingSession.State.SEALED, now
    session.opened_at = min(times) if times else None
    session.save(update_fields=["state", "sealed_at", "opened_at"])


def _reading(session: ReadingSession, row: ReadingRow, case: StudyCase) -> Reading:
    return Reading(
        session=session, study_case=case, position=row.position, diagnosis=row.diagnosis,
        cannot_decide=not row.diagnosis, reason=row.reason if not row.diagnosis else "", confidence=row.confidence,
        recognised=row.recognised, comment=row.comment, n_images=len(case.manifest), n_viewed=0,
        active_ms=row.active_ms, answered_at=row.answered_at, imported=True,
    )  # fmt: skip
