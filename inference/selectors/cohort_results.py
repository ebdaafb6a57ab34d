"""The results of a cohort as tables: one row for each slide, one for each image. Read in pieces, so memory stays flat.

Whoever calls these for a person has recorded that the person sees the results (``inference.services.cohort_results``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from django.db.models import Count, OuterRef, QuerySet, Subquery

from cases.models import Cohort
from inference.models import ImagePrediction, PatientPrediction, PipelineRun, PipelineVersion
from inference.pipeline.classes import SLOT_CLASSES
from inference.selectors.images import images_sha256_by_slide
from inference.selectors.results import Result

Cell = str | float | int
SLIDES_AT_ONCE: Final = 50

_STEPS: Final = ("gate", "branch", "subtype", "majority")
_CLASSES: Final = {
    slot: tuple(dict.fromkeys(name for classes in orders for name in classes)) for slot, orders in SLOT_CLASSES.items()
}
SLIDE_COLUMNS: Final = (
    "cohort", "patient", "slide", "run", "pipeline", "mode", "decided_at", "decided", "diagnosis", "diagnosis_3",
    "diagnosis_5", "reason", "remarks", "why",
    *(f"{step}_{what}" for step in _STEPS for what in ("outcome", "n_voters")),
    "n_images", "images_changed", "synthetic", "images_sha256", "rules_sha256", "engine", "software",
)  # fmt: skip
IMAGE_COLUMNS: Final = (
    "patient", "slide", "run", "position", "image", "sha256", "decided",
    *(f"{slot}_{name}" for slot, names in _CLASSES.items() for name in ("label", *names)),
)  # fmt: skip


def result_pipelines(cohort: Cohort) -> list[tuple[PipelineVersion, int]]:
    """The pipelines that have results in a cohort with the number of slides; the active one first. 2 queries."""
    rows = PatientPrediction.objects.filter(patient__cohort=cohort, patient__withdrawn_at=None).order_by()
    counts = dict(rows.values_list("run__pipeline").annotate(n=Count("slide", distinct=True)))
    pipelines = PipelineVersion.objects.filter(pk__in=counts).order_by("-is_active", "-id")
    return [(pipeline, counts[pipeline.pk]) for pipeline in pipelines]


def newest_run_ids(cohort: Cohort, pipeline: PipelineVersion) -> list[tuple[int, int]]:
    """(run, patient) of the newest result that each slide of a cohort has of a pipeline, by slide code. 1 query."""
    done = PatientPrediction.objects.filter(run__pipeline=pipeline, slide=OuterRef("slide"))
    newest = done.order_by("-id").values("run")[:1]
    here = PipelineRun.objects.filter(slide__patient__cohort=cohort, slide__patient__withdrawn_at=None)
    return list(here.filter(pk=Subquery(newest)).order_by("slide__code").values_list("pk", "slide__patient"))


def results_in_pieces(runs: Sequence[int]) -> Iterator[list[Result]]:
    """In the order of ``runs``; who was withdrawn meanwhile is left out. 1 query for each piece."""
    for first in range(0, len(runs), SLIDES_AT_ONCE):
        ids = runs[first : first + SLIDES_AT_ONCE]
        found = _whole(PipelineRun.objects.filter(slide__patient__withdrawn_at=None)).in_bulk(ids)
        yield [Result(found[pk]) for pk in ids if pk in found]


def _whole(runs: QuerySet[PipelineRun]) -> QuerySet[PipelineRun]:
    return runs.select_related(
        "prediction", "slide__patient__cohort", "pipeline__model_1", "pipeline__model_2", "pipeline__model_3",
        "pipeline__single_model",
    )  # fmt: skip


def slide_rows(runs: Sequence[int]) -> Iterator[list[list[Cell]]]:
    """Rows of ``SLIDE_COLUMNS`` in pieces; two queries each."""
    for results in results_in_pieces(runs):
        now = images_sha256_by_slide([result.run.slide_id for result in results])
        yield [_slide_row(result, now.get(result.run.slide_id, "")) for result in results]


def _yes(known: bool) -> str:
    return "yes" if known else "no"


def _slide_row(result: Result, images_now: str) -> list[Cell]:
    run, said = result.run, result.prediction
    steps = {step["step"]: step for step in said.trace}
    votes: list[Cell] = []
    for name in _STEPS:
        votes += [steps[name]["outcome"], steps[name]["n_voters"]] if name in steps else ["", ""]
    return [
        run.slide.patient.cohort.name, run.slide.patient.code, run.slide.code, str(run.public_id), str(result.pipeline),
        run.mode, said.created_at.isoformat(), _yes(said.decided), said.diagnosis, said.diagnosis_3,
        said.diagnosis_5, said.reason, " | ".join(said.flags), " | ".join(result.sentences), *votes,
        len(said.images), _yes(images_now != said.images_sha256),
        _yes(result.synthetic or run.slide.patient.cohort.synthetic), said.images_sha256, said.rule_set_sha256,
        said.engine_profile, said.app_version,
    ]  # fmt: skip


def image_rows(runs: Sequence[int]) -> Iterator[list[list[Cell]]]:
    """Rows of ``IMAGE_COLUMNS`` in pieces; two queries each. A model that was not run leaves its cells empty."""
    for results in results_in_pieces(runs):
        known = _probabilities(results)
        yield [row for result in results for row in _image_rows(result, known)]


Known = dict[tuple[str, int, str, str], list[float]]


def _probabilities(results: Sequence[Result]) -> Known:
    """(content, model, recipe, profile) -> probabilities in the order of the model's classes. 1 query."""
    contents = {entry["content_sha256"] for result in results for entry in result.prediction.images}
    models = {model.pk for result in results for model in result.slots_run.values()}
    rows = ImagePrediction.objects.filter(content_sha256__in=contents, model__in=models)
    fields = ("content_sha256", "model", "recipe_sha256", "profile", "probabilities")
    return {(content, *key): values for content, *key, values in rows.values_list(*fields)}  # type: ignore[misc]


def _image_rows(result: Result, known: Known) -> Iterator[list[Cell]]:
    by_image: dict[int, list[str]] = {}
    for step in result.prediction.trace:
        for at in step["images"]:
            by_image.setdefault(at, []).append(step["step"])
    slots, profiles = result.slots_run, result.profiles
    for at, entry in enumerate(result.prediction.images):
        content = entry["content_sha256"]
        row: list[Cell] = [
            result.run.slide.patient.code, result.run.slide.code, str(result.run.public_id), entry["position"],
            entry["image"], content, " ".join(by_image.get(at, ())),
        ]  # fmt: skip
        for slot, names in _CLASSES.items():
            model = slots.get(slot)
            if model is None:
                row += [""] * (1 + len(names))
                continue
            values = known[content, model.pk, model.recipe_sha256, profiles[slot]]
            of_class = dict(zip(model.classes, values, strict=True))
            # The first of equals, as the rules read it.
            row += [max(of_class, key=of_class.__getitem__), *(of_class.get(name, "") for name in names)]
        yield row
