"""Taxonomies as versioned rows: the paper's first, a laboratory's own after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from cases.models import Taxonomy
from cases.taxonomy import ClassMap
from cases.taxonomy_data import TaxonomyData, paper_taxonomy, read_taxonomy
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError, NotFound
from leukoweb.core.models import User

PAPER = "paper"


def taxonomy_ensure() -> Taxonomy:
    """Version 1 of "paper", written down the first time it is needed."""
    found = Taxonomy.objects.filter(name=PAPER, version=1).first()
    if found is not None:
        return found
    try:
        note = "The seven labels and the maps of JMAI-24-74."
        return _write(None, PAPER, 1, paper_taxonomy(), note)
    except IntegrityError:  # somebody else was faster
        return Taxonomy.objects.get(name=PAPER, version=1)


@transaction.atomic
def taxonomy_version_create(
    *, actor: User | None, name: str, labels: Sequence[Mapping[str, str]], maps: Mapping[str, Any], note: str = ""
) -> Taxonomy:
    """The next version of the taxonomy ``name`` (1 if the name is new). Earlier versions, and what they sorted, stay.

    Raises
    ------
    DomainError
        What `read_taxonomy` refuses, an empty name, or labels and maps equal to the newest version's.
    Conflict
        Somebody made a version in the same moment.
    """
    name = name.strip()
    if not name or len(name) > 60:
        raise DomainError("A taxonomy needs a name of 1 to 60 characters.", code="E_TAXONOMY", field="name")
    newest = Taxonomy.objects.filter(name=name).aggregate(newest=Max("version"))["newest"] or 0
    data = read_taxonomy(labels, maps, version=newest + 1)
    if Taxonomy.objects.filter(name=name, version=newest, sha256=data.sha256).exists():
        raise DomainError(f"Nothing differs from version {newest}.", code="E_UNCHANGED", hint="Change something first.")
    try:
        with transaction.atomic():
            return _write(actor, name, newest + 1, data, note)
    except IntegrityError as error:
        message = f"Somebody else has just made version {newest + 1}."
        raise Conflict(message, hint="Look at it, then try again.") from error


@transaction.atomic
def _write(actor: User | None, name: str, version: int, data: TaxonomyData, note: str) -> Taxonomy:
    taxonomy = Taxonomy.objects.create(
        name=name, version=version, labels=data.labels_json(), maps=data.maps_json(), sha256=data.sha256, note=note,
        created_by=actor,
    )  # fmt: skip
    audit_record(
        actor=actor, action="taxonomy.create", target=f"taxonomy:{taxonomy.pk}",
        data={"name": name, "version": version, "sha256": data.sha256, "labels": list(data.names)},
    )  # fmt: skip
    return taxonomy


def data_of(taxonomy: Taxonomy) -> TaxonomyData:
    """The labels and maps of a stored version."""
    return read_taxonomy(taxonomy.labels, taxonomy.maps, version=taxonomy.version)


def map_of(taxonomy: Taxonomy, name: str) -> ClassMap:
    """The map ``name`` of a stored version; calling it with a label gives the class. Raises `NotFound`."""
    maps = data_of(taxonomy).maps
    if name not in maps:
        raise NotFound(
            f"Taxonomy {taxonomy} has no map {name[:40]!r}.", code="E_MAP", hint=f"It has {', '.join(maps)}.",
            field="class_map",
        )  # fmt: skip
    return maps[name]
