"""Steps cannot be skipped: every deed in every state of a study, from the table; what is not allowed is a conflict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import User
from reader_study.models import Study
from reader_study.services import conduct, locking, studies
from tests.reader_study.protocols import reader
from tests.reader_study.studies import document_of, make_locked, sign, world

pytestmark = pytest.mark.django_db
S, WHY = Study.State, "for a good reason"


def replacement() -> dict[str, Any]:
    return {key: value for key, value in reader("P1b", "p3").items() if key != "sessions"}


DEEDS: dict[str, tuple[set[str], Callable[[User, Study], Any]]] = {
    "edit the draft": (
        {S.DRAFT},
        lambda a, s: studies.draft_save(
            actor=a, study=s, document=document_of(s) | {"question": "Another?"}, version=s.draft_version
        ),
    ),
    "lock": ({S.DRAFT}, lambda a, s: locking.study_lock(actor=a, study=s, signature=sign(a), sha256="0" * 64)),
    "amend": (
        {S.LOCKED, S.READING},
        lambda a, s: locking.protocol_amend(
            actor=a,
            study=s,
            base=1,
            document=document_of(s) | {"closes_on": "2090-01-01"},
            reason=WHY,
            signature=sign(a),
        ),
    ),
    "extend": (
        {S.LOCKED, S.READING},
        lambda a, s: conduct.study_extend(actor=a, study=s, closes_on=None, reason=WHY, signature=sign(a)),
    ),
    "replace a reader": (
        {S.LOCKED, S.READING},
        lambda a, s: conduct.reader_replace(
            actor=a,
            reader=s.readers.get(label="P1"),
            replacement=replacement(),
            reason=WHY,
            signature=sign(a),
        ),
    ),
    "freeze": (
        {S.LOCKED, S.READING},
        lambda a, s: conduct.study_freeze(actor=a, study=s, signature=sign(a), stop_reason=WHY),
    ),
    "unblind": (
        {S.FROZEN, S.STOPPED},
        lambda a, s: conduct.study_unblind(actor=a, study=s, reason=WHY, signature=sign(a)),
    ),
}
ILLEGAL = [(deed, state) for deed, (allowed, _) in DEEDS.items() for state in S.values if state not in allowed]


@pytest.mark.parametrize(("deed", "state"), ILLEGAL)
def test_what_the_state_does_not_allow_is_refused_and_changes_nothing(deed: str, state: str) -> None:
    coordinator = world()
    study = make_locked(coordinator)
    Study.objects.filter(pk=study.pk).update(state=state)
    study.refresh_from_db()
    before = Study.objects.filter(pk=study.pk).values().get()
    with pytest.raises(Conflict) as refused:
        DEEDS[deed][1](coordinator, study)
    assert (refused.value.status, refused.value.code) == (409, "E_STATE")
    assert Study.objects.filter(pk=study.pk).values().get() == before


def test_the_table_is_complete() -> None:
    assert len(ILLEGAL) == 30
    assert {state for _, state in ILLEGAL} == set(S.values)
