"""Reading what all sorters said, for staff: never reachable from a sorter's pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.utils.timezone import get_current_timezone

from cases.agreement import OTHER_CLASSES, SortedTable
from cases.consensus import CANNOT_CLASSIFY, CLEARED, EXCLUDE, LABEL, OPEN, Consensus
from cases.models import HpfImage, SortingItem, SortingSeat, SortingTask
from cases.selectors.sorting import SORTING_PARTS, consensus_for_task
from cases.selectors.sorting_queue import disputed_images
from leukoweb.statistics.confusion import MISSING


def sorted_table(task: SortingTask) -> SortedTable:
    """All sorters' standing decisions on images of live patients. 2 queries."""
    seats = list(SortingSeat.objects.filter(task=task, part__in=SORTING_PARTS).select_related("user").order_by("pk"))
    column = {seat.pk: number for number, seat in enumerate(seats)}
    labels = tuple(label["name"] for label in task.taxonomy.labels)
    classes = (*labels, *OTHER_CLASSES)
    code = {name: number for number, name in enumerate(classes)}
    rows: dict[int, int] = {}
    patients: list[int] = []
    devices: list[str] = []
    times: list[list[datetime | None]] = []
    cells: list[tuple[int, int, int]] = []
    items = SortingItem.objects.filter(seat__in=column, image__slide__patient__withdrawn_at=None).order_by("image_id")
    fields = ("image_id", "seat_id", "current__verdict", "current__label", "current__decided_at",
              "image__slide__patient_id", "image__slide__device__camera")  # fmt: skip
    for image, seat, verdict, label, at, patient, camera in items.values_list(*fields):
        row = rows.setdefault(image, len(rows))
        if row == len(patients):
            patients.append(patient)
            devices.append(camera or "")
            times.append([None] * len(seats))
        said = _class(verdict, label)
        if said:
            cells.append((row, column[seat], code[said]))
            times[row][column[seat]] = at
    codes = np.full((len(rows), len(seats)), MISSING, dtype=np.int64)
    for row, seat_column, number in cells:
        codes[row, seat_column] = number
    names = tuple(str(seat.user) for seat in seats)
    return SortedTable(classes, names, codes, patients, devices, times, get_current_timezone())


def _class(verdict: str | None, label: str | None) -> str:
    return {LABEL: label or "", CANNOT_CLASSIFY: OTHER_CLASSES[0], EXCLUDE: OTHER_CLASSES[1]}.get(verdict or "", "")


@dataclass(frozen=True)
class Dispute:
    """An image on which the sorters disagree, what each said, and what it was settled as (if it was)."""

    image: HpfImage
    said: list[tuple[str, str, str]]
    consensus: Consensus


def dispute_ids(task: SortingTask) -> tuple[list[int], dict[int, Consensus]]:
    """Ids of the disputed images in order, and the consensus of every image. 4 queries."""
    return sorted(disputed_images(task)), consensus_for_task(task)


def dispute_page(task: SortingTask, ids: list[int], consensus: dict[int, Consensus]) -> list[Dispute]:
    """The disputes of one page. 3 queries."""
    images = HpfImage.objects.select_related("slide__patient").in_bulk(ids)
    said: dict[int, list[tuple[str, str, str]]] = {pk: [] for pk in ids}
    rows = SortingItem.objects.filter(seat__task=task, image__in=ids, current__isnull=False).order_by("seat_id")
    names = {seat.pk: str(seat.user) for seat in SortingSeat.objects.filter(task=task).select_related("user")}
    for pk, seat, verdict, label in rows.values_list("image_id", "seat_id", "current__verdict", "current__label"):
        if verdict != CLEARED:
            said[pk].append((names[seat], verdict, label))
    return [Dispute(images[pk], said[pk], consensus[pk]) for pk in ids if pk in images]


def consensus_counts(task: SortingTask, consensus: dict[int, Consensus]) -> list[dict[str, Any]]:
    """How many images each outcome has, in the order of the taxonomy."""
    titles = {label["name"]: label["title"] for label in task.taxonomy.labels}
    others = {CANNOT_CLASSIFY: "Cannot classify", EXCLUDE: "Excluded", "disputed": "Disputed", OPEN: "Open"}
    counts = dict.fromkeys([*titles, *others], 0)
    for one in consensus.values():
        counts[one.label or one.verdict] += 1
    return [{"name": name, "title": {**titles, **others}[name], "n": n} for name, n in counts.items()]
