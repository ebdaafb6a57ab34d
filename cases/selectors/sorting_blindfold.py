"""Whom a sorter may not see outside of the board."""

from __future__ import annotations

from typing import Any

from cases.models import Patient
from leukoweb.core.permissions import has_action

BOARD_PAGES = frozenset(
    {"sorting_home", "sorting_board", "api_sorting_queue", "api_sorting_decisions", "api_sorting_history",
     "api_sorting_place", "image_file", "image_thumb"}
)  # fmt: skip
"""What the board is made of: random ids, neutral numbers and pixels, no code, no result and nobody else."""


def patients_in_sorting(user: Any) -> list[int]:
    """Patients of the open tasks in which the user has a seat, as sorter or adjudicator. 1 query, 0 where nobody sorts.

    A code, the other fields of the slide or what the AI says would tell what is to be decided. The whole cohorts of a
    task count, because an adjudicator may get any of their images. Read past the blindfold, which asks for this.
    """
    if not has_action(user, "sorting.sort"):
        return []
    seats = {"cohort__sorting_tasks__seats__user": user, "cohort__sorting_tasks__seats__active": True}
    rows = Patient._base_manager.filter(**seats, cohort__sorting_tasks__closed_at=None)
    return list(rows.order_by().values_list("pk", flat=True).distinct())
