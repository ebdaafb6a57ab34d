"""Which pipeline is live: promoted and rolled back as audited events, told apart from what somebody else just did."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction

from cases.models import DatasetVersion
from inference.models import PipelineVersion, Promotion, TrainingRun
from inference.pipeline.evaluation import chosen_rules
from inference.pipeline.rules import RuleSet
from inference.selectors.registry import version_free
from inference.selectors.training import evaluation_key, evaluation_newest
from inference.services.registry import pipeline_activate, pipeline_create
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job, User

EVALUATE_KIND = "training.evaluate"


@transaction.atomic
def pipeline_promote(
    *, actor: User | None, pipeline: PipelineVersion, instead_of: int | None, reason: str = ""
) -> PipelineVersion:
    """Make ``pipeline`` active, if ``instead_of`` (an id, None: none) still is; Conflict tells who was faster.

    A control (trained on shuffled labels) is refused.
    """
    return pipeline_activate(actor=actor, pipeline=pipeline, reason=reason, instead_of=instead_of)


@transaction.atomic
def pipeline_roll_back(*, actor: User | None, promotion: Promotion, reason: str = "") -> PipelineVersion:
    """Back to what was active before ``promotion``, which must be the newest one."""
    newest = Promotion.objects.select_related("pipeline").order_by("-id").first()
    back = (promotion.before_id, promotion.pipeline_id)
    if newest and actor and newest.promoted_by_id == actor.pk and (newest.pipeline_id, newest.before_id) == back:
        return newest.pipeline  # the same person went back already
    if newest != promotion or promotion.before is None:
        raise Conflict("Only the newest promotion can be rolled back, and only to an earlier pipeline.")
    words = f"Rolled back. {reason}".strip()
    return pipeline_activate(
        actor=actor, pipeline=promotion.before, reason=words, instead_of=promotion.pipeline_id
    )


@transaction.atomic
def rules_choose(*, actor: User | None, run: TrainingRun, measure: str, at_least: str) -> PipelineVersion:
    """The run's candidate with another gate: a rule set of the next version, in a pipeline version of its own.

    Only a threshold that the sweep on internal-validation patients has looked at can be chosen.
    """
    # The pipeline is read behind the lock: who waited for it must see what the other one has chosen.
    run = TrainingRun.objects.select_for_update().get(pk=run.pk)
    if run.pipeline is None:
        raise Conflict(f"{run.name} has no candidate pipeline.")
    gate = run.pipeline.rule_set.get("gate") or {}
    if gate and (gate["measure"], f"{gate['at_least']:g}") == (measure, at_least):
        return run.pipeline  # chosen already; the second of two clicks
    evaluation = evaluation_newest(run.pipeline, run.dataset)
    rows = evaluation.report["sweep"] if evaluation is not None else []
    row = next((r for r in rows if r["gate"]["measure"] == measure and f"{r['gate']['at_least']:g}" == at_least), None)
    if row is None:
        raise DomainError(
            f"The sweep has no gate of {measure or 'no measure'} {at_least or ''}".strip() + ".",
            code="E_SWEEP", hint="Choose one of the listed thresholds.", field="at_least",
        )  # fmt: skip
    rules = chosen_rules(RuleSet.from_dict(run.pipeline.rule_set), row["gate"])
    rules = replace(rules, version=_rules_version_free(rules.name))
    pipeline = pipeline_create(
        actor=actor, name=run.pipeline.name, version=version_free(PipelineVersion, run.pipeline.name), rule_set=rules,
        models=run.pipeline.slots,
        description=f"{run.pipeline.description} Gate {measure} {at_least}, chosen on internal validation.",
    )  # fmt: skip
    TrainingRun.objects.filter(pk=run.pk).update(pipeline=pipeline)
    audit_record(
        actor=actor, action="training.rules", target=f"training:{run.pk}",
        data={"pipeline": str(pipeline), "rules": rules.as_dict(), "sweep": row},
    )  # fmt: skip
    return pipeline


def _rules_version_free(name: str) -> int:
    """The version that no stored rule set of this name has yet, of whatever pipeline; choices come one by one."""
    list(PipelineVersion.objects.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    stored = PipelineVersion.objects.filter(rule_set__name=name).values_list("rule_set", flat=True)
    return max((rules["version"] for rules in stored), default=0) + 1


def evaluate_request(*, actor: User | None, pipeline: PipelineVersion, dataset: DatasetVersion) -> Job:
    """Queue a pipeline's evaluation on a dataset version's internal-validation patients."""
    return job_create(
        kind=EVALUATE_KIND, title=f"Evaluate {pipeline} on {dataset}", actor=actor,
        key=evaluation_key(pipeline, dataset),
        payload={"pipeline": pipeline.pk, "dataset": dataset.pk},
    )  # fmt: skip
