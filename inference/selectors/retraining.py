"""What has come in since the active pipeline was trained: labelled images, other cameras, less sure predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from cases.models import Cohort, DatasetEntry, DatasetVersion, Exclusion, HpfImage, ImageQuality, SortingItem
from cases.selectors.curation import MEASURES
from inference.models import ImagePrediction, ModelVersion, PipelineVersion
from inference.pipeline.drift import Confidence, Shift, Suggestion, shifts, suggest
from inference.pipeline.rules import RuleSet
from inference.selectors.ancestry import is_uuid
from inference.selectors.evaluation import UNKNOWN_DEVICE
from inference.selectors.registry import pipeline_active

NEWEST = 3000  # incoming images that are looked at, and training images beside them


@dataclass(frozen=True)
class LabelCount:
    label: str
    n_training: int
    n_patients: int
    n_new: int


@dataclass(frozen=True)
class Standing:
    """Everything that the page "When to retrain" shows."""

    live: PipelineVersion | None
    dataset: DatasetVersion | None
    labels: list[LabelCount]
    n_incoming: int
    most: int | None  # where there may be more incoming images than were looked at: that number
    n_unmeasured: int
    shifts: list[Shift]
    confidences: list[Confidence]
    suggestion: Suggestion


def retraining_standing() -> Standing:
    """A constant number of queries, whatever there is."""
    live = pipeline_active()
    dataset = dataset_of(live)
    labels, n_new = _labels(dataset)
    incoming, n_rows = _incoming(dataset)
    most = NEWEST if n_rows == NEWEST else None
    trained = _contents(dataset)
    quality = _quality([*incoming, *trained])
    found = shifts(
        {name: [quality[c][i] for c in trained if c in quality] for i, name in enumerate(MEASURES)},
        _by_device(incoming, quality),
    )
    confidences = _confidences(live, dataset, incoming)
    return Standing(
        live, dataset, labels, len(incoming), most, sum(content not in quality for content in incoming), found,
        confidences,
        suggest(
            live=str(live) if live else None, drawn=_drawn(live),
            n_training=sum(row.n_training for row in labels), n_new=n_new, found=found,
            confidences=confidences,
        ),
    )  # fmt: skip


def dataset_of(pipeline: PipelineVersion | None) -> DatasetVersion | None:
    """The newest dataset version that a model of the pipeline names on its card; None for an imported one."""
    if pipeline is None:
        return None
    named = {str(model.card.get("dataset", {}).get("dataset_version", "")) for model in pipeline.slots.values()}
    ids = [name for name in named if is_uuid(name)]
    return DatasetVersion.objects.filter(public_id__in=ids).order_by("-id").first() if ids else None


def _drawn(live: PipelineVersion | None) -> list[str]:
    """Names of the models trained on phantoms that the rules read."""
    if live is None:
        return []
    read = RuleSet.from_dict(live.rule_set).slots
    return [str(model) for slot, model in live.slots.items() if slot in read and model.synthetic]


def _labels(dataset: DatasetVersion | None) -> tuple[list[LabelCount], int]:
    """By label: images and patients trained on, and images that the version has not and to which somebody's decision
    that counts now gives it. And the number of those images: two people may have given one two labels.

    What was labelled when the version was frozen is not new: the freeze left it out.
    """
    entries = DatasetEntry.objects.filter(dataset=dataset, split="train").order_by()
    rows = entries.values("label").annotate(n=Count("id"), people=Count("patient", distinct=True))
    trained = {row["label"]: (row["n"], row["people"]) for row in rows}
    newest = Exclusion.objects.filter(image=OuterRef("image")).order_by("-pk").values("excluded")[:1]
    labelled = (
        SortingItem.objects.filter(
            current__verdict="label", image__slide__patient__withdrawn_at=None,
            image__slide__patient__cohort__purpose=Cohort.Purpose.DEVELOPMENT,
        )
        .exclude(image__in=DatasetEntry.objects.filter(dataset=dataset).values("image"))
        .annotate(taken_out=Subquery(newest))
        .filter(Q(taken_out=None) | Q(taken_out=False))
        .order_by()
    )  # fmt: skip
    if dataset is not None:
        labelled = labelled.filter(current__decided_at__gt=dataset.created_at)
    new = dict(labelled.values_list("current__label").annotate(n=Count("image", distinct=True)))
    names = dict.fromkeys([*trained, *new])
    counts = [LabelCount(name, *trained.get(name, (0, 0)), new.get(name, 0)) for name in names]
    return counts, labelled.aggregate(n=Count("image", distinct=True))["n"]


def _incoming(dataset: DatasetVersion | None) -> tuple[dict[str, str], int]:
    """Content -> device of the newest images that the version has not, of all cohorts; and how many images they are."""
    rows = list(_newest(dataset).values_list("content_sha256", "slide__device__camera", "slide__device__microscope"))
    found = {content: " on ".join(filter(None, (camera, scope))) or UNKNOWN_DEVICE for content, camera, scope in rows}
    return found, len(rows)


def _newest(dataset: DatasetVersion | None) -> QuerySet[HpfImage]:
    images = HpfImage.objects.filter(slide__patient__withdrawn_at=None)
    if dataset is not None:
        images = images.exclude(pk__in=DatasetEntry.objects.filter(dataset=dataset).values("image"))
    return images.order_by("-id")[:NEWEST]


def _contents(dataset: DatasetVersion | None) -> list[str]:
    """Training images evenly through the version, which is in the order of its patients: the first ones alone would be
    one centre's or one class's."""
    rows = DatasetEntry.objects.filter(dataset=dataset, split="train", patient__withdrawn_at=None)
    contents = list(rows.order_by("number").values_list("content_sha256", flat=True))
    return contents[:: max(1, -(-len(contents) // NEWEST))]


def _quality(contents: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Content -> its newest measures; one query over all, since a list of thousands is too long for a parameter."""
    wanted = set(contents)
    rows = ImageQuality.objects.order_by("measure_version").values_list("content_sha256", *MEASURES)
    return {row[0]: row[1:] for row in rows.iterator() if row[0] in wanted}


