"""A study frozen into one document (``leukoweb/study-inputs/1``), read in one snapshot of the database."""

from __future__ import annotations

from typing import Any

from django.db.models import Max, OuterRef, Q, Subquery

from cases.models import Patient, ReferenceDiagnosis
from leukoweb.core.audit import event_body
from leukoweb.core.models import AuditEvent
from leukoweb.core.snapshot import one_snapshot
from reader_study.analysis.inputs import EDITION, SCHEMA, InputsRefused
from reader_study.analysis.plan import plan_of
from reader_study.models import ProtocolVersion, Reading, ReadingSession, SessionCase, Study, StudyCase
from reader_study.protocol import diff, primary_number, reference_map
from reader_study.selectors.ai_answers import ai_evaluators
from reader_study.selectors.assistance import assistance_shown

_Arms = dict[int, list[tuple[int, str, str, str]]]
_STATE = ReadingSession.State
_LAST_LOOK = SessionCase.objects.filter(session=OuterRef("pk")).order_by().values("session").annotate(
    last=Max("last_at")
).values("last")  # fmt: skip
_QUIET = Q(action__startswith="analysis.") & ~Q(action="analysis.interim")  # looking at numbers changes none of them


def study_inputs(study: Study, *, interim: bool = False, reason: str = "") -> dict[str, Any]:
    """The document. The number of queries does not depend on the number of cases or readings.

    Raises
    ------
    InputsRefused
        The protocol is not locked, or what the AI should have answered is missing.
    """
    with one_snapshot():
        versions = list(study.protocols.order_by("version"))
        if not versions:
            raise InputsRefused("The protocol is not locked yet, so there is nothing to analyse.", code="E_NO_PROTOCOL")
        document = versions[-1].document
        plan = plan_of([version.document for version in versions])
        chosen = list(study.cases.filter(training=False).select_related("patient").order_by("code"))
        rows = _cases(chosen, document)
        # Nobody can enter a reference for a withdrawn patient any more, so the case leaves, and the flow says so.
        gone = {c.code for c, r in zip(chosen, rows, strict=True) if c.patient.withdrawn_at and not r["reference"]}
        cases = [case for case in chosen if case.code not in gone]
        audit = _audit(study)
        arms = _arms(study)
        evaluators, left_out = _readers(study, document, arms, gone)
        ai, missing = ai_evaluators(study, document, cases, plan["levels"], strict=not interim)
        return {
            "schema": SCHEMA,
            "edition": EDITION,
            "study": _study(study, document) | {"stopped": _stopped(audit)},
            "protocol": _protocol(versions),
            "plan": plan,
            "cases": [row for row in rows if row["code"] not in gone],
            "withdrawn": sorted(gone),
            "evaluators": ai + evaluators,
            "void": _void(arms, audit),
            "marks": {
                "interim": interim, "interim_reason": reason, "left_out": left_out, "without_answers": missing,
            },
            "flow": {"steps": _flow(study, cases, evaluators, len(gone))},
            "audit": audit,
        }  # fmt: skip


def _study(study: Study, document: dict[str, Any]) -> dict[str, Any]:
    unblinding = getattr(study, "unblinding", None)
    cohort = study.cohort
    return {
        "id": str(study.public_id), "title": study.title, "question": document["question"],
        "cohort": cohort.name if cohort else "", "purpose": cohort.get_purpose_display() if cohort else "",
        "synthetic": bool(cohort and cohort.synthetic), "reconstruction": study.reconstruction,
        "state": study.get_state_display(),
        "unblinded": {"at": unblinding.at.isoformat(), "by": unblinding.signed_name, "reason": unblinding.reason}
        if unblinding else None,
    }  # fmt: skip


def _protocol(versions: list[ProtocolVersion]) -> dict[str, Any]:
    newest = versions[-1]
    return {
        "version": newest.version, "sha256": newest.sha256, "document": newest.document,
        "versions": [
            {
                "version": v.version, "sha256": v.sha256, "locked_at": v.locked_at.isoformat(),
                "signed_name": v.signed_name, "meaning": v.meaning, "amendment_reason": v.amendment_reason,
                "changes": [change.as_dict() for change in diff(before.document, v.document)] if before else [],
            }
            | ({} if v is newest else {"document": v.document})
            for before, v in zip([None, *versions], versions, strict=False)
        ],
    }  # fmt: skip


