"""Checks that every change of a study begins with."""

from __future__ import annotations

from collections.abc import Collection

from cases.models import Patient
from leukoweb.core.blindfold import hides_any
from leukoweb.core.exceptions import Conflict, DomainError, NotAllowed
from leukoweb.core.models import Role, User
from leukoweb.core.signing import Signature
from reader_study.models import Study

# What a signature means, the same words on a page and over the API.
LOCK_MEANING = "I approve this protocol; from now on it changes only by a signed amendment."
AMEND_MEANING = "I approve this amendment of the protocol."
FREEZE_MEANING = "I confirm that the reading is over; no answer is added or changed."
UNBLIND_MEANING = "I unblind this study: answers may be seen beside the reference."
IMPORT_MEANING = "I confirm that these readings were made blinded, elsewhere, as this file says."

READING_STATES = (Study.State.LOCKED, Study.State.READING)


def locked_study(study: Study) -> Study:
    """The row, locked until the transaction ends, so that two changes of a study follow one another."""
    return Study.objects.select_for_update(of=("self",)).get(pk=study.pk)


def require_coordinator(actor: User, study: Study) -> None:
    coordinates = actor.is_active and actor.role == Role.COORDINATOR
    if not (coordinates and study.coordinators.filter(pk=actor.pk).exists()):
        raise NotAllowed("Only a coordinator of this study may do that.")


def require_state(study: Study, states: Collection[str], what: str) -> None:
    if study.state not in states:
        raise Conflict(
            f"The study is {study.get_state_display().lower()}, so {what}.", code="E_STATE",
            hint="Reload the page to see where it stands.",
        )  # fmt: skip


def require_signature(actor: User, signature: Signature) -> None:
    if signature.user is None or signature.user.pk != actor.pk:
        raise NotAllowed("The signature is somebody else's.", code="E_SIGNATURE")


def require_open_eyes(study: Study) -> None:
    """Who is still blindfolded for a patient of the study would analyse it without them.

    Raises
    ------
    NotAllowed
    """
    cohort = Patient._base_manager.filter(cohort=study.cohort_id) if study.cohort_id else Patient._base_manager.none()
    if hides_any(list(study.cases.values_list("patient", flat=True))) or hides_any(cohort):
        raise NotAllowed(
            "Some patients of this study or its cohort are hidden from you: you read or sort them blinded, or did.",
            hint="Another coordinator can ask for it, or you can when that study is unblinded or the task is closed.",
        )


def title_taken(title: str) -> Conflict:
    return Conflict(f"There is a study with the title {title!r} already.", field="title")


def require_reason(reason: str) -> str:
    reason = reason.strip()
    if len(reason) < 5:
        raise DomainError("Give a reason in a few words.", code="E_REASON", field="reason",
                          hint="It is kept in the record for good.")  # fmt: skip
    return reason[:2_000]
