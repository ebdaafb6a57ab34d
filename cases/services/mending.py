"""The way back from ordinary mistakes: a cohort's name, a patient or slide that should not be, a slide of another."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.db.models import ForeignObjectRel, Model, ProtectedError, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from cases.models import Cohort, HpfImage, Patient, Slide, UploadBatch, UploadItem
from cases.services.checks import require_live, require_valid, unique_or_conflict
from cases.services.patients import require_reason
from cases.services.removals import in_words, resting_on
from leukoweb.core.audit import audit_record, audit_record_each
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import User

NameHolder = Callable[[Cohort], str]
_name_holders: list[NameHolder] = []
_GO_ALONG = (HpfImage, UploadBatch, UploadItem)


def register_name_holder(holder: NameHolder) -> None:
    """For ``ready()``, that of apps above too: says in words what of theirs finds a cohort by its name, or ""."""
    if holder not in _name_holders:
        _name_holders.append(holder)


def cohort_name_held(cohort: Cohort) -> str:
    """In words why the name of a cohort must stay; empty where it may change."""
    return next((held for holder in _name_holders if (held := holder(cohort))), "")


@transaction.atomic
def cohort_change(*, actor: User, cohort: Cohort, name: str, description: str = "") -> Cohort:
    """Another name or description. The purpose never changes; frozen datasets and the record keep the old name.

    Raises
    ------
    DomainError
        A name that is empty or too long.
    Conflict
        The name is taken, or a protocol or an import that has not ended well names the cohort (E_NAMED).
    """
    cohort = Cohort.objects.select_for_update().get(pk=cohort.pk)
    before = {"name": cohort.name, "description": cohort.description}
    cohort.name, cohort.description = name.strip(), description.strip()
    if cohort.name != before["name"] and (held := cohort_name_held(cohort)):
        raise Conflict(f"The name cannot be changed: {held} names the cohort.", code="E_NAMED", field="name",
                       hint=f"Keep {before['name']!r}; the description can say more.")  # fmt: skip
    require_valid(cohort)
    with unique_or_conflict(f"There is a cohort named {cohort.name!r} already.", field="name"):
        cohort.save(update_fields=["name", "description"])
    after = {"name": cohort.name, "description": cohort.description}
    changed = {key: {"before": before[key], "after": after[key]} for key in after if before[key] != after[key]}
    if changed:
        audit_record(actor=actor, action="cohort.change", target=f"cohort:{cohort.pk}", data=changed)
    return cohort


@transaction.atomic
def slide_remove(*, actor: User, slide: Slide, reason: str) -> None:
    """Delete a slide that has no image and on which nothing rests. Its patient's history keeps that there was one.

    Uploads into this slide alone end, and lists of ended uploads forget their files for it.

    Raises
    ------
    DomainError
        No reason given.
    Conflict
        The patient was withdrawn; the slide has fields (E_NOT_EMPTY); an upload for it is open, or something rests on
        it (E_FROZEN).
    """
    require_reason(reason)
    slide = Slide.objects.select_for_update(of=("self", "patient")).select_related("patient").get(pk=slide.pk)
    require_live(slide.patient)
    if slide.images.exists():
        raise Conflict(f"Slide {slide.code} has fields.", code="E_NOT_EMPTY",
                       hint="Move them to their slide, or remove them one by one.")  # fmt: skip
    items = UploadItem.objects.filter(Q(slide=slide) | Q(batch__slide=slide))  # an archive is of the upload's slide
    if items.filter(batch__closed_at=None, state__in=UploadItem.UNFINISHED).exists():
        raise Conflict(f"An upload to slide {slide.code} is not finished.", hint="Finish or end it on the upload page.")
    n_items, _ = items.delete()
    # Open and without its slide, an upload would be one of many slides.
    UploadBatch.objects.filter(slide=slide).update(slide=None, closed_at=Coalesce("closed_at", timezone.now()))
    number = slide.pk
    _delete(slide, f"Slide {slide.code}")
    audit_record(
        actor=actor, action="slide.remove", target=f"slide:{number}", reason=reason.strip(),
        data={"code": slide.code, "patient": slide.patient_id, "n_upload_lines": n_items},
    )  # fmt: skip
    audit_record(
        actor=actor, action="patient.slide_removed", target=f"patient:{slide.patient_id}", reason=reason.strip(),
        data={"slide": number, "code": slide.code},
    )  # fmt: skip


@transaction.atomic
def patient_remove(*, actor: User, patient: Patient, reason: str) -> None:
    """Delete a patient without any slide and on whom nothing rests: no reference, no result, no study.

    Raises
    ------
    DomainError
        No reason given.
    Conflict
        The patient was withdrawn, has slides (E_NOT_EMPTY), or something rests on the patient (E_FROZEN).
    """
    require_reason(reason)
    patient = Patient.objects.select_for_update().get(pk=patient.pk)
    require_live(patient)
    if patient.slides.exists():
        raise Conflict(f"Patient {patient.code} has slides.", code="E_NOT_EMPTY", hint="Remove the empty slides first.")
    number = patient.pk
    _delete(patient, f"Patient {patient.code}")
    audit_record(
        actor=actor, action="patient.remove", target=f"patient:{number}", reason=reason.strip(),
        data={"code": patient.code, "cohort": patient.cohort_id},
    )  # fmt: skip


@transaction.atomic
def slide_move(*, actor: User, slide: Slide, patient: Patient, reason: str) -> Slide:
    """Give a slide to another patient of the same cohort, while nothing that anybody decided or computed rests on it.

    A frozen dataset, a result, a study or a sorter's decision names the patient beside the image, and who has seen a
    label or result of the slide was noted for the patient; so such a slide stays where it is.

    Raises
    ------
    DomainError
        No reason given.
    Conflict
        A patient was withdrawn, is of another cohort or is the same; or something rests on the slide (E_FROZEN).
    """
    require_reason(reason)
    slide = Slide.objects.select_for_update(of=("self", "patient")).select_related("patient").get(pk=slide.pk)
    patient = Patient.objects.select_for_update().get(pk=patient.pk)
    require_live(slide.patient)
    require_live(patient)
    if patient.pk == slide.patient_id:
        raise Conflict(f"Slide {slide.code} is of patient {patient.code} already.", field="patient")
    if patient.cohort_id != slide.patient.cohort_id:
        raise Conflict(f"Patient {patient.code} is of another cohort.", field="patient",
                       hint="A slide moves inside of its cohort only.")  # fmt: skip
    if held := _resting_on(slide):
        raise Conflict(f"Slide {slide.code} cannot be moved: {held} rests on it.", code="E_FROZEN",
                       hint="Withdraw the patient if the data must go.")  # fmt: skip
    before, slide.patient = slide.patient, patient
    slide.save(update_fields=["patient"])
    moved = {"code": slide.code, "before": before.pk, "after": patient.pk}
    audit_record(
        actor=actor, action="slide.move", target=f"slide:{slide.pk}", reason=reason.strip(),
        data=moved | {"n_images": slide.images.count()},
    )  # fmt: skip
    audit_record_each(
        actor=actor, action="patient.slide_moved", reason=reason.strip(),
        entries=[(f"patient:{one.pk}", moved | {"slide": slide.pk}) for one in (before, patient)],
    )  # fmt: skip
    return slide


def _resting_on(slide: Slide) -> str:
    """In words what would contradict another patient; empty if nothing does."""
    for relation in Slide._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ForeignObjectRel) or relation.related_model in _GO_ALONG:
            continue
        model = relation.related_model
        if model._base_manager.filter(**{relation.field.name: slide}).exists():
            return in_words(model)
    return resting_on(list(slide.images.all()))


def _delete(row: Model, words: str) -> None:
    try:
        with transaction.atomic():
            row.delete()
    except ProtectedError as error:
        held = in_words(type(next(iter(error.protected_objects))))
        raise Conflict(f"{words} cannot be removed: {held} rests on it.", code="E_FROZEN") from error