def _by_device(
    incoming: dict[str, str], quality: dict[str, tuple[float, ...]]
) -> dict[str, dict[str, list[float]]]:
    out: dict[str, dict[str, list[float]]] = defaultdict(lambda: {name: [] for name in MEASURES})
    for content, device in incoming.items():
        for name, value in zip(MEASURES, quality.get(content, ()), strict=False):
            out[device][name].append(value)
    return dict(out)


def _confidences(
    live: PipelineVersion | None, dataset: DatasetVersion | None, incoming: dict[str, str]
) -> list[Confidence]:
    """Of the finest model that the pipeline has, on images that it was asked about."""
    model: ModelVersion | None = None
    for slot in ("model_3", "single_model", "model_1"):
        if live is not None and model is None:
            model = live.slots.get(slot)
    if model is None:
        return []
    inside = DatasetEntry.objects.filter(dataset=dataset, split="internal", patient__withdrawn_at=None)
    said = ImagePrediction.objects.filter(model=model).values_list("content_sha256", "probabilities")
    # Each side by its own contents: bounded by what was predicted last, a busy month would leave no validation image.
    internal = [max(p) for _, p in said.filter(content_sha256__in=inside.values("content_sha256"))]
    sure: dict[str, list[float]] = defaultdict(list)
    for content, probabilities in said.filter(content_sha256__in=_newest(dataset).values("content_sha256")):
        if content in incoming:
            sure[incoming[content]].append(max(probabilities))
    base = sum(internal) / len(internal) if internal else None
    found = [Confidence(device, len(v), sum(v) / len(v), base) for device, v in sure.items()]
    return sorted(found, key=lambda row: -row.drop)
