"""Labels from elsewhere (a drawing, another installation), written as decisions of a seat with origin "import"."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from django.db import transaction

from cases.models import Cohort, HpfImage, SortingDecision, SortingItem, SortingSeat, SortingTask, Taxonomy, Verdict
from cases.services.taxonomies import data_of
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import Role, User

IMPORTER = "import"
_NAMESPACE = uuid.UUID("4f0f3ae3-7a55-4f0d-9a59-1d1f7a5ab0c8")  # any constant: makes the keys of imported decisions


def importer() -> User:
    """The user that imported decisions are written for; nobody can sign in as it."""
    user = User.objects.filter(username=IMPORTER).first()
    if user is None:
        user = User(username=IMPORTER, role=Role.PATHOLOGIST, is_active=False, first_name="Imported")
        user.set_unusable_password()
        user.save()
    return user


@transaction.atomic
def labels_import(
    *, actor: User | None, name: str, cohorts: Iterable[Cohort], taxonomy: Taxonomy, labels: Mapping[int, str],
    sorter: User | None = None,
) -> SortingTask:  # fmt: skip
    """Image id -> label, as the decisions of one seat of the task ``name``, which is made where it is missing.

    The seat is `importer`'s unless ``sorter`` says whose labels these are: whoever imports did not sort them.
    An image whose label is what the seat says already is left alone, so the same import again changes nothing.

    Raises
    ------
    DomainError
        A label that the taxonomy has not, or a task of that name with another taxonomy or closed.
    """
    known = data_of(taxonomy).names
    if unknown := sorted(set(labels.values()) - set(known)):
        raise DomainError(
            f"Taxonomy {taxonomy} has no label {unknown[0][:40]!r}.", code="E_CLASS", field="label",
            hint=f"It has {', '.join(known)}.",
        )  # fmt: skip
    task = SortingTask.objects.filter(name=name).first() or SortingTask.objects.create(
        name=name, taxonomy=taxonomy, seed=0, created_by=actor, assignment=SortingTask.Assignment.ALL,
        consensus={"rule": "majority", "version": 1}, instructions="Imported labels.",
    )  # fmt: skip
    if task.taxonomy_id != taxonomy.pk or task.closed_at is not None:
        raise DomainError(
            f"The sorting task {name!r} is closed or has another taxonomy.", field="name", hint="Use another name."
        )
    task.cohorts.add(*cohorts)
    seat, _ = SortingSeat.objects.get_or_create(task=task, user=sorter or importer(), defaults={"seed": 0})
    n = _decide(seat, labels)
    audit_record(
        actor=actor, action="sorting.import", target=f"sorting:{task.pk}", data={"name": name, "n_decisions": n}
    )
    return task


def _decide(seat: SortingSeat, labels: Mapping[int, str]) -> int:
    items = {item.image_id: item for item in SortingItem.objects.filter(seat=seat).select_related("current")}
    new = [pk for pk in labels if pk not in items]
    SortingItem.objects.bulk_create(
        (SortingItem(seat=seat, image_id=pk, position=at) for at, pk in enumerate(new, start=len(items) + 1)),
        batch_size=500,
    )
    changing = [
        pk for pk, label in labels.items()
        if pk not in items or (current := items[pk].current) is None or current.label != label
    ]  # fmt: skip
    last = SortingDecision.objects.filter(seat=seat).count()
    made = SortingDecision.objects.bulk_create(
        (
            SortingDecision(
                seat=seat, image_id=pk, verdict=Verdict.LABEL, label=labels[pk], origin=SortingDecision.Origin.IMPORT,
                key=uuid.uuid5(_NAMESPACE, f"{seat.pk}/{last}/{pk}"),
            )
            for pk in changing
        ),
        batch_size=500,
    )  # fmt: skip
    by_image = {decision.image_id: decision for decision in made}
    touched = list(SortingItem.objects.filter(seat=seat, image__in=HpfImage.objects.filter(pk__in=changing)))
    for item in touched:
        item.current = by_image[item.image_id]
    SortingItem.objects.bulk_update(touched, ["current"], batch_size=500)
    return len(made)
