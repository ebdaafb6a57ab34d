"""Withdrawing a patient: the pixels and names go, a tombstone stays."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from cases.models import HpfImage, ImageOriginalName, Patient, UploadItem
from cases.services.checks import require_live
from cases.services.content import contents_purge
from cases.services.patients import require_reason
from cases.services.uploads import PATH_MAX
from leukoweb.core.audit import audit_record
from leukoweb.core.models import User

Follower = Callable[[Patient], None]
_followers: list[Follower] = []


def register_follower(follower: Follower) -> None:
    """For apps above, from their ``ready()``: called inside of the withdrawal, so that all stands or falls together."""
    if follower not in _followers:
        _followers.append(follower)


def patient_withdraw(*, actor: User, patient: Patient, reason: str) -> int:
    """Withdraw a patient for good. Returns how many stored images were purged.

    The rows stay (predictions and protocols point at them) but are shown to nobody. Pixels that a live patient also
    has stay with that patient. The withdrawal is on record before the first file goes, and a kill in between is
    made good by ``sweep_media``.

    Raises
    ------
    DomainError
        No reason given.
    Conflict
        Withdrawn already.
    PurgeDelayed
        The patient is withdrawn, but the store of the files failed.
    """
    require_reason(reason)
    with transaction.atomic():
        patient = Patient.objects.select_for_update().get(pk=patient.pk)
        require_live(patient)
        patient.withdrawn_at = timezone.now()
        patient.note = ""
        patient.save(update_fields=["withdrawn_at", "note"])
        images = HpfImage.objects.filter(slide__patient=patient)
        contents = set(images.values_list("content_sha256", flat=True))
        ImageOriginalName.objects.filter(image__slide__patient=patient).delete()
        _forget_paths(patient)
        for follower in _followers:
            follower(patient)
        audit_record(
            actor=actor, action="patient.withdraw", target=f"patient:{patient.pk}", reason=reason,
            data={"code": patient.code, "n_images": images.count(), "n_contents": len(contents)},
        )  # fmt: skip
    return contents_purge(contents, done=f"{patient} was withdrawn")


def _forget_paths(patient: Patient) -> None:
    """Of the patient's files, and of the archives that brought them: an archive is often called like its patient.

    Theirs is what was sent to a slide of theirs, and what is in one since fields were moved. Files of other patients
    from the same archive keep their own part of the path and lose the archive's.
    """
    theirs = Q(slide__patient=patient) | Q(image__slide__patient=patient)
    files = list(UploadItem.objects.filter(theirs).values_list("pk", flat=True))
    brought = Q(members__in=UploadItem.objects.filter(theirs)) | Q(batch__slide__patient=patient)
    archives = list(UploadItem.objects.filter(brought, is_archive=True).distinct())
    for number in files:
        UploadItem.objects.filter(pk=number).update(path=f"withdrawn-{number}", message="", hint="")
    for archive in archives:
        old, new = f"{archive.path}/", f"withdrawn-{archive.pk}"
        UploadItem.objects.filter(pk=archive.pk).update(path=new, message="", hint="")
        for member in archive.members.filter(path__startswith=old):
            path = f"{new}/{member.path.removeprefix(old)}"[-PATH_MAX:]
            UploadItem.objects.filter(pk=member.pk).update(path=path, message="", hint="")
            image = UploadItem.objects.filter(pk=member.pk).values("image")  # a job may have stored it meanwhile
            ImageOriginalName.objects.filter(image__in=image, name__startswith=old).update(name=path)