def _cases(cases: list[StudyCase], document: dict[str, Any]) -> list[dict[str, Any]]:
    """Code, reference class and since when it stands, images, acquisition fields. The newest reference counts."""
    patients = [case.patient_id for case in cases]
    to_class = reference_map(document)
    newest: dict[int, ReferenceDiagnosis] = {}
    for reference in ReferenceDiagnosis.objects.filter(patient__in=patients).order_by("id"):
        newest[reference.patient_id] = reference
    fields: dict[int, dict[str, str]] = {patient: {} for patient in patients}
    rows = Patient.objects.filter(pk__in=patients).order_by("slides__code").values_list(
        "pk", "slides__device__camera", "slides__stain", "slides__technician"
    )  # fmt: skip
    for patient, *values in rows:
        for name, value in zip(("Camera", "Stain", "Technician"), values, strict=True):
            if value:
                fields[patient].setdefault(name, value)
    out = []
    for case in cases:
        found = newest.get(case.patient_id)
        out.append(
            {
                "code": case.code, "reference": to_class.get(found.diagnosis, found.diagnosis) if found else "",
                "reference_at": found and found.entered_at.isoformat(),
                "n_images": len(case.manifest) or None, "subgroups": fields[case.patient_id],
                "manifest_sha256": case.manifest_sha256, "withdrawn": case.patient.withdrawn_at is not None,
            }
        )  # fmt: skip
    return out


