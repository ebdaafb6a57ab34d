"""Models and pipelines as the pages list them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from django.db.models import Count, Q, QuerySet

from inference.models import ModelVersion, PipelineVersion
from inference.pipeline.classes import SLOT_CLASSES
from leukoweb.core.exceptions import NotFound

_SLOTS = ("model_1", "model_2", "model_3", "single_model")


def pipeline_active() -> PipelineVersion | None:
    return PipelineVersion.objects.select_related(*_SLOTS).filter(is_active=True).first()


def pipeline_list() -> QuerySet[PipelineVersion]:
    """The active one first, then the newest."""
    return (
        PipelineVersion.objects.select_related(*_SLOTS, "created_by")
        .annotate(n_runs=Count("runs"))
        .order_by("-is_active", "-id")
    )


def model_list() -> QuerySet[ModelVersion]:
    return ModelVersion.objects.select_related("created_by")


def model_list_for(slot: str) -> QuerySet[ModelVersion]:
    """Models whose classes fit a slot: model 3 may also be the single model of the comparator."""
    fitting = [pk for pk, classes in model_list().values_list("pk", "classes") if tuple(classes) in SLOT_CLASSES[slot]]
    return model_list().filter(pk__in=fitting)


def version_free(kind: type[ModelVersion] | type[PipelineVersion], name: str) -> str:
    """The first whole number that no version of this name has; one query."""
    taken = set(kind.objects.filter(name=name).values_list("version", flat=True))
    return next(version for version in map(str, itertools.count(1)) if version not in taken)


def names_registered(names: Iterable[str]) -> set[str]:
    """Those of the names that a model or a pipeline has, in any version; two queries."""
    wanted = list(names)
    kinds = (ModelVersion, PipelineVersion)
    return {name for kind in kinds for name in kind.objects.filter(name__in=wanted).values_list("name", flat=True)}


def pipelines_with(model: ModelVersion) -> QuerySet[PipelineVersion]:
    """Pipelines that use this model in any slot."""
    return PipelineVersion.objects.filter(
        Q(model_1=model) | Q(model_2=model) | Q(model_3=model) | Q(single_model=model)
    )


def pipeline_named(text: str) -> PipelineVersion:
    """``NAME:VERSION``, or a name alone for its newest version; NotFound lists what exists."""
    name, colon, version = text.rpartition(":")
    found = PipelineVersion.objects.select_related(*_SLOTS).filter(
        **({"name": name, "version": version} if colon else {"name": text})
    )
    pipeline = found.order_by("-id").first()
    if pipeline is None:
        known = [f"{p.name}:{p.version}" for p in PipelineVersion.objects.all()[:20]]
        raise NotFound(
            f"There is no pipeline {text!r}.",
            hint=f"Known: {', '.join(known)}." if known else "None is registered; import one first.", field="pipeline",
        )  # fmt: skip
    return pipeline


def model_named(text: str) -> ModelVersion:
    """``NAME:VERSION``, or a name alone for its newest version; NotFound lists what exists."""
    name, colon, version = text.rpartition(":")
    found = ModelVersion.objects.filter(**({"name": name, "version": version} if colon else {"name": text}))
    model = found.order_by("-id").first()
    if model is None:
        known = ", ".join(f"{m.name}:{m.version}" for m in ModelVersion.objects.order_by("-id")[:20]) or "none yet"
        raise NotFound(f"There is no model {text!r}.", hint=f"Known: {known}.", field="model")
    return model
