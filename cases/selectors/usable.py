"""What curation and sorting leave of chosen cohorts: each image with its label, or with the step that took it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cases.consensus import Consensus
from cases.dataset_choices import Settings
from cases.flow import KEPT, Passed, Step, flow_of
from cases.manifests import Line
from cases.models import Cohort, DatasetVersion, HpfImage, SortingTask, Taxonomy
from cases.selectors.curation import excluded_images
from cases.selectors.sorting import consensus_for_task, rule_of
from cases.taxonomy import ClassMap
from cases.taxonomy_data import read_taxonomy
from leukoweb.core.exceptions import DomainError


@dataclass(frozen=True)
class Choices:
    """Rows and settings of a version to be. Several tasks: the first that settled an image gives its label.

    ``rule`` is one of `cases.consensus.RULES` for all tasks, each with its own numbers of people; empty: as each task
    says. Patients of ``sides_of`` stay on the side (and in the fold) that they have there.
    """

    cohorts: tuple[Cohort, ...]
    tasks: tuple[SortingTask, ...]
    settings: Settings = field(default_factory=Settings)
    rule: str = ""
    sides_of: DatasetVersion | None = None

    def as_dict(self) -> dict[str, Any]:
        """By names, never by ids."""
        kept = self.sides_of
        return {
            **self.settings.as_dict(),
            **({"sides_of": f"{kept.name}:{kept.version}"} if kept is not None else {}),
            "cohorts": sorted(cohort.name for cohort in self.cohorts),
            "tasks": [task.name for task in self.tasks],
            "rules": [rule_of(task, self.rule).as_dict() for task in self.tasks],
        }


@dataclass(frozen=True)
class Row:
    """An image of the chosen cohorts."""

    pk: int
    content: str
    position: int
    slide_id: int
    slide: str
    patient_id: int
    patient: str


@dataclass(frozen=True)
class Usable:
    """The images of the chosen cohorts, each with the step that took it out or its label."""

    taxonomy: Taxonomy
    class_map: ClassMap
    rows: list[Row]
    steps: dict[int, str]
    labels: dict[int, str]

    @property
    def kept(self) -> list[Row]:
        return [row for row in self.rows if self.steps[row.pk] == KEPT]

    @property
    def gone(self) -> list[Row]:
        return [row for row in self.rows if self.steps[row.pk] != KEPT]

    @property
    def flow(self) -> tuple[Step, ...]:
        return tuple(flow_of(Passed(self.steps[row.pk], row.slide_id, row.patient_id) for row in self.rows))

    def lines(self, split: str) -> list[Line]:
        """The kept images, all on one side; for a set that is not split."""
        return [Line(row.patient, row.slide, row.content, self.labels[row.pk], split, 0) for row in self.kept]


def images_usable(choices: Choices) -> Usable:
    """What curation and sorting leave of the chosen cohorts, whatever their purpose."""
    taxonomy, class_map = _taxonomy(choices)
    rows = _rows(choices.cohorts)
    steps, labels = _steps(rows, _consensus(choices), choices)
    return Usable(taxonomy, class_map, rows, steps, labels)


def _taxonomy(choices: Choices) -> tuple[Taxonomy, ClassMap]:
    if not choices.cohorts:
        raise DomainError("No cohort was chosen.", field="cohorts", hint="Choose at least one development cohort.")
    if not choices.tasks:
        raise DomainError("No sorting task was chosen.", field="tasks", hint="Labels come from a sorting task.")
    taxonomies = {task.taxonomy_id: task.taxonomy for task in choices.tasks}
    if len(taxonomies) > 1:
        told = " and ".join(sorted(str(taxonomy) for taxonomy in taxonomies.values()))
        raise DomainError(
            f"The tasks use different taxonomies ({told}).", field="tasks", hint="Choose tasks of one taxonomy version."
        )
    taxonomy = next(iter(taxonomies.values()))
    maps = read_taxonomy(taxonomy.labels, taxonomy.maps, version=taxonomy.version).maps
    name = choices.settings.class_map
    if name not in maps:
        known = ", ".join(maps)
        raise DomainError(f"Taxonomy {taxonomy} has no map {name[:40]!r}.", field="class_map", hint=f"It has {known}.")
    return taxonomy, maps[name]


def _rows(cohorts: Iterable[Cohort]) -> list[Row]:
    images = HpfImage.objects.filter(slide__patient__cohort__in=list(cohorts), slide__patient__withdrawn_at=None)
    fields = (
        "pk",
        "content_sha256",
        "position",
        "slide_id",
        "slide__code",
        "slide__patient_id",
        "slide__patient__code",
    )
    rows = [Row(*values) for values in images.order_by().values_list(*fields)]
    return sorted(rows, key=lambda row: (row.patient, row.slide, row.position, row.content))


def _consensus(choices: Choices) -> dict[int, Consensus]:
    """The first task that settled an image; two tasks that settled it differently leave it disputed."""
    found: dict[int, Consensus] = {}
    apart: set[int] = set()  # settled differently: no further task settles that
    for task in choices.tasks:
        for image_id, this in consensus_for_task(task, rule_of(task, choices.rule)).items():
            known = found.get(image_id)
            if image_id in apart:
                continue
            if known is None or (this.settled and not known.settled):
                found[image_id] = this
            elif this.settled and known.settled and (this.verdict, this.label) != (known.verdict, known.label):
                apart.add(image_id)
                found[image_id] = Consensus("", "disputed", "", known.n_decisions + this.n_decisions)
    return found


_VERDICT_STEPS = {
    "label": KEPT, "exclude": "sorted_out", "cannot_classify": "cannot_classify", "disputed": "disputed",
    "open": "not_sorted",
}  # fmt: skip


def _steps(
    rows: Sequence[Row], settled: dict[int, Consensus], choices: Choices
) -> tuple[dict[int, str], dict[int, str]]:
    """The step of every image, and the label of those that have one. Rows come in capture order."""
    out = excluded_images(choices.cohorts)
    own: dict[int, str] = {}
    for row in rows:
        consensus = settled.get(row.pk)
        own[row.pk] = _VERDICT_STEPS[consensus.verdict] if consensus else "not_sorted"
        if row.pk in out:
            own[row.pk] = f"excluded_{out[row.pk].reason}"
    small: set[int] = set()
    while True:
        steps = _without_copies(rows, own, small)
        per_slide = Counter(row.slide_id for row in rows if steps[row.pk] == KEPT)
        lacking = {slide: n for slide, n in per_slide.items() if n < choices.settings.min_images}
        if not lacking:
            break
        # A slide may get a copy back when the slide of its twin goes; so those that cannot go first, then the smallest.
        hoping = {row.slide_id for row in rows if steps[row.pk] == "copy"}
        small |= (lacking.keys() - hoping) or {min(lacking, key=lambda slide: lacking[slide])}
    return steps, {row.pk: settled[row.pk].label for row in rows if steps[row.pk] == KEPT}


def _without_copies(rows: Sequence[Row], own: dict[int, str], small: set[int]) -> dict[int, str]:
    """Of identical images of a patient that would be kept one is, the first that is on no ``small`` slide.

    One that goes for its own reason, or with its slide, does not take its twin along.
    """
    steps = dict(own)
    seen: set[tuple[int, str]] = set()
    wanted = [row for row in rows if own[row.pk] == KEPT]
    for row in sorted(wanted, key=lambda row: row.slide_id in small):  # stable: capture order within both
        if (row.patient_id, row.content) in seen:
            steps[row.pk] = "copy"
            continue
        seen.add((row.patient_id, row.content))
        if row.slide_id in small:
            steps[row.pk] = "small_slide"
    return steps
