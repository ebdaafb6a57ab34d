"""Where slides stand with the active pipeline, as a column of the cohort's page (``cases.selectors.slide_states``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from django.db.models import QuerySet

from cases.models import Cohort, Slide
from cases.selectors.slide_states import SlideState
from inference.selectors.registry import pipeline_active
from inference.selectors.runs import RunState, cohort_states, states_of
from leukoweb.core.blindfold import among

_SHOWN: Final = {
    RunState.CURRENT: SlideState("Done", "done"),
    RunState.RUNNING: SlideState("Waits or runs", "running"),
    RunState.FAILED: SlideState("Failed", "failed"),
    RunState.CANCELLED: SlideState("Cancelled", "cancelled"),
    RunState.OLD_IMAGES: SlideState("Rerun: images changed", "warn"),
    RunState.OLD_PIPELINE: SlideState("Rerun: other pipeline", "warn"),
    RunState.NONE: SlideState("Not run", "none"),
}
_CHOICES: Final[Mapping[str, tuple[str, tuple[RunState, ...]]]] = {
    "done": ("Done", (RunState.CURRENT,)),
    "active": ("Waits or runs", (RunState.RUNNING,)),
    "failed": ("Failed", (RunState.FAILED,)),
    "cancelled": ("Cancelled", (RunState.CANCELLED,)),
    "rerun": ("Needs a rerun", (RunState.OLD_IMAGES, RunState.OLD_PIPELINE)),
    "none": ("Not run", (RunState.NONE,)),
}


class SlideRuns:
    title = "AI pipeline"
    choices: Sequence[tuple[str, str]] = tuple((value, words) for value, (words, _) in _CHOICES.items())

    def of(self, slides: Collection[int]) -> Mapping[int, SlideState]:
        """Four queries; nothing to tell while no pipeline is active."""
        pipeline = pipeline_active() if slides else None
        if pipeline is None:
            return {}
        return {slide: _SHOWN[state] for slide, state in states_of(slides, pipeline).items()}

    def narrow(self, rows: QuerySet[Slide], cohort: Cohort, choice: str) -> QuerySet[Slide]:
        pipeline = pipeline_active()
        if pipeline is None:
            return rows if choice == "none" else rows.none()
        found = cohort_states(cohort, pipeline, _CHOICES[choice][1])
        return rows.filter(among("pk", found)) if found else rows.none()
