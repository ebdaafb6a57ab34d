"""Reading sorting tasks: what the decisions of a task come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.db.models import OuterRef, Q, Subquery

from cases.consensus import CLEARED, Consensus, ConsensusRule, Given, Panel, consensus_of
from cases.models import (
    AdjudicationDecision,
    Cohort,
    Exclusion,
    HpfImage,
    SortingItem,
    SortingSeat,
    SortingTask,
)

SORTING_PARTS = (SortingSeat.Part.SORTER, SortingSeat.Part.SENIOR)


def rule_of(task: SortingTask, asked: str = "") -> ConsensusRule:
    """The rule that the task was made with; with ``asked``, one of `RULES`, that one, by as many people as the task
    asks for: another rule does not make one adjudicator a panel of three.

    Raises
    ------
    BadRule
        ``asked`` is no rule.
    """
    own = ConsensusRule.from_dict(task.consensus)
    return replace(own, rule=asked) if asked else own


def consensus_for_task(
    task: SortingTask, rule: ConsensusRule | None = None, *, adjudicated: bool = True
) -> dict[int, Consensus]:
    """Image id -> what its decisions come to, for every image of the task's queues, of live patients.

    ``rule`` replaces the task's own; ``adjudicated=False`` leaves the adjudicators out. A seat that is no longer
    active counts where it decided and is not waited for. 2 queries, 3 where the rule needs more than one adjudicator.
    """
    rule = rule or rule_of(task)
    given: dict[int, list[Given]] = defaultdict(list)
    expected: dict[int, int] = defaultdict(int)
    dealt: dict[int, int] = defaultdict(int)
    rows = SortingItem.objects.filter(seat__task=task, image__slide__patient__withdrawn_at=None).order_by("pk")
    for image_id, part, active, verdict, label in rows.values_list(
        "image_id", "seat__part", "seat__active", "current__verdict", "current__label"
    ):
        dealt[image_id] += 1
        expected[image_id] += bool(active or verdict not in (None, CLEARED))
        if verdict is not None:
            given[image_id].append(Given(verdict, label, part == SortingSeat.Part.SENIOR))
    settled = adjudications_of(task) if adjudicated else {}
    panel: dict[int, bool] = {}  # seat id of each adjudicator -> is still there
    if adjudicated and rule.panel_min > 1:
        seats = SortingSeat.objects.filter(task=task, part=SortingSeat.Part.ADJUDICATOR)
        panel = dict(seats.values_list("pk", "active"))
    return {
        image_id: consensus_of(
            rule, given[image_id], list((votes := settled.get(image_id, {})).values()), n_expected=n,
            n_dealt=dealt[image_id], panel=_panel(panel, votes),
        )
        for image_id, n in expected.items()
    }  # fmt: skip


def _panel(seats: Mapping[int, bool], votes: Mapping[int, Given]) -> Panel:
    voted = {seat for seat, one in votes.items() if one.verdict != CLEARED}
    return Panel(len(seats), sum(active or seat in voted for seat, active in seats.items()))


def adjudications_of(task: SortingTask) -> dict[int, dict[int, Given]]:
    """Image id -> seat id of each adjudicator -> their newest verdict. 1 query."""
    newest: dict[int, dict[int, Given]] = defaultdict(dict)
    rows = AdjudicationDecision.objects.filter(task=task).order_by("pk")
    for image_id, seat_id, verdict, label in rows.values_list("image_id", "seat_id", "verdict", "label"):
        newest[image_id][seat_id] = Given(verdict, label)
    return newest


def sortable_images(cohorts: Sequence[Cohort]) -> list[tuple[str, int]]:
    """(public id, id) of the images of live patients that curation has not taken out. 1 query."""
    newest = Exclusion.objects.filter(image=OuterRef("pk")).order_by("-pk").values("excluded")[:1]
    rows = (
        HpfImage.objects.filter(slide__patient__cohort__in=cohorts, slide__patient__withdrawn_at=None)
        .annotate(taken_out=Subquery(newest))
        .filter(Q(taken_out=None) | Q(taken_out=False))
        .order_by("pk")
    )
    return [(str(public_id), pk) for public_id, pk in rows.values_list("public_id", "pk")]