def _readers(
    study: Study, document: dict[str, Any], arms: _Arms, gone: set[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Sealed sessions with their readings of the cases that stay, and the names of sessions that are not sealed yet.

    The panel reads after the unblinding and is no evaluator; void sessions are left out.
    """
    sessions = list(
        ReadingSession.objects.filter(reader__study=study)
        .exclude(state=_STATE.VOID)
        .exclude(readings__reread=True)
        .annotate(last_look_at=Subquery(_LAST_LOOK))
        .select_related("reader__replaces", "seal")
        .order_by("reader__label", "number")
    )
    readings: dict[int, list[dict[str, Any]]] = {session.pk: [] for session in sessions}
    rows = Reading.objects.filter(session__in=sessions, study_case__training=False, reread=False)
    level = document["classes"]["map"]
    for reading in rows.select_related("study_case").order_by("session", "position", "id"):
        if reading.study_case.code not in gone:
            readings[reading.session_id].append(_answer(reading, level))
    labels = {session.reader.label for session in sessions}
    several = {s.reader_id for s in sessions if sum(o.reader_id == s.reader_id for o in sessions) > 1}
    wanted = document["primary_session"]
    primary = {pk: primary_number([arm for _, arm, *_ in own], wanted) for pk, own in arms.items()}
    shown = assistance_shown(session for session in sessions if session.arm == ReadingSession.Arm.AI_ASSISTED)
    out, unfinished = [], []
    for session in sessions:
        reader = session.reader
        name = f"{reader.label}-{session.number}" if reader.pk in several else reader.label
        if reader.pk in several and name in labels:  # another reader's label, which could once be locked
            name = f"{reader.label} (session {session.number})"
        if session.state != _STATE.SEALED:
            unfinished.append(name)
            continue
        out.append(
            {
                "name": name, "kind": "session", "role": "reader", "reader": reader.label, "session": session.number,
                "primary": session.number == primary[reader.pk],
                "arm": session.arm, "assistance": shown.get(session.pk),
                "imported": session.imported, "state": session.state, "seed": session.seed,
                "opened_at": session.opened_at and session.opened_at.isoformat(),
                "sealed_at": session.sealed_at and session.sealed_at.isoformat(),
                "last_look_at": session.last_look_at and session.last_look_at.isoformat(),
                "readings_sha256": session.seal.readings_sha256 if hasattr(session, "seal") else "",
                "profile": {"years": reader.years, "specialty": reader.specialty, "training": reader.training},
                "replaces": reader.replaces.label if reader.replaces else "",
                "answers": readings[session.pk],
            }
        )  # fmt: skip
    return out, unfinished


def _arms(study: Study) -> _Arms:
    """Reader id -> (number, arm, state, label) of all sessions in order, void ones too: they keep their numbers."""
    arms: _Arms = {}
    rows = ReadingSession.objects.filter(reader__study=study).order_by("reader__label", "number")
    for reader, number, arm, state, label in rows.values_list("reader", "number", "arm", "state", "reader__label"):
        arms.setdefault(reader, []).append((number, arm, state, label))
    return arms


def _void(arms: _Arms, audit: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sessions that were ended and are in no analysis, each with the reason on record, by label and number."""
    why = {
        (event["data"].get("reader"), event["data"].get("number")): event["reason"]
        for event in audit
        if event["action"] == "session.void"
    }
    return [
        {"reader": label, "session": number, "arm": arm, "reason": why.get((label, number), ""),
         "all_void": all(other == _STATE.VOID for _, _, other, _ in own)}
        for own in arms.values()
        for number, arm, state, label in own
        if state == _STATE.VOID
    ]  # fmt: skip


def _stopped(audit: list[dict[str, Any]]) -> dict[str, str] | None:
    """When and why the study was stopped early."""
    stop = next((event for event in reversed(audit) if event["action"] == "study.stop"), None)
    return {"at": stop["at"], "reason": stop["reason"]} if stop else None


def _answer(reading: Reading, level: str) -> dict[str, Any]:
    return {
        "case": reading.study_case.code,
        "position": None if reading.imported and not reading.answered_at else reading.position,
        "answers": {level: reading.diagnosis} if reading.diagnosis else {},
        "cannot_decide": reading.cannot_decide, "reason": reading.reason, "confidence": reading.confidence,
        "recognised": reading.recognised, "recognised_note": reading.recognised_note,
        "key_images": reading.key_images, "comment": reading.comment, "display": reading.display,
        "n_images": reading.n_images or None, "n_viewed": reading.n_viewed if reading.n_images else None,
        "active_ms": reading.active_ms,
        "answered_at": reading.answered_at and reading.answered_at.isoformat(),
    }  # fmt: skip


def _flow(study: Study, cases: list[StudyCase], evaluators: list[dict[str, Any]], gone: int) -> list[dict[str, Any]]:
    """Patients from the cohort to those whom every primary session read; what was left out says why.

    Who is a case, for training or not, is counted as such, also if the patient was withdrawn since; ``gone`` are cases
    that left the analysis.
    """
    everybody = Patient.objects.filter(cohort=study.cohort) if study.cohort_id else Patient.objects.none()
    training = study.cases.filter(training=True).count()
    withdrawn = everybody.exclude(withdrawn_at=None).exclude(pk__in=study.cases.values("patient")).count()
    chosen = len(cases) + gone
    total = max(everybody.count(), chosen + training)
    steps = [{"step": "Patients in the cohort", "n": total}]
    rest = total - withdrawn - training - chosen
    for words, n, why in (
        ("Withdrawn", withdrawn, "patient withdrawn"), ("Training", training, "read for practice, never analysed"),
        ("Not chosen", rest, "not among the cases of the protocol"),
    ):  # fmt: skip
        if n > 0:
            steps.append({"step": words, "n": n, "why": why})
    steps.append({"step": "Cases of the study", "n": chosen})
    if gone:
        why = "patient withdrawn before a reference stood"
        steps += [{"step": "Withdrawn, no reference", "n": gone, "why": why},
                  {"step": "Cases in the analysis", "n": len(cases)}]  # fmt: skip
    primary = [{a["case"] for a in e["answers"]} for e in evaluators if e["primary"]]
    if primary:
        complete = set.intersection(*primary)
        undecided = {a["case"] for e in evaluators if e["primary"] for a in e["answers"] if a["cannot_decide"]}
        if len(complete) < len(cases):
            gone = sum(c.patient.withdrawn_at is not None and c.code not in complete for c in cases)
            unread = len(cases) - len(complete) - gone
            for words, n, why in (
                ("Withdrawn while it was read", gone, "patient withdrawn before every primary session had a reading"),
                ("Not read by all", unread, "a primary session has no reading"),
            ):
                if n > 0:
                    steps.append({"step": words, "n": n, "why": why})
        steps.append({"step": "Read in every primary session", "n": len(complete)})
        if undecided:
            steps.append({"step": "Undecided", "n": len(undecided), "why": "somebody could not decide; see the rule"})
    return steps


def _audit(study: Study) -> list[dict[str, Any]]:
    """Events of the study and its sessions, each with what its hash covers."""
    sessions = ReadingSession.objects.filter(reader__study=study).values_list("pk", flat=True)
    targets = [f"study:{study.pk}", f"study:{study.public_id}", *(f"session:{pk}" for pk in sessions)]
    events = AuditEvent.objects.filter(target__in=targets).exclude(_QUIET).order_by("id")
    return [event_body(event) | {"id": event.pk, "hash": event.hash} for event in events]
