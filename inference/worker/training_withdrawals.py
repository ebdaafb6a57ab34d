"""Patients who are withdrawn while a run works, or between two of its attempts: noticed before anything is kept."""

from __future__ import annotations

from inference.models import TrainingRun
from inference.pipeline.dataset import ImageSet
from inference.pipeline.training_data import INTERNAL, TRAIN, Entry, TrainingRefused
from inference.selectors.training import training_entries, withdrawn_since
from inference.services.training import NEW_RUN, check_moved


def entries_still(run: TrainingRun, data: tuple[ImageSet, ImageSet]) -> list[Entry]:
    """The dataset's images, if they still are those of ``data``, training and validation; two queries.

    TrainingRefused (E_WITHDRAWN, E_MOVED) otherwise: a card must not deny a patient whom its weights have learned from,
    and neither a model may be registered nor a state kept that knows somebody who was withdrawn before that.
    """
    check_moved(run.dataset)
    entries = training_entries(run.dataset)
    for split, used in zip((TRAIN, INTERNAL), data, strict=True):
        if [entry.patient for entry in entries if entry.split == split] != list(used.patients):
            raise TrainingRefused(
                "A patient of the dataset was withdrawn while the run worked; nothing was registered.",
                code="E_WITHDRAWN", hint=NEW_RUN,
            )  # fmt: skip
    return entries


def refuse_old_state(run: TrainingRun) -> None:
    """TrainingRefused (E_WITHDRAWN) where the state that an attempt would go on from knows a withdrawn patient."""
    if withdrawn_since(run):
        raise TrainingRefused(
            "A patient of the dataset was withdrawn since the run began, and its weights have learned from the "
            "dataset as it was.", code="E_WITHDRAWN", hint=NEW_RUN,
        )  # fmt: skip
