"""Asking for trainings and their estimates. The caller rings the bell of the job."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from cases.models import DatasetVersion, Patient
from cases.selectors.datasets import dataset_moved
from cases.services.exposures import exposure_record, exposures_record
from inference.models import ModelVersion, TrainingNote, TrainingPart, TrainingRun
from inference.pipeline.errors import EngineUnavailable
from inference.pipeline.rules import RuleSet, rule_set_named
from inference.pipeline.training_config import LIVE_RULES, PARTS, PINS, ConfigInvalid, TrainingConfig
from inference.pipeline.training_data import PartMap, check_entries, part_map, refuse_known, refuse_moved
from inference.selectors.ancestry import datasets_behind, known_patients
from inference.selectors.registry import names_registered, pipeline_active
from inference.selectors.training import training_entries, weight_files, withdrawn_since
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict
from leukoweb.core.jobs.ledger import job_create, job_retry
from leukoweb.core.models import Job, User

KIND = "training.run"
ESTIMATE_KIND = "training.estimate"
NEW_RUN = "Start a new run: it leaves the patient out."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}")


def require_trainable() -> None:
    """EngineUnavailable, with what to install, where torch is not; looked up, not imported.

    In laptop mode all processes share one environment. In production the web never has torch: the worker, which may
    be another machine, says it when the job starts (``require_torch``).
    """
    if settings.PRODUCTION:
        return
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        raise EngineUnavailable(
            "Training needs PyTorch, which is not installed here. Predictions work without it.",
            hint="Stop leukoweb, then make run without LITE=1 (or pip install -c constraints.txt -e '.[ai]').",
        )


def check_dataset(dataset: DatasetVersion, config: TrainingConfig) -> list[PartMap]:
    """The class maps of the parts, after every check that needs no file; TrainingRefused otherwise."""
    maps = [part_map(part, dataset.taxonomy.maps) for part in config.models]
    check_moved(dataset)
    check_entries(training_entries(dataset), maps)
    return maps


def check_moved(dataset: DatasetVersion) -> None:
    """TrainingRefused (E_MOVED) where images of the version belong to other patients than when it was frozen."""
    refuse_moved(list(dataset_moved(dataset).values_list("patient_code", flat=True)))


def check_start(dataset: DatasetVersion, behind: Iterable[str]) -> None:
    """TrainingRefused (E_LEAK) where the start weights have learned from internal-validation patients of ``dataset``.

    ``behind``: the dataset versions behind those weights.
    """
    known = known_patients(dataset, behind)
    refuse_known(known.patients, known.versions)


@transaction.atomic
def training_create(
    *, actor: User | None, dataset: DatasetVersion, config: TrainingConfig, name: str = ""
) -> TrainingRun:
    """A draft with its parts; nothing is queued yet. Asked for twice, the first one while its work is unfinished.

    Raises
    ------
    TrainingRefused, ConfigInvalid, EngineUnavailable, RuleSetInvalid
        What is wrong with the dataset, an option, or this installation.
    Conflict
        The name is a run's already, or a registered model's or pipeline's.
    """
    require_trainable()
    rules = _resolve_rules(config)
    lacking = _check_rules(config, rules)
    check_dataset(dataset, config)
    config, bases = _resolve_start(config)
    check_start(dataset, datasets_behind(bases.values()))
    live = config.initial_weights == "live"
    pins: dict[str, Any] = {"live": {part: model.pk for part, model in bases.items()}} if live else {}
    if config.rules == LIVE_RULES:
        pins["rules"] = rules.as_dict()
    asked = name.strip()
    if twin := _twin(actor, dataset, config, asked, pins):
        return twin
    name = asked or _free_name(dataset)
    if not _NAME.fullmatch(name):
        raise ConfigInvalid(
            f"The name {name[:80]!r} cannot be used.", field="name",
            hint="1 to 60 letters, digits, spaces or . _ -, beginning with a letter or digit.",
        )  # fmt: skip
    if asked and (taken := names_registered(_registered_as(name))):
        raise Conflict(
            f"{sorted(taken)[0]!r} is the name of a registered model or pipeline already.", field="name",
            hint="Models and pipeline are named after the run: choose another name.",
        )  # fmt: skip
    try:
        with transaction.atomic():
            run = TrainingRun.objects.create(
                name=name, dataset=dataset, config=config.as_dict(), environment=pins, created_by=actor
            )
    except IntegrityError as error:
        if twin := _twin(actor, dataset, config, asked, pins):
            return twin  # the second of two clicks at once
        raise Conflict(
            f"There is a training run {name!r} already.", hint="Choose another name.", field="name"
        ) from error
    TrainingPart.objects.bulk_create(
        [TrainingPart(run=run, part=part, position=i) for i, part in enumerate(config.models)]
    )
    if lacking:
        TrainingNote.objects.create(
            run=run, text=f"As things are, no candidate pipeline will come of this run: the rules {rules.name} also "
            f"read {' and '.join(lacking)}, and no active pipeline has that. The models will be registered.",
        )  # fmt: skip
    audit_record(
        actor=actor, action="training.create", target=f"training:{run.pk}",
        data={"name": name, "dataset": str(dataset), "manifest": dataset.manifest_sha256, "config": config.as_dict()},
    )  # fmt: skip
    return run


@transaction.atomic
def training_request(
    *, actor: User | None, dataset: DatasetVersion, config: TrainingConfig, name: str = "", estimate: bool = False
) -> tuple[TrainingRun, Job]:
    """A new run, queued or (``estimate``) measured at once; a second click gets the run of the first."""
    run = training_create(actor=actor, dataset=dataset, config=config, name=name)
    begin = estimate_request if estimate and run.job is None else training_start
    return run, begin(actor=actor, run=run)


@transaction.atomic
def training_start(*, actor: User | None, run: TrainingRun) -> Job:
    """Queue the run; at most one unfinished job per run exists (the ledger's unique key), and whoever queued it gets
    that one again."""
    run = TrainingRun.objects.select_for_update(of=("self",)).select_related("job").get(pk=run.pk)
    require_trainable()
    check_dataset(run.dataset, run.plan)
    if run.job is not None:
        if actor is not None and run.job.is_active and run.job.created_by_id == actor.pk:
            return run.job
        raise Conflict(
            f"{run.name} was started already ({run.job.get_status_display().lower()}).",
            hint="Continue it from its page if it was cancelled or has failed.",
        )
    plan = run.plan
    job = job_create(
        kind=KIND, title=f"Training {run.name}", payload={"run": run.pk}, actor=actor, key=f"training:{run.pk}",
        total_units=plan.settings.epochs * len(plan.models),
    )  # fmt: skip
    TrainingRun.objects.filter(pk=run.pk).update(job=job)
    audit_record(actor=actor, action="training.start", target=f"training:{run.pk}", data={"name": run.name})
    return job


def labels_seen(user: User, patients: Iterable[Patient]) -> None:
    """Whoever looks at reference labels of images may not read those patients blinded any more."""
    for patient in patients:
        exposure_record(user, patient, "label")


def diagnoses_seen(user: User, patient_ids: Iterable[int]) -> None:
    """Whoever looks at references beside the pipelines' diagnoses may not read those patients blinded any more."""
    for kind in ("reference", "result"):
        exposures_record(user, patient_ids, kind)


def training_continue(*, actor: User | None, run: TrainingRun) -> Job:
    """Queue a cancelled or failed run again; it resumes after its last saved epoch.

    Conflict where that epoch's weights know a patient who was withdrawn since.
    """
    if run.job is None:
        raise Conflict(f"{run.name} was not started yet.", hint="Start it.")
    if withdrawn_since(run):
        raise Conflict(
            f"{run.name} cannot go on: a patient from whom it has learned was withdrawn since.", code="E_WITHDRAWN",
            hint=NEW_RUN,
        )  # fmt: skip
    return job_retry(actor=actor, job=run.job)


@transaction.atomic
def estimate_request(*, actor: User | None, run: TrainingRun) -> Job:
    """Queue the measurement of one step; its result appears on the draft."""
    require_trainable()
    if run.job is not None:
        raise Conflict(f"{run.name} was started already; its page shows the time that is left.")
    job = job_create(
        kind=ESTIMATE_KIND, title=f"Time estimate for {run.name}", payload={"run": run.pk}, actor=actor,
        key=f"training-estimate:{run.pk}", total_units=len(run.plan.models),
    )  # fmt: skip
    TrainingRun.objects.filter(pk=run.pk).update(estimate_job=job)
    return job


def _resolve_rules(config: TrainingConfig) -> RuleSet:
    """The rules of the candidate; those of the active pipeline as they are now, which the caller pins."""
    if config.rules != LIVE_RULES:
        return rule_set_named(config.rules)
    active = pipeline_active()
    if active is None:
        raise ConfigInvalid(
            "No pipeline is active, so there are no rules to keep.", field="rules", hint="Choose other rules."
        )
    return RuleSet.from_dict(active.rule_set)


def _check_rules(config: TrainingConfig, rules: RuleSet) -> list[str]:
    """Slots that the rules read and that neither the run nor the active pipeline fills: without them no candidate.

    ConfigInvalid where the rules read none of what the run trains either, or none of it though the run trains more than
    comparators: then other models would decide for the candidate.
    """
    active = pipeline_active()
    trained = {PARTS[part][0] for part in config.models}
    lacking = [slot for slot in rules.slots if slot not in trained and (active is None or slot not in active.slots)]
    if not trained & set(rules.slots) and (lacking or trained != {"single_model"}):
        more = f", and no active pipeline has {' and '.join(lacking)}" if lacking else ""
        raise ConfigInvalid(
            f"The rules {rules.name} read {', '.join(rules.slots)}: none of that is trained here{more}.", field="rules",
            hint="Choose other rules, or other models.",
        )  # fmt: skip
    return lacking


def _resolve_start(config: TrainingConfig) -> tuple[TrainingConfig, dict[str, ModelVersion]]:
    """What the start weights name must be there: registered models by part. Such a model brings its network (and, for
    a quick retraining, its input size) with it; the live ones are the caller's to pin."""
    kind, _, value = config.initial_weights.partition(":")
    field = "initial_weights"
    if kind == "file" and value not in weight_files():
        raise ConfigInvalid(
            f"There is no file {value!r} in {settings.DATA_DIR / 'weights'}.", field=field,
            hint="Put a safetensors file, or torchvision's unchanged download, there.",
        )  # fmt: skip
    if kind not in ("model", "live"):
        return config, {}
    bases: dict[str, ModelVersion] = {}
    if kind == "model":
        chosen = ModelVersion.objects.filter(pk=int(value)).first()
        if chosen is None:
            raise ConfigInvalid(f"There is no model {value}.", field=field)
        bases = dict.fromkeys(config.models, chosen)
    else:
        active = pipeline_active()
        lacking = [PARTS[p][2] for p in config.models if active is None or PARTS[p][0] not in active.slots]
        if active is None or lacking:
            raise ConfigInvalid(
                f"The active pipeline has no model to start {lacking[0]} from.", field=field,
                hint="Choose another start, or leave this model out.",
            )  # fmt: skip
        bases = {part: active.slots[PARTS[part][0]] for part in config.models}
    cards = [model.card for model in bases.values()]
    if any(card["architecture"] != cards[0]["architecture"] or card["recipe"] != cards[0]["recipe"] for card in cards):
        raise ConfigInvalid(
            "The models to start from are not of one network and input size.", field=field,
            hint="Train them in runs of their own.",
        )  # fmt: skip
    config = replace(config, architecture=cards[0]["architecture"])
    if config.method == "quick":
        config = replace(config, size_px=cards[0]["recipe"]["size_px"])
    return config, bases


def model_name(run: str, part: str) -> str:
    """What the registry calls the model of a part."""
    return f"{run} {part.replace('_', ' ')}"


def _registered_as(run: str) -> list[str]:
    return [run, *(model_name(run, part) for part in PARTS)]


def _free_name(dataset: DatasetVersion) -> str:
    """One that neither a run nor anything in the registry has: an imported pipeline may have come of such a run."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{dataset.name}-{dataset.version}")[:50].strip("-") or "run"
    for number in itertools.count(1):
        name = f"{base} run {number}"
        if not TrainingRun.objects.filter(name=name).exists() and not names_registered(_registered_as(name)):
            break
    return name


def _twin(
    actor: User | None, dataset: DatasetVersion, config: TrainingConfig, name: str, pins: dict[str, Any]
) -> TrainingRun | None:
    """The same training, from the same live models and rules, that the same person asked for and that is queued,
    measured or running now; not one that is being cancelled."""
    if actor is None:
        return None
    at_work = Q(job__status__in=Job.ACTIVE) | Q(job=None, estimate_job__status__in=Job.ACTIVE)
    rows = TrainingRun.objects.select_related("job").filter(at_work, created_by=actor, dataset=dataset)
    same = (run for run in rows if name in ("", run.name) and run.plan == config)
    return next(
        (run for run in same if all(run.environment.get(key) == pins.get(key) for key in PINS)
         and not (run.job is not None and run.job.cancel_requested)),
        None,
    )  # fmt: skip
