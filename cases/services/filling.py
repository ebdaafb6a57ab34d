"""Saying once what holds for many slides: what one slide says, where others say nothing."""

from __future__ import annotations

from django.db import transaction

from cases.models import Slide
from cases.selectors.filling import SCOPES, SPREAD, gaps, slides_beside
from cases.services.checks import require_live
from leukoweb.core.audit import audit_record, audit_record_each
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from leukoweb.core.words import counted


@transaction.atomic
def slides_fill(*, actor: User, slide: Slide, scope: str, expected: int) -> int:
    """Fill in what ``slide`` says at the slides of its patient or cohort that say nothing. Returns how many changed.

    Nothing that is said is ever changed. The record names each slide with the fields that were filled in, and so does
    the history of each.

    Parameters
    ----------
    scope
        "patient" or "cohort".
    expected
        How many slides the person was told; another number changes nothing.

    Raises
    ------
    DomainError
        An unknown scope, or nothing to fill in.
    Conflict
        The patient was withdrawn, or the number is another one by now.
    """
    if scope not in SCOPES:
        raise DomainError(f"{scope[:40]!r} is no choice.", hint="Choose the patient or the cohort.")
    slide = Slide.objects.select_for_update(of=("self", "patient")).select_related("patient", "device").get(pk=slide.pk)
    require_live(slide.patient)
    found = gaps(slide, slides_beside(slide, scope).select_for_update(of=("self",)))
    if not found:
        raise DomainError(f"No other slide of {SCOPES[scope]} lacks anything that {slide.code} says.")
    if len(found) != expected:
        raise Conflict(
            f"It would be {counted(len(found), 'slide')} now, not {expected}.", hint="Look again, then decide."
        )
    for gap in found:
        for name in gap.fields:
            setattr(gap.slide, name, getattr(slide, name))
    Slide.objects.bulk_update([gap.slide for gap in found], SPREAD, batch_size=200)
    said = {name: str(getattr(slide, name)) for name in SPREAD if any(name in gap.fields for gap in found)}
    audit_record(
        actor=actor, action="slides.fill", target=f"slide:{slide.pk}",
        data={"scope": scope, "values": said, "filled": {str(gap.slide.pk): list(gap.fields) for gap in found}},
    )  # fmt: skip
    audit_record_each(
        actor=actor, action="slide.filled",
        entries=[
            (f"slide:{gap.slide.pk}", {"from": slide.pk, "values": {name: said[name] for name in gap.fields}})
            for gap in found
        ],
    )  # fmt: skip
    return len(found)
