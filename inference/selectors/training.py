"""Training runs, their progress, and the frozen images that they read."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Min, Q, QuerySet

from cases.models import DatasetEntry, DatasetVersion
from cases.selectors.datasets import dataset_rows
from inference.models import (
    Evaluation,
    ModelVersion,
    PipelineVersion,
    Promotion,
    TrainingEpoch,
    TrainingPart,
    TrainingRun,
)
from inference.pipeline.training_data import Entry
from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import Job


def training_runs() -> QuerySet[TrainingRun]:
    """Newest first, with what a list shows; one query, and one for the parts."""
    runs = TrainingRun.objects.select_related("dataset", "job", "pipeline", "created_by")
    return runs.prefetch_related("parts__model")


def training_run_named(text: str) -> TrainingRun:
    """By name; NotFound lists what exists."""
    run = training_runs().filter(name=text).first()
    if run is None:
        known = ", ".join(TrainingRun.objects.values_list("name", flat=True)[:20]) or "none yet"
        raise NotFound(f"There is no training run {text!r}.", hint=f"Known: {known}.")
    return run


def training_entries(dataset: DatasetVersion, split: str | None = None) -> list[Entry]:
    """The images of a version in manifest order, without patients who were withdrawn since; one query."""
    rows = dataset_rows(dataset)
    if split is not None:
        rows = rows.filter(split=split)
    values = rows.values_list(
        "content_sha256", "patient_code", "label", "split", "patient__cohort__purpose", "image_id"
    )  # fmt: skip
    return [
        Entry(sha256, patient, label, side, purpose == "external", image)
        for sha256, patient, label, side, purpose, image in values
    ]


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, in epochs, and how long the rest should take at the pace of the newest epochs."""

    done: int
    total: int
    seconds_left: float | None
    images_per_s: float | None
    seconds_estimated: float | None = None

    @property
    def words_left(self) -> str:
        return duration(self.seconds_left or 0.0)

    @property
    def words_estimate(self) -> str:
        return duration(self.seconds_estimated or 0.0)


def duration(seconds: float) -> str:
    """45 s, 12 min, 3.2 h, 8.3 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def run_progress(run: TrainingRun) -> RunProgress:
    """Two queries. Parts that stopped early count as complete."""
    plan = run.plan
    parts = list(run.parts.all())
    total = sum(part.epochs_done if part.model_id else plan.settings.epochs for part in parts)
    done = sum(part.epochs_done for part in parts)
    estimate = run.estimate.get("seconds")
    newest = None
    for part in parts:
        if part.epochs_done and part.model_id is None:
            newest = part.epochs.order_by("-number").first()
    if newest is None:
        return RunProgress(done, total, estimate if not done else None, None, estimate)
    return RunProgress(done, total, (total - done) * newest.seconds, newest.images_per_s, estimate)


def withdrawn_since(run: TrainingRun) -> bool:
    """Whether the state that the run would go on from knows a patient who was withdrawn after its first epoch.

    Such a run cannot be continued and its state is not kept. A part without an epoch begins with whoever is left, and
    so does a quick retraining, which has no state. At most two queries.
    """
    epochs = TrainingEpoch.objects.filter(part__run=run, part__model=None).exclude(part__state_name="")
    began = epochs.aggregate(began=Min("created_at"))["began"]
    if began is None:
        return False
    return DatasetEntry.objects.filter(dataset=run.dataset_id, patient__withdrawn_at__gte=began).exists()


def evaluation_newest(pipeline: PipelineVersion, dataset: DatasetVersion) -> Evaluation | None:
    return Evaluation.objects.filter(pipeline=pipeline, dataset=dataset).order_by("-id").first()


def evaluation_key(pipeline: PipelineVersion, dataset: DatasetVersion) -> str:
    """What tells one unfinished evaluation from another."""
    return f"evaluate:{pipeline.pk}:{dataset.pk}"


def evaluation_job(pipeline: PipelineVersion | None, dataset: DatasetVersion) -> Job | None:
    """The newest evaluation that was asked for, unless it is done, or a report came after it ended: then that tells."""
    if pipeline is None:
        return None
    job = Job.objects.filter(key=evaluation_key(pipeline, dataset)).order_by("-created_at").first()
    if job is None or job.status == Job.Status.DONE:
        return None
    report = evaluation_newest(pipeline, dataset) if job.finished_at is not None else None
    return None if report is not None and job.finished_at is not None and report.created_at > job.finished_at else job


def comparators_of(pipeline: PipelineVersion) -> dict[str, ModelVersion]:
    """The single models of the run whose candidate this is, by part; one query.

    A candidate has its run's name, also where its gate was chosen later and it gave way to another version.
    """
    runs = TrainingRun.objects.filter(Q(pipeline=pipeline) | Q(name=pipeline.name))
    rows = TrainingPart.objects.filter(run__in=runs, part__startswith="single").exclude(model=None)
    return {part.part: part.model for part in rows.select_related("model") if part.model}


def promotions() -> QuerySet[Promotion]:
    return Promotion.objects.select_related("pipeline", "before", "promoted_by")


def parts_of(run: TrainingRun) -> QuerySet[TrainingPart]:
    return run.parts.select_related("model").prefetch_related("epochs")



def weight_files() -> list[str]:
    """Names of the files in DATA_DIR/weights that a training may start from."""
    folder = settings.DATA_DIR / "weights"
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.suffix in (".safetensors", ".pth") and p.is_file())
