"""Taking a single field out for good: a label in the picture, a field of somebody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import router, transaction
from django.db.models import Model, ProtectedError
from django.db.models.deletion import Collector

from cases.models import HpfImage, Slide, UploadItem
from cases.services.checks import require_live
from cases.services.content import contents_purge
from cases.services.patients import require_reason
from cases.services.reviews import review_reset
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import User

Freezer = Callable[[HpfImage], str]
_freezers: list[Freezer] = []
REMOVED = "removed-"
_PROTECTORS = {
    "datasetentry": "a frozen dataset version", "sortingdecision": "a sorter's decision",
    "sortingitem": "a sorting task", "adjudicationdecision": "an adjudicated label", "exclusion": "a curation decision",
    "duplicatesettlement": "a settled duplicate", "sessionimage": "a reading session",
    "pipelinerun": "a run of the AI pipeline", "patientprediction": "a result of the AI pipeline",
    "referencediagnosis": "a reference diagnosis", "exposure": "the record of who has seen what",
    "studycase": "a case of a study", "uploadbatch": "an upload", "uploaditem": "an upload", "slide": "a slide",
}  # fmt: skip


def register_freezer(freezer: Freezer) -> None:
    """For apps above, from their ``ready()``: says in words what of theirs holds an image ("a result"), or ""."""
    if freezer not in _freezers:
        _freezers.append(freezer)


def image_remove(*, actor: User, image: HpfImage, reason: str) -> bool:
    """Delete an image that nothing else rests on. The record keeps its hash, its place and the reason.

    The pixels go too, unless another live slide has them. Returns whether they went. The removal is on record before
    the file goes; a kill in between is made good by the sweep.

    Raises
    ------
    DomainError
        No reason given.
    Conflict
        The patient was withdrawn, or a dataset, a decision, a result or a study holds the image (E_FROZEN).
    PurgeDelayed
        It is removed, but the store of its file failed.
    """
    require_reason(reason)
    with transaction.atomic():
        slide = Slide.objects.select_for_update(of=("self",)).select_related("patient").get(pk=image.slide_id)
        require_live(slide.patient)
        for freezer in _freezers:
            if held := freezer(image):
                raise _frozen(image, held)
        content, received, number = image.content_sha256, image.received_sha256, image.pk
        try:
            with transaction.atomic():
                _forget_path(image)
                image.delete()
        except ProtectedError as error:
            raise _frozen(image, in_words(type(next(iter(error.protected_objects))))) from error
        review_reset(slide.pk)
        audit_record(
            actor=actor, action="image.remove", target=f"slide:{slide.pk}", reason=reason.strip(),
            data={"image": number, "position": image.position, "content_sha256": content, "received_sha256": received},
        )  # fmt: skip
    return bool(contents_purge([content], done=f"Field {image.position} was removed from slide {slide}"))


def _forget_path(image: HpfImage) -> None:
    """Of the file that brought it; its original name goes with its row."""
    for number in UploadItem.objects.filter(image=image).values_list("pk", flat=True):
        UploadItem.objects.filter(pk=number).update(path=f"{REMOVED}{number}", message="", hint="")


def in_words(model: type[Model]) -> str:
    """What a row of this table is to people, where it keeps another one from going."""
    return _PROTECTORS.get(model._meta.model_name or "", "another record")


def resting_on(images: Sequence[HpfImage]) -> str:
    """In words what was decided, computed or frozen about any of these images; empty if nothing was."""
    for image in images:
        for freezer in _freezers:
            if held := freezer(image):
                return held
    try:
        Collector(using=router.db_for_write(HpfImage)).collect(images)  # asks who protects them; deletes nothing
    except ProtectedError as error:
        return in_words(type(next(iter(error.protected_objects))))
    return ""


def _frozen(image: HpfImage, held: str) -> Conflict:
    return Conflict(
        f"Field {image.position} cannot be removed: {held} rests on it.", code="E_FROZEN",
        hint="Exclude it in curation, or withdraw the patient if the picture must go.",
    )  # fmt: skip
