"""Whom a reader may not see outside of reading."""

from __future__ import annotations

from typing import Any

from reader_study.models import Study, StudyCase

BLIND = (Study.State.LOCKED, Study.State.READING, Study.State.FROZEN)


def hidden_patients(user: Any) -> list[int]:
    """Patients of studies that the user reads and that are not unblinded or stopped. 1 query; 0 for visitors.

    From the lock on, so that nobody looks a case up before the first session, and until the unblinding, so that
    nobody does between two sessions or corrects a memory afterwards. A reader who left the study sees them again.
    """
    if not user.is_authenticated:
        return []
    mine = StudyCase.objects.filter(
        study__readers__user=user, study__readers__withdrawn_at=None, study__state__in=BLIND
    )
    return list(mine.values_list("patient_id", flat=True).distinct())
