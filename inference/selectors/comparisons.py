"""Reports of pipelines on frozen patients, beside each other; and what a promotion leaves to be run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, Q

from cases.models import Cohort, DatasetEntry, DatasetVersion, HpfImage, Slide
from cases.selectors.datasets import dataset_rows
from inference.models import Evaluation, PipelineVersion, TrainingRun
from inference.pipeline.evaluation import compare_reports, was_chosen
from inference.pipeline.rules import RuleSet
from inference.pipeline.training_config import LIVE_RULES
from inference.pipeline.training_data import INTERNAL
from inference.selectors.ancestry import Known, datasets_behind, known_patients, untold
from inference.selectors.runs import current_slides
from inference.selectors.training import evaluation_newest


@dataclass(frozen=True)
class Comparison:
    """Candidate minus the other pipeline on shared patients. ``seen``: those that the other one has learned from;
    ``n_chosen_on``: those on whom the other one's gate was chosen.

    ``changed``: the patients whom the two call otherwise, without those withdrawn since; ``named``: their ids, whose
    reference and result whoever opens the page has seen.
    """

    candidate: Evaluation
    other: Evaluation
    result: dict[str, Any]
    seen: Known
    changed: tuple[dict[str, Any], ...]
    named: tuple[int, ...]
    n_chosen_on: int = 0

    @property
    def verdict(self) -> str:
        """In words, from the interval of the difference of macro F1 at the finest level that both give."""
        level = "5" if "5" in self.result["levels"] else "3"
        found = self.result["levels"].get(level)
        if found is None:
            return "The two pipelines give no common level of diagnosis."
        low, high = found["difference"]["f1"]["low"], found["difference"]["f1"]["high"]
        if low is None:
            return "The patients do not suffice to tell the two apart: the difference has no interval."
        if low > 0:
            return "The candidate is better: the whole interval of the difference in macro F1 lies above 0."
        if high < 0:
            return "The candidate is worse: the whole interval of the difference in macro F1 lies below 0."
        return "No difference can be shown: the interval of the difference in macro F1 includes 0."


def comparison_of(run: TrainingRun, other: PipelineVersion | None) -> Comparison | None:
    """None while one of the two has no report on the run's dataset, or where both are the same pipeline."""
    if other is None or run.pipeline is None or other == run.pipeline:
        return None
    ours, theirs = evaluation_newest(run.pipeline, run.dataset), evaluation_newest(other, run.dataset)
    if ours is None or theirs is None:
        return None
    result = compare_reports(ours.report, theirs.report)
    live = dict(dataset_rows(run.dataset).filter(split=INTERNAL).values_list("patient_code", "patient_id"))
    changed = tuple(row for row in result.pop("changed") if row["patient"] in live)
    named = tuple(live[row["patient"]] for row in changed)
    seen, n_chosen_on = known_to(other, run.dataset), gate_chosen_on(other, run.dataset)
    return Comparison(ours, theirs, result, seen, changed, named, n_chosen_on)


def known_to(pipeline: PipelineVersion | None, dataset: DatasetVersion) -> Known:
    """Internal-validation patients whom a model that decides, or one that it started from, has learned from."""
    read = RuleSet.from_dict(pipeline.rule_set).slots if pipeline is not None else ()
    models = [model for slot, model in pipeline.slots.items() if slot in read] if pipeline is not None else []
    return replace(known_patients(dataset, datasets_behind(models)), untold=untold(models))


def gate_chosen_on(pipeline: PipelineVersion | None, dataset: DatasetVersion) -> int:
    """How many internal-validation patients of a version were looked at when the gate of these rules was chosen.

    A gate that looked best on patients is too good on them. The rules are known by name and version, and the runs on
    whose candidates they were chosen by the names that those have from them; other rules, or of elsewhere: 0. A run
    that kept the active pipeline's rules chose nothing, unless it is the first that has them.
    """
    rules = pipeline.rule_set if pipeline is not None else {}
    if not was_chosen(rules):
        return 0
    rows = PipelineVersion.objects.filter(rule_set__name=rules["name"], rule_set__version=rules["version"])
    first = rows.order_by("pk").values("name")[:1]
    runs = TrainingRun.objects.filter(Q(name__in=rows.values("name")) & ~Q(config__rules=LIVE_RULES) | Q(name=first))
    versions = runs.values("dataset")
    looked_at = DatasetEntry.objects.filter(dataset__in=versions, split=INTERNAL).order_by()
    seen = dataset_rows(dataset).filter(split=INTERNAL).filter(
        Q(patient__in=looked_at.values("patient")) | Q(content_sha256__in=looked_at.values("content_sha256"))
    )  # fmt: skip
    return seen.order_by().aggregate(n=Count("patient", distinct=True))["n"]


def report_of(pipeline: PipelineVersion | None, dataset: DatasetVersion) -> Evaluation | None:
    return evaluation_newest(pipeline, dataset) if pipeline is not None else None


def worst_images(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The report's worst images with their rows, without those of patients withdrawn since; one query."""
    listed = report.get("worst", [])
    rows = HpfImage.objects.filter(pk__in=[item["image"] for item in listed], slide__patient__withdrawn_at=None)
    images = rows.select_related("slide__patient").in_bulk()
    return [item | {"row": images[item["image"]]} for item in listed if item["image"] in images]


@dataclass(frozen=True)
class CohortToRun:
    cohort: Cohort
    n_slides: int
    n_current: int


def cohorts_to_run_again(pipeline: PipelineVersion | None) -> list[CohortToRun]:
    """Cohorts with results, and how many of their slides need no rerun, as the cohort's own page counts them; a
    constant number of queries."""
    if pipeline is None:
        return []
    slides = "patients__slides"
    live = Q(patients__withdrawn_at=None)
    rows = Cohort.objects.annotate(
        n_any=Count(slides, filter=live & Q(patients__slides__predictions__isnull=False), distinct=True),
        n_slides=Count(slides, filter=live, distinct=True),
    ).filter(n_any__gt=0)
    current = current_slides(pipeline)
    cohorts = Slide.objects.filter(patient__withdrawn_at=None).values_list("pk", "patient__cohort")
    n_current = Counter(cohort for slide, cohort in cohorts if slide in current)
    return [CohortToRun(row, row.n_slides, n_current[row.pk]) for row in rows]
