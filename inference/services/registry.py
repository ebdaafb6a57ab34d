"""Model and pipeline versions: imported, composed, activated. A version never changes; a pointer says which is live."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import EllipsisType
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from inference.models import ModelVersion, PipelineVersion, Promotion
from inference.pipeline.checkpoint import PIPELINE_NAME, ModelFolder, load_model_folder, load_pipeline_folder
from inference.pipeline.classes import SLOT_CLASSES
from inference.pipeline.errors import WeightsClasses
from inference.pipeline.rules import RuleSet
from inference.services.errors import VersionTaken
from inference.services.files import model_files_put
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import User

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]*")
_LIMITS = {"name": 80, "version": 40}


def model_import(*, actor: User | None, folder: Path) -> ModelVersion:
    """Register the model of a folder; the same model again returns the existing row.

    Raises
    ------
    WeightsFormat, WeightsKeys, WeightsNan, WeightsSha, WeightsClasses, RecipeInvalid
        The folder is not a sound model (codes ``E_WEIGHTS_*``).
    VersionTaken
        This name and version are registered with other content.
    """
    return _register_model(actor, load_model_folder(folder))


def pipeline_import(*, actor: User | None, folder: Path) -> PipelineVersion:
    """Register a pipeline folder with all its models, in one transaction; again: the existing row."""
    source = load_pipeline_folder(folder)
    with transaction.atomic():
        models = {slot: _register_model(actor, model) for slot, model in source.models.items()}
        return pipeline_create(
            actor=actor, name=source.name, version=source.version, description=source.description,
            rule_set=source.rule_set, models=models,
        )  # fmt: skip


@transaction.atomic
def pipeline_create(
    *,
    actor: User | None,
    name: str,
    version: str,
    rule_set: RuleSet,
    models: Mapping[str, ModelVersion],
    description: str = "",
) -> PipelineVersion:
    """A rule set with a model for each slot it reads; slots beyond those are kept for comparison. The same again gives
    the version that there is, in whatever words it is described."""
    _check_names(name, version)
    for slot, model in models.items():
        if tuple(model.classes) not in SLOT_CLASSES.get(slot, ()):
            raise WeightsClasses(
                f"{slot} cannot take {model}, whose classes are {', '.join(model.classes)}.", field=slot
            )
    lacking = [slot for slot in rule_set.slots if slot not in models]
    if lacking:
        raise DomainError(
            f"The rules {rule_set.name} read {', '.join(rule_set.slots)}; {', '.join(lacking)} has no model.",
            code="E_SLOT_EMPTY", hint="Choose a model for each slot that the rules read.", field=lacking[0],
        )  # fmt: skip
    content: dict[str, Any] = {"rule_set": rule_set.as_dict()}
    content |= {f"{slot}_id": models[slot].pk if slot in models else None for slot in SLOT_CLASSES}
    if known := _known_pipeline(name, version, content):
        return known
    try:
        with transaction.atomic():
            pipeline = PipelineVersion.objects.create(
                name=name, version=version, description=description, created_by=actor, **content
            )
    except IntegrityError:
        if known := _known_pipeline(name, version, content):
            return known  # the second of two clicks at once
        raise
    audit_record(
        actor=actor, action="pipeline.create", target=f"pipeline:{pipeline.pk}",
        data={"name": name, "version": version, "rules": rule_set.sha256,
              "models": {slot: str(model) for slot, model in models.items()}},
    )  # fmt: skip
    return pipeline


def _known_pipeline(name: str, version: str, content: Mapping[str, Any]) -> PipelineVersion | None:
    """The version of that name, if it is there and the same; VersionTaken if it is another."""
    known = PipelineVersion.objects.filter(name=name, version=version).first()
    if known is not None and any(getattr(known, key) != value for key, value in content.items()):
        raise _taken("pipeline", name, version)
    return known


@transaction.atomic
def pipeline_activate(
    *, actor: User | None, pipeline: PipelineVersion, reason: str = "", instead_of: int | EllipsisType | None = ...
) -> PipelineVersion:
    """Make this the pipeline that new runs use. Earlier results stay as they are.

    Two people at once: the rows are locked in one order, so the second waits; the unique index is the net. With
    ``instead_of`` (the id of the pipeline that the person saw as active, None for none) the second is told, by a
    Conflict; without it the second wins. Whoever clicks twice has done it once.
    """
    rows = PipelineVersion.objects.select_for_update(no_key=True).order_by("pk")
    before = [row for row in rows if row.is_active]
    if instead_of is not ... and _just_done(actor, pipeline, instead_of):
        pipeline.refresh_from_db()
        return pipeline
    if instead_of is not ... and instead_of != (before[0].pk if before else None):
        raise Conflict(
            f"{before[0] if before else 'No pipeline'} is active by now; somebody was faster.",
            hint="Look at what is active now, then decide again.",
        )
    _refuse_control(pipeline)
    if [row.pk for row in before] == [pipeline.pk]:
        pipeline.refresh_from_db()
        return pipeline
    try:
        with transaction.atomic():
            PipelineVersion.objects.filter(is_active=True).update(is_active=False)
            PipelineVersion.objects.filter(pk=pipeline.pk).update(is_active=True)
    except IntegrityError as error:
        raise Conflict("Somebody activated another pipeline at this moment.", hint="Look at the list again.") from error
    Promotion.objects.create(
        pipeline=pipeline, before=before[0] if before else None, reason=reason[:500], promoted_by=actor
    )
    audit_record(
        actor=actor, action="pipeline.activate", target=f"pipeline:{pipeline.pk}", reason=reason,
        data={"pipeline": str(pipeline), "before": str(before[0]) if before else None},
    )  # fmt: skip
    pipeline.refresh_from_db()
    return pipeline


def _just_done(actor: User | None, pipeline: PipelineVersion, instead_of: int | None) -> bool:
    """Whether the newest promotion is this very one, by the same person."""
    newest = Promotion.objects.order_by("-id").values_list("pipeline_id", "before_id", "promoted_by_id").first()
    return actor is not None and newest == (pipeline.pk, instead_of, actor.pk)


def _refuse_control(pipeline: PipelineVersion) -> None:
    controls = [model for model in pipeline.slots.values() if model.card.get("training", {}).get("shuffled_labels")]
    if controls:
        raise Conflict(
            f"{controls[0]} was trained on shuffled labels, as a control. It can never be active.", code="E_CONTROL"
        )


def starter_ensure() -> PipelineVersion | None:
    """Register the shipped starter pipeline, and activate it where nothing is active; None if none is shipped.

    Cheap when it is there already: called at every start.
    """
    folder = Path(settings.STARTER_PIPELINE)
    if not (folder / PIPELINE_NAME).is_file():
        return None
    head = json.loads((folder / PIPELINE_NAME).read_text(encoding="utf-8"))
    pipeline = PipelineVersion.objects.filter(name=head["name"], version=head["version"]).first()
    if pipeline is None:
        pipeline = pipeline_import(actor=None, folder=folder)
    if not PipelineVersion.objects.filter(is_active=True).exists():
        pipeline = pipeline_activate(actor=None, pipeline=pipeline, reason="First pipeline of this installation")
    return pipeline


@transaction.atomic
def _register_model(actor: User | None, source: ModelFolder) -> ModelVersion:
    card = source.card
    _check_names(card.name, card.version)
    if not ModelVersion.objects.filter(name=card.name, version=card.version).exists():
        card.require_origins()
    weights_sha256, onnx_sha256 = model_files_put(source)  # also heals a known model whose files were lost
    model, created = ModelVersion.objects.get_or_create(
        name=card.name,
        version=card.version,
        defaults={
            "slot": card.slot, "classes": list(card.classes), "card": card.as_dict(),
            "recipe_sha256": card.recipe.sha256, "weights_sha256": weights_sha256, "onnx_sha256": onnx_sha256,
            "synthetic": card.synthetic, "created_by": actor,
        },
    )  # fmt: skip
    if not created:
        if model.card != json.loads(json.dumps(card.as_dict())):
            raise _taken("model", card.name, card.version)
        return model
    audit_record(
        actor=actor, action="model.import", target=f"model:{model.pk}",
        data={"name": card.name, "version": card.version, "slot": card.slot, "weights_sha256": weights_sha256,
              "synthetic": card.synthetic},
    )  # fmt: skip
    if not card.recheck_margins:
        job_create(
            kind="inference.calibrate", title=f"Re-check band of {model}", actor=actor, total_units=1,
            key=f"calibrate:{model.pk}", payload={"model": model.pk},
        )  # fmt: skip
    return model


def _check_names(name: str, version: str) -> None:
    for field, value in (("name", name), ("version", version)):
        if len(value) > _LIMITS[field] or not _NAME.fullmatch(value):
            raise DomainError(
                f"The {field} {value[:100]!r} cannot be used.", code="E_NAME", field=field,
                hint=f"1 to {_LIMITS[field]} letters, digits, spaces or . _ + ( ) -, beginning with a letter or digit.",
            )  # fmt: skip


def _taken(what: str, name: str, version: str) -> VersionTaken:
    return VersionTaken(
        f"The {what} {name} {version} is registered already, with other content.",
        hint="A version never changes: give the new one another version.", field="version",
    )  # fmt: skip
