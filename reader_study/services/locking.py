"""Locking a protocol under a signature, and amending it. What is laid out here never changes again."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from leukoweb.core.signing import Signature
from reader_study.models import ProtocolVersion, ReadingSession, Study, StudyCase, StudyReader
from reader_study.ordering import session_seed
from reader_study.protocol import (
    Problem,
    ProtocolRefused,
    amendment_problems,
    canonical,
    diff,
    protocol_sha256,
    validate,
)
from reader_study.selectors.cases import CaseList, case_list, manifest_sha256
from reader_study.selectors.feasibility import amendment_feasibility, feasibility
from reader_study.selectors.studies import protocol_current, reading_started
from reader_study.services.guard import (
    READING_STATES,
    locked_study,
    require_coordinator,
    require_reason,
    require_signature,
    require_state,
    title_taken,
)
from reader_study.services.orders import session_materialise, session_rules_refresh

CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0, 1, I, O: codes are read aloud


@transaction.atomic
def study_lock(*, actor: User, study: Study, signature: Signature, sha256: str) -> ProtocolVersion:
    """Lock the draft under ``signature``: protocol version 1, its readers, cases, sessions and orders.

    Parameters
    ----------
    sha256
        Hash of the document that the signer saw; another one means that somebody saved in between.

    Raises
    ------
    Conflict
        Not a draft any more, or not the document that was signed.
    ProtocolRefused
        The draft says too little, contradicts itself, or cannot be done with these patients and people.
    """
    require_coordinator(actor, study)
    require_signature(actor, signature)
    study = locked_study(study)
    require_state(study, [Study.State.DRAFT], "it is locked already")
    return _lock(study, actor, signature, sha256)


def _lock(study: Study, actor: User | None, signature: Signature, sha256: str) -> ProtocolVersion:
    document = canonical(study.draft)
    if protocol_sha256(document) != sha256:
        raise Conflict(
            "The protocol was changed after you opened it.", code="E_STALE", hint="Read it again, then sign."
        )
    _hold_readers(document["readers"])
    found = feasibility(study, document)
    if found.problems:
        raise ProtocolRefused(list(found.problems))
    protocol = _version(study, 1, document, signature)
    _cases(study, found.cases)
    for reader in document["readers"]:
        _reader(study, reader, protocol)
    study.state, study.cohort, study.closes_on = Study.State.LOCKED, found.cases.cohort, _closing_day(document)
    study.save(update_fields=["state", "cohort", "closes_on"])
    audit_record(
        actor=actor, action="study.lock", target=f"study:{study.pk}",
        data={"sha256": protocol.sha256, "n_cases": len(found.cases.patients), "n_training": len(found.cases.training),
              "n_images": found.cases.n_images, "readers": [r["label"] for r in document["readers"]],
              "signature": signature.as_dict()},
    )  # fmt: skip
    return protocol


@transaction.atomic
def study_lock_by_system(study: Study) -> ProtocolVersion:
    """Lock a demonstration on drawn patients, which no person signs; the version says so. Others need a person."""
    study = locked_study(study)
    require_state(study, [Study.State.DRAFT], "it is locked already")
    cohort = case_list(study.draft).cohort
    if cohort is None or not cohort.synthetic:
        raise Conflict("Only a study of drawn patients is locked without a person's signature.")
    signature = Signature(None, "leukoweb (demonstration)", "Locked by the program; no person signed", "none")
    return _lock(study, None, signature, protocol_sha256(study.draft))


def _closing_day(document: dict[str, Any]) -> date | None:
    return date.fromisoformat(document["closes_on"]) if document["closes_on"] else None


def _version(
    study: Study, number: int, document: dict[str, Any], signature: Signature, reason: str = ""
) -> ProtocolVersion:
    return ProtocolVersion.objects.create(
        study=study, version=number, document=document, sha256=protocol_sha256(document), amendment_reason=reason,
        signed_by=signature.user, signed_name=signature.name, meaning=signature.meaning,
    )  # fmt: skip


def _codes(n: int, *, taken: Iterable[str] = ()) -> list[str]:
    """``n`` random codes such as C-7KQ2M; nothing about the patient or the order of import is in them."""
    used = set(taken)
    found: list[str] = []
    while len(found) < n:
        code = "C-" + "".join(secrets.choice(CODE_LETTERS) for _ in range(5))
        if code not in used:
            used.add(code)
            found.append(code)
    return found


def _cases(study: Study, cases: CaseList) -> None:
    training = {patient.pk for patient in cases.training}
    rows = [
        StudyCase(
            study=study, patient=patient, code=code, training=patient.pk in training,
            manifest=cases.manifests[patient.pk], manifest_sha256=manifest_sha256(cases.manifests[patient.pk]),
        )
        for patient, code in zip(cases.everybody, _codes(len(cases.everybody)), strict=True)
    ]  # fmt: skip
    # By code: the order of the rows must not be the order of the patients.
    StudyCase.objects.bulk_create(sorted(rows, key=lambda row: row.code))


def _reader(
    study: Study, wanted: dict[str, Any], protocol: ProtocolVersion, replaces: StudyReader | None = None
) -> StudyReader:
    """A reader with all sessions; those of a reader without a user wait for a file of readings."""
    user = User.objects.get(username=wanted["username"]) if wanted["username"] else None
    try:
        with transaction.atomic():
            reader = StudyReader.objects.create(
                study=study, user=user, label=wanted["label"], years=wanted["years"], specialty=wanted["specialty"],
                training=wanted["training"], replaces=replaces,
            )  # fmt: skip
    except IntegrityError as error:
        raise Conflict(f"{wanted['label']} or {wanted['username']} reads in this study already.") from error
    try:
        with transaction.atomic():
            _sessions(reader, wanted["sessions"], protocol)
    except IntegrityError as error:
        raise Conflict(
            f"{wanted['label']} has met one of these patients a moment ago, or coordinates the study now.",
            code="E_MET", hint="Check again: the list of overlaps says which.",
        ) from error  # fmt: skip
    return reader


def _hold_readers(readers: Iterable[dict[str, Any]]) -> None:
    """Two studies that are laid out at the same moment for one reader follow one another; the second sees the first."""
    people = User.objects.select_for_update(no_key=True).filter(username__in=[r["username"] for r in readers])
    list(people.order_by("pk").values_list("pk"))


def _sessions(reader: StudyReader, arms: list[str], protocol: ProtocolVersion) -> None:
    for number, arm in enumerate(arms, start=1):
        seed = session_seed(protocol.document["order_seed"], reader.label, number)
        session = ReadingSession.objects.create(
            reader=reader, number=number, arm=arm, seed=seed, imported=reader.user is None
        )
        if reader.user is not None:
            session_materialise(session=session, protocol=protocol)


@transaction.atomic
def protocol_amend(
    *, actor: User, study: Study, base: int, document: Any, reason: str, signature: Signature,
    replaces: StudyReader | None = None,
) -> ProtocolVersion:  # fmt: skip
    """A new version of a locked protocol, with a reason, signed. ``replaces``: whom the added reader stands in for.

    Parameters
    ----------
    base
        Number of the version that ``document`` was written from. On an older one it would undo what came since.

    Raises
    ------
    Conflict
        Not locked, or frozen already, or the new title is taken; E_STALE: ``base`` is not the newest version.
    ProtocolRefused
        A change that no amendment may make, or a new reader or pipeline that has met these patients.
    DomainError
        Nothing changed, or no reason.
    """
    require_coordinator(actor, study)
    require_signature(actor, signature)
    reason = require_reason(reason)
    study = locked_study(study)
    require_state(study, READING_STATES, "its protocol cannot be amended")
    before = protocol_current(study)
    if before is None:  # pragma: no cover  a locked study has one
        raise Conflict("The study has no locked protocol.")
    require_newest(before, base)
    document = canonical(document)
    changes = diff(before.document, document)
    if not changes:
        raise DomainError("Nothing differs from the locked protocol.", hint="Change something, then sign.")
    # Nobody begins while the text changes: whoever opens waits here, and is then told to read it again.
    list(ReadingSession.objects.select_for_update().filter(reader__study=study).order_by("pk").values_list("pk"))
    _hold_readers(_added(before.document, document))
    if problems := amendment_refusals(study, before.document, document):
        raise ProtocolRefused(problems)
    protocol = _version(study, before.version + 1, document, signature, reason)
    for reader in _added(before.document, document):
        _reader(study, reader, protocol, replaces)
    _apply(study, protocol)
    audit_record(
        actor=actor, action="study.amend", target=f"study:{study.pk}", reason=reason,
        data={"version": protocol.version, "sha256": protocol.sha256, "signature": signature.as_dict(),
              "changes": [change.as_dict() for change in changes]},
    )  # fmt: skip
    return protocol


def require_newest(newest: ProtocolVersion, base: int) -> None:
    if newest.version != base:
        raise Conflict(
            f"The protocol was amended meanwhile: your text comes from version {base}, and version {newest.version} is "
            "in force.", code="E_STALE", hint="Open the page again and make your changes there; these were not signed.",
        )  # fmt: skip


def amendment_refusals(study: Study, before: dict[str, Any], document: dict[str, Any]) -> list[Problem]:
    """Everything that speaks against this amendment now; ``document`` in its canonical form."""
    return [
        *amendment_problems(before, document, reading_started=reading_started(study)),
        *_past_day(before, document), *validate(document),
        *amendment_feasibility(study, before, document, _added(before, document)),
    ]  # fmt: skip


def _past_day(before: dict[str, Any], after: dict[str, Any]) -> list[Problem]:
    day = _closing_day(after)
    if day is None or after["closes_on"] == before["closes_on"] or day >= timezone.localdate():
        return []
    return [Problem("closes_on", f"{day} is over already.", "To end the reading, freeze the data.")]


def _added(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    known = {reader["label"] for reader in before["readers"]}
    return [reader for reader in after["readers"] if reader["label"] not in known]


def _apply(study: Study, protocol: ProtocolVersion) -> None:
    document = protocol.document
    for reader in document["readers"]:
        StudyReader.objects.filter(study=study, label=reader["label"]).update(
            years=reader["years"], specialty=reader["specialty"], training=reader["training"]
        )
    unfinished = ReadingSession.objects.filter(
        reader__study=study, imported=False, state__in=[ReadingSession.State.PLANNED, ReadingSession.State.OPEN]
    )
    for session in unfinished.order_by("pk"):
        session_rules_refresh(session=session, protocol=protocol)
    study.draft, study.draft_version = document, study.draft_version + 1
    study.title, study.closes_on = document["title"], _closing_day(document)
    try:
        with transaction.atomic():
            study.save(update_fields=["draft", "draft_version", "title", "closes_on"])
    except IntegrityError as error:
        raise title_taken(study.title) from error
