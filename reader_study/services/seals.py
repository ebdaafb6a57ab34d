"""The seal of a session: drafts become readings, signed, and the next session gets its date.

The reader's request may not read who a case is, so one statement copies the answer and lets the database fill in the
identity. It returns nothing, and it is the only statement that names the two tables (``reader_study.sealed``).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, timedelta, tzinfo
from datetime import timezone as fixed_offset
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.db import connection, transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, NotAllowed
from leukoweb.core.models import AuditEvent
from leukoweb.core.signing import Signature
from leukoweb.core.words import counted
from reader_study.answers import Answer, empty_answer
from reader_study.models import DraftReading, Reading, ReadingSession, SessionCase, SessionImage, SessionSeal
from reader_study.sealed import sealing
from reader_study.selectors.reading import is_answered, is_read, is_viewed, session_cases
from reader_study.services.clock import require_clock, washout_end
from reader_study.services.readings import locked_session

MEANINGS = {
    ReadingSession.Arm.BLINDED: "These are my own diagnoses, made without knowledge of any other result.",
    ReadingSession.Arm.AI_ASSISTED: "These are my own diagnoses, made with the AI's result beside each case "
    "and without knowledge of any other.",
}
COLUMNS = (
    "position", "diagnosis", "cannot_decide", "reason", "confidence", "recognised", "recognised_note", "key_images",
    "comment", "display", "n_images", "n_viewed", "coverage", "active_ms", "answered_at", "recorded_at", "imported",
    "reread",
)  # fmt: skip


SAME_MOMENT = timedelta(minutes=1)  # seal and event are written in one transaction


class NotFinished(Conflict):
    code = "E_UNFINISHED"


def seal_statement() -> str:
    """``INSERT ... SELECT``: the values from the draft, the identity from the row that the reader may not read."""
    columns = ", ".join(f'"{name}"' for name in ("session_id", *COLUMNS, "study_case_id"))
    marks = ", ".join(_mark(name) for name in ("session_id", *COLUMNS))
    return (
        f'INSERT INTO "reader_study_reading" ({columns}) '  # our own columns  # noqa: S608  # nosec B608
        f'SELECT {marks}, "study_case_id" FROM "reader_study_caseidentity" WHERE "case_id" = %s'
    )


def _mark(name: str) -> str:
    """PostgreSQL wants the type of each value in a SELECT said."""
    if connection.vendor != "postgresql":
        return "%s"
    return f"CAST(%s AS {_field(name.removesuffix('_id')).db_type(connection)})"


def open_points(session: ReadingSession) -> tuple[list[int], list[int]]:
    """Positions of cases without a complete answer, and of cases with a field that was not looked at. 1 query."""
    cases = list(session_cases(session))
    unanswered = [case.position for case in cases if not is_answered(case, session.rules)]
    unseen = [case.position for case in cases if not is_viewed(case)]
    return unanswered, unseen


@transaction.atomic
def session_seal(*, session: ReadingSession, signature: Signature) -> SessionSeal:
    """Sign and close. After it nothing of the session changes, and nothing of it can be reached.

    Raises
    ------
    NotAllowed
        The signature is not the reader's.
    NotFinished
        A case is not answered, or has fields that were not looked at where the protocol asks for all.
    ClockSetBack
        The server's clock is behind the opening of the session.
    """
    session = locked_session(session)
    signer = signature.user
    if signer is None or signer.pk != session.reader.user_id:
        raise NotAllowed("Only the reader signs a session.")
    unanswered, unseen = open_points(session)
    if unanswered or (unseen and session.rules["require_all_viewed"]):
        raise NotFinished(
            f"{counted(len(unanswered), 'case')} without an answer, {len(unseen)} with fields that you have not seen.",
            hint="Finish them, then sign.",
        )
    now = timezone.now()
    require_clock(session, now)
    cases = list(session_cases(session).prefetch_related("images"))
    # Of a patient who was withdrawn meanwhile only what was a whole reading before is one.
    rows = [_row(case, now) for case in cases if case.gone_at is None or is_read(case, session.rules)]
    statement = seal_statement()
    with sealing(statement), connection.cursor() as cursor:
        for case_id, row in rows:
            cursor.execute(statement, [session.pk, *(_stored(name, row[name]) for name in COLUMNS), case_id])
            if cursor.rowcount != 1:
                raise RuntimeError("a case without an identity")
    sha256 = readings_sha256([row for _, row in rows])
    seal = SessionSeal.objects.create(
        session=session, signed_by=signer, signed_name=signature.name, meaning=signature.meaning,
        n_readings=len(rows),
        readings_sha256=sha256,
    )  # fmt: skip
    DraftReading.objects.filter(case__session=session).delete()
    session.state, session.sealed_at = ReadingSession.State.SEALED, now
    session.save(update_fields=["state", "sealed_at"])
    following = ReadingSession.objects.filter(reader=session.reader, number=session.number + 1)
    following.filter(state=ReadingSession.State.PLANNED).update(opens_at=washout_end(session))
    audit_record(
        actor=signer, action="reading.seal", target=f"session:{session.pk}",
        data={"readings": len(rows), "withdrawn": len(cases) - len(rows), "readings_sha256": sha256,
              "signature": signature.as_dict()},
    )  # fmt: skip
    return seal


def _row(case: SessionCase, now: Any) -> tuple[int, dict[str, Any]]:
    images: list[SessionImage] = list(case.images.all())
    answer: Answer = empty_answer() | case.draft.answer
    capture = {image.position: image.capture_position for image in images}
    cells = sum(int(image.coverage, 16).bit_count() for image in images)
    return case.pk, {
        **{name: answer[name] for name in COLUMNS if name in answer},
        "position": case.position,
        "key_images": sorted(capture[position] for position in answer["key_images"]),
        "n_images": len(images),
        "n_viewed": sum(image.seen_at is not None for image in images),
        "coverage": round(cells / (64 * len(images)), 4),
        "active_ms": case.active_ms,
        "answered_at": case.draft.updated_at,
        "recorded_at": now,
        "imported": False,
        "reread": False,
    }


def _stored(name: str, value: Any) -> Any:
    return _field(name).get_db_prep_save(value, connection)


def _field(name: str) -> Any:
    return Reading._meta.get_field(name)


SIGNED = tuple(name for name in COLUMNS if name not in ("recorded_at", "imported", "reread"))


def readings_sha256(rows: list[dict[str, Any]], zone: tzinfo = UTC) -> str:
    """SHA-256 of the canonical JSON of a session's readings in order: what the signature binds.

    Times are written in UTC, however a file wrote them. ``zone`` is for `_older_form` alone.
    """
    signed = [{name: row[name] for name in SIGNED} for row in sorted(rows, key=lambda row: row["position"])]
    for row in signed:
        if at := row["answered_at"]:
            row["answered_at"] = at.astimezone(zone).isoformat(timespec="microseconds")
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _older_form(rows: list[dict[str, Any]], sha256: str) -> bool:
    """Whether an imported session was sealed over the same content with its times written as in their file.

    The first version hashed ``2026-01-31T14:05+01:00`` as it stood, while the database gives back the moment alone, in
    UTC. What is signed is proven all the same if the same moments, written in one offset or in the times of one place
    (summer and winter), give the hash: any other content would have to collide with SHA-256.
    """
    offsets = (fixed_offset(timedelta(minutes=minutes)) for minutes in range(-12 * 60, 14 * 60 + 1, 15))
    if any(readings_sha256(rows, zone) == sha256 for zone in offsets):
        return True
    summers = {tuple(ZoneInfo(name).utcoffset(row["answered_at"]) for row in rows if row["answered_at"]): name
               for name in sorted(available_timezones())}  # fmt: skip
    return any(readings_sha256(rows, ZoneInfo(name)) == sha256 for name in summers.values())


def is_panels(session: ReadingSession) -> bool:
    """Whether this is the session of the panel that reads again after the unblinding, which nobody signs.

    It holds re-reads only and no signature of it is on record anywhere, so a reader's session whose seal was taken
    away, or whose readings were marked as re-reads, is none.
    """
    if hasattr(session, "seal") or session.readings.filter(reread=False).exists() or not session.readings.exists():
        return False
    return not AuditEvent.objects.filter(action="reading.seal", target=f"session:{session.pk}").exists()


def seal_problem(session: ReadingSession) -> str:
    """What does not fit between a seal, the readings under it and the audit chain; empty if all does.

    The hash binds the content; the chained event binds that hash to this session, this person, their name and what they
    signed. Readings that were imported are bound by the hash alone. Not for blind requests.
    """
    if not hasattr(session, "seal"):
        return "it is sealed and has no seal"
    seal = session.seal
    readings = list(session.readings.filter(reread=False))
    rows = [{name: getattr(reading, name) for name in SIGNED} for reading in readings]
    imported = all(reading.imported for reading in readings)
    if readings_sha256(rows) != seal.readings_sha256 and not (imported and _older_form(rows, seal.readings_sha256)):
        return "the readings are not those that were signed"
    if imported:
        return ""
    event = AuditEvent.objects.filter(action="reading.seal", target=f"session:{session.pk}").order_by("-id").first()
    if event is None:
        return "no sealing of this session is on record"
    signed = event.data.get("signature", {})
    if (event.data.get("readings_sha256"), event.actor_id, signed.get("name"), signed.get("meaning")) != (
        seal.readings_sha256, seal.signed_by_id, seal.signed_name, seal.meaning,
    ):  # fmt: skip
        return "the signature is not the one on record"
    if abs(event.at - seal.at) > SAME_MOMENT:
        return "the time of the signature is not the one on record"
    return ""


def seal_verify(session: ReadingSession) -> bool:
    """Whether nothing is wrong with a seal (`seal_problem`)."""
    return not seal_problem(session)
