"""The review of a slide: a person has looked at every field before anybody can read it in a study."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from cases.models import Slide
from cases.selectors.reviews import fields_fingerprint
from cases.services.checks import require_live
from cases.text_hint import available
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job, User

NO_IDENTITY, COMPLETE, IN_ORDER = "no_identity", "complete", "in_order"


@transaction.atomic
def slide_review(
    *, actor: User, slide: Slide, no_identity: bool, complete: bool, in_order: bool, reason: str = "", seen: str = ""
) -> Slide:
    """Pass a slide if all three statements hold, refuse it with a reason otherwise.

    Parameters
    ----------
    no_identity
        No name, number, date, label or other text is visible in any field.
    complete
        Every field that was captured is here, and the acquisition fields are right.
    in_order
        The fields stand in the order in which they were captured.
    reason
        Why it is refused; needed then, and refused itself when all three hold.
    seen
        ``fields_fingerprint`` of what was shown; empty: not compared.

    Raises
    ------
    DomainError
        A refusal without a reason (E_REASON), a reason without a refusal (E_REVIEW).
    Conflict
        No field, the patient was withdrawn, or the fields changed since they were shown (E_STALE).
    """
    slide = _locked(slide, seen)
    held = {NO_IDENTITY: no_identity, COMPLETE: complete, IN_ORDER: in_order}
    passed, reason = all(held.values()), reason.strip()
    if not passed and not reason:
        raise DomainError("Say why the slide is refused.", code="E_REASON", field="reason",
                          hint="Or tick all three statements to pass it.")  # fmt: skip
    if passed and reason:
        raise DomainError("All three statements are ticked and a reason for a refusal is given.", code="E_REVIEW",
                          field="reason", hint="Clear the reason, or untick what does not hold.")  # fmt: skip
    if len(reason) > 500:
        raise DomainError(f"The reason has {len(reason)} characters; the limit is 500.", field="reason")
    return _settle(slide, Slide.Review.PASSED if passed else Slide.Review.REFUSED, actor, reason, held)


@transaction.atomic
def slide_review_by_system(slide: Slide) -> Slide:
    """Pass a phantom slide, whose fields hold nothing but what this program drew. Others need a person."""
    slide = _locked(slide, "")
    if not slide.patient.cohort.synthetic:
        raise Conflict(f"Slide {slide.code} was not drawn by this program; a person must look at it.")
    if slide.review == Slide.Review.PASSED:
        return slide
    return _settle(slide, Slide.Review.PASSED, None, "", {"drawn": True})


def review_reset(*slide_ids: int) -> None:
    """Make the reviews of slides void, because their fields change. Call it in the transaction that changes them."""
    reviewed = Slide.objects.filter(pk__in=slide_ids).exclude(review=Slide.Review.WAITING)
    for slide in reviewed.only("pk", "review"):
        audit_record(actor=None, action="slide.review_void", target=f"slide:{slide.pk}", data={"was": slide.review})
    reviewed.update(review=Slide.Review.WAITING, reviewed_at=None, reviewed_by=None, review_reason="")


def text_search_request(*, actor: User, slide: Slide) -> Job:
    """Queue the search for burnt-in text in the fields of a slide. The caller rings.

    Raises
    ------
    DomainError
        The extra ``[deid]`` is not installed.
    """
    if not available():
        raise DomainError(
            "Burnt-in text cannot be looked for: the extra [deid] is not installed.", code="E_NO_DEID",
            hint="Ask an admin to run: pip install -c constraints.txt -e '.[deid]'",
        )  # fmt: skip
    return job_create(
        kind="cases.find_text", title=f"Look for text in the fields of {slide.code}", payload={"slide": slide.pk},
        actor=actor, key=f"text:{slide.pk}", total_units=slide.images.count(),
    )  # fmt: skip


def _locked(slide: Slide, seen: str) -> Slide:
    rows = Slide.objects.select_for_update(of=("self",)).select_related("patient__cohort")
    slide = rows.get(pk=slide.pk)
    require_live(slide.patient)
    if not slide.images.exists():
        raise Conflict(f"Slide {slide.code} has no field yet.", code="E_EMPTY_SLIDE", hint="Upload its images first.")
    if seen and seen != fields_fingerprint(slide):
        raise Conflict(
            f"The fields of slide {slide.code} changed while you looked at them.", code="E_STALE",
            hint="Look at them again.",
        )  # fmt: skip
    return slide


def _settle(slide: Slide, outcome: str, actor: User | None, reason: str, held: dict[str, bool]) -> Slide:
    slide.review, slide.reviewed_at, slide.reviewed_by, slide.review_reason = outcome, timezone.now(), actor, reason
    slide.save(update_fields=["review", "reviewed_at", "reviewed_by", "review_reason"])
    audit_record(
        actor=actor, action="slide.review", target=f"slide:{slide.pk}", reason=reason,
        data={"outcome": outcome, **held, "fields": fields_fingerprint(slide), "n_fields": slide.images.count()},
    )  # fmt: skip
    return slide
