"""Writing a session's order down, once: cases and fields under random tokens, apart from what they are.

Runs when a protocol is locked or a session is added, never in a reader's request. Afterwards a reader needs none of
the tables that say who a case is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from cases.models import HpfImage, Patient
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import AuditEvent
from reader_study.models import (
    CaseIdentity,
    DraftReading,
    ProtocolVersion,
    ReadingSession,
    SessionAssistance,
    SessionCase,
    SessionImage,
    StudyCase,
)
from reader_study.ordering import case_order, fixed_images, image_order
from reader_study.protocol import reader_rules
from reader_study.selectors.assistance import assistance_sha256
from reader_study.services.assistance import Assistance, Before, assistance_before, assistance_payloads, primary_title
from reader_study.services.clock import washout_end


@transaction.atomic
def session_materialise(*, session: ReadingSession, protocol: ProtocolVersion) -> ReadingSession:
    """Store the order of a planned session: its cases, their fields, a draft for each, fresh tokens throughout.

    Raises
    ------
    Conflict
        The session was written before, or it has begun.
    DomainError
        The study has no cases, a case has no field, or the AI-assisted arm misses a result.
    """
    session = ReadingSession.objects.select_for_update(of=("self",)).select_related("reader").get(pk=session.pk)
    if session.state != ReadingSession.State.PLANNED or session.cases.exists():
        raise Conflict("The order of this session is written already.", hint="An order is never written again.")
    document = protocol.document
    by_code = {case.code: case for case in StudyCase.objects.filter(study_id=session.reader.study_id)}
    if not by_code:
        raise DomainError("The study has no cases.", hint="Choose a cohort or list the patients.")
    order = case_order(by_code, seed=session.seed, training={c.code for c in by_code.values() if c.training})
    withdrawn = _withdrawn(by_code.values())
    now = timezone.now()
    fields = {code: _fields(by_code[code], session.seed, document) for code in order}
    cases = SessionCase.objects.bulk_create(
        SessionCase(
            session=session, position=position, training=by_code[code].training, n_images=len(fields[code]),
            gone_at=now if by_code[code].patient_id in withdrawn else None,
        )
        for position, code in enumerate(order, start=1)
    )  # fmt: skip
    CaseIdentity.objects.bulk_create(
        CaseIdentity(case=case, study_case=by_code[code]) for case, code in zip(cases, order, strict=True)
    )
    DraftReading.objects.bulk_create(DraftReading(case=case) for case in cases)
    images = _images(cases, [fields[code] for code in order])
    SessionImage.objects.bulk_create(images, batch_size=500)
    if session.arm == ReadingSession.Arm.AI_ASSISTED:
        _assist(cases, [by_code[code] for code in order], images, document)
    session.rules = reader_rules(document) | {"version": protocol.version}
    session.washout_days = document["washout_days"]
    session.save(update_fields=["rules", "washout_days"])
    return session


def _withdrawn(cases: Iterable[StudyCase]) -> set[int]:
    """Patients of a frozen list who were withdrawn since. Locked, so that nobody is while the session is written."""
    patients = Patient.objects.select_for_update(no_key=True).filter(pk__in=[case.patient_id for case in cases])
    return {patient.pk for patient in patients.order_by("pk") if patient.withdrawn_at is not None}


def _fields(case: StudyCase, seed: int, document: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """(capture position from 1, entry of the manifest) in the order in which this session shows them."""
    if not case.manifest:
        raise DomainError(f"Case {case.code} has no field.", hint="Take the patient out, or upload its fields.")
    contents = [entry["content_sha256"] for entry in case.manifest]
    rule = document["images_per_case"]
    k = rule["k"] if rule["rule"] == "fixed" else None
    chosen = fixed_images(contents, k=k, order_seed=rule["seed"], case=case.code)
    return [(i + 1, case.manifest[i]) for i in image_order(contents, seed=seed, case=case.code, chosen=chosen)]


def _images(
    cases: list[SessionCase], fields: list[list[tuple[int, Mapping[str, Any]]]]
) -> list[SessionImage]:  # fmt: skip
    """The frozen entry's own image gives the scale; of one that was replaced since, another with the same bytes."""
    wanted = {entry["content_sha256"] for shown in fields for _, entry in shown}
    stored: dict[str, HpfImage] = {}
    for image in HpfImage.objects.filter(content_sha256__in=wanted).select_related("slide").order_by("-id"):
        stored[image.content_sha256] = stored[str(image.public_id)] = image
    if missing := wanted - set(stored):
        raise DomainError(f"{len(missing)} fields of the frozen case list are no longer stored.")
    made = []
    for case, shown in zip(cases, fields, strict=True):
        for position, (capture, entry) in enumerate(shown, start=1):
            content = entry["content_sha256"]
            image = stored.get(str(entry.get("image")), stored[content])
            made.append(
                SessionImage(
                    case=case, position=position, capture_position=capture, content_sha256=content,
                    format=image.format, width_px=image.width_px, height_px=image.height_px,
                    pixel_size_um=image.slide.pixel_size_um,
                )
            )  # fmt: skip
    return made


def _assist(
    cases: list[SessionCase], known: list[StudyCase], images: list[SessionImage], document: Mapping[str, Any]
) -> None:
    places: dict[int, dict[str, int]] = {}
    for image in images:
        places.setdefault(image.case_id, {})[image.content_sha256] = image.position
    payloads: Mapping[int, Assistance | Before]
    source: dict[str, Any]
    if before := assistance_before(known, primary_title(document)):
        known_as, payloads = f"session:{before[0].pk}", before[1]
        noted = AuditEvent.objects.filter(action="session.assist", target=known_as).first()
        source = {"as_in": known_as, "runs": noted.data["runs"] if noted else []}
    else:
        payloads = found = assistance_payloads(known, document)
        source = {"runs": sorted({one.run for one in found.values()})}
    rows = [
        SessionAssistance(case=case, payload=payloads[who.pk].as_shown(places[case.pk]))
        for case, who in zip(cases, known, strict=True)
    ]
    SessionAssistance.objects.bulk_create(rows)
    session = cases[0].session
    audit_record(
        actor=None, action="session.assist", target=f"session:{session.pk}",
        data={"study": session.reader.study_id, "reader": session.reader.label, "number": session.number,
              "pipeline": rows[0].payload["pipeline"], "cases": len(rows), **source,
              "sha256": assistance_sha256(row.payload for row in rows)},
    )  # fmt: skip


@transaction.atomic
def session_rules_refresh(*, session: ReadingSession, protocol: ProtocolVersion) -> None:
    """After an amendment: what the pages show and the washout follow the new version; orders and tokens stay."""
    session = ReadingSession.objects.select_for_update(of=("self",)).get(pk=session.pk)
    if session.state in (ReadingSession.State.PLANNED, ReadingSession.State.OPEN):
        session.rules = reader_rules(protocol.document) | {"version": protocol.version}
        session.washout_days = protocol.document["washout_days"]
        session.save(update_fields=["rules", "washout_days"])
    if session.opens_at is not None and session.state == ReadingSession.State.PLANNED:
        _move_opening(session, protocol.document["washout_days"])


def _move_opening(session: ReadingSession, days: int) -> None:
    """A changed washout counts for a session whose date was set by the seal of the one before."""
    before = ReadingSession.objects.filter(
        reader_id=session.reader_id, number=session.number - 1, state=ReadingSession.State.SEALED
    ).first()
    if before is not None:
        ReadingSession.objects.filter(pk=before.pk).update(washout_days=days)
        before.washout_days = days
        ReadingSession.objects.filter(pk=session.pk).update(opens_at=washout_end(before))
