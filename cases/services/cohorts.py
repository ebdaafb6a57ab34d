"""Making cohorts."""

from __future__ import annotations

from django.db import transaction

from cases.models import Cohort
from cases.services.checks import require_valid, unique_or_conflict
from leukoweb.core.audit import audit_record
from leukoweb.core.models import User


@transaction.atomic
def cohort_create(
    *, actor: User | None, name: str, purpose: str, description: str = "", synthetic: bool = False
) -> Cohort:
    """A cohort for one purpose (``development`` or ``external``), which never changes afterwards.

    Raises
    ------
    DomainError
        Unknown purpose, or a name that is empty or too long.
    Conflict
        The name is taken.
    """
    cohort = Cohort(name=name.strip(), purpose=purpose, description=description, synthetic=synthetic, created_by=actor)
    require_valid(cohort)
    with unique_or_conflict(f"There is a cohort named {cohort.name!r} already.", field="name"):
        cohort.save()
    audit_record(
        actor=actor, action="cohort.create", target=f"cohort:{cohort.pk}",
        data={"name": cohort.name, "purpose": purpose},
    )  # fmt: skip
    return cohort
