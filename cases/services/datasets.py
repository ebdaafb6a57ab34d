"""Freezing dataset versions."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import Max

from cases.models import DatasetEntry, DatasetVersion
from cases.selectors.dataset_plan import Plan, dataset_plan
from cases.selectors.usable import Choices
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import User
from leukoweb.core.snapshot import one_snapshot
from leukoweb.core.storage import blobs


class CannotFreeze(Conflict):
    """Something stands against the freeze; the first reason is told, ``problems`` has all."""

    code = "E_FREEZE"

    def __init__(self, plan: Plan) -> None:
        first = plan.problems[0]
        more = f" And {len(plan.problems) - 1} more." if len(plan.problems) > 1 else ""
        super().__init__(first.message + more, code=first.code, hint=first.hint)
        self.plan, self.problems = plan, plan.problems


class NotAsShown(Conflict):
    """What would be frozen is not what was looked at; ``plan`` is what it would be now."""

    code = "E_NOT_AS_SHOWN"

    def __init__(self, plan: Plan) -> None:
        super().__init__(
            "Nothing was frozen: this is not what you were shown before. The choices were changed since, or labels, "
            "exclusions or images were.", hint="Look at it again, then freeze it.",
        )  # fmt: skip
        self.plan = plan


def dataset_freeze(*, actor: User | None, name: str, choices: Choices, shown: str | None = None) -> DatasetVersion:
    """Freeze what `dataset_plan` finds now as the next version of ``name``.

    What is found is found in one snapshot, so that labels and the digest of the decisions are of one moment. It is not
    the transaction that writes: in a snapshot the record would follow what was the newest event of the chain then.
    The manifest is stored under its hash before the rows are written, so a kill leaves at most a file that the
    sweep removes.

    Parameters
    ----------
    shown
        `Plan.fingerprint` of the preview that was looked at; not given where nobody looks (the API).

    Raises
    ------
    CannotFreeze
        An external cohort, unsettled duplicates across patients, no image, a leak: see `dataset_plan`.
    NotAsShown
        The plan of this moment has another fingerprint than ``shown``.
    DomainError
        A name that is empty, too long or has a colon.
    Conflict
        Somebody else froze the same number in the same moment.
    """
    name = name.strip()
    if not name or len(name) > 80 or ":" in name:
        raise DomainError("A dataset needs a name of 1 to 80 characters without a colon.", field="name")
    with one_snapshot():
        plan = dataset_plan(choices)
    if plan.problems:
        raise CannotFreeze(plan)
    if shown is not None and shown != plan.fingerprint(name):
        raise NotAsShown(plan)
    return _freeze(actor, name, plan)


@transaction.atomic
def _freeze(actor: User | None, name: str, plan: Plan) -> DatasetVersion:
    number = (DatasetVersion.objects.filter(name=name).aggregate(last=Max("version"))["last"] or 0) + 1
    sha256 = blobs().put(plan.manifest())
    try:
        with transaction.atomic():
            version = _write(actor, name, number, plan, sha256)
    except IntegrityError as error:
        raise Conflict(f"Somebody else has just frozen {name} {number}.", hint="Look at it, then try again.") from error
    audit_record(
        actor=actor, action="dataset.freeze", target=f"dataset:{version.pk}",
        data={"name": name, "version": number, "manifest_sha256": sha256, "n_images": version.n_images},
    )  # fmt: skip
    return version


def _write(actor: User | None, name: str, number: int, plan: Plan, sha256: str) -> DatasetVersion:
    version = DatasetVersion.objects.create(
        name=name, version=number, taxonomy=plan.taxonomy, class_map=plan.class_map.name,
        choices=plan.choices.as_dict(), flow=[step.as_dict() for step in plan.flow], counts=plan.counts,
        proof=[check.as_dict() for check in plan.checks], manifest_sha256=sha256, n_images=len(plan.images),
        n_patients=plan.n_patients, synthetic=plan.synthetic, created_by=actor,
    )  # fmt: skip
    DatasetEntry.objects.bulk_create(
        (
            DatasetEntry(
                dataset=version, number=at, image_id=image.row.pk, patient_id=image.row.patient_id,
                patient_code=image.row.patient, slide_code=image.row.slide, content_sha256=image.row.content,
                label=image.label, split=image.split, fold=image.fold,
            )
            for at, image in enumerate(plan.images, start=1)
        ),
        batch_size=500,
    )  # fmt: skip
    return version
