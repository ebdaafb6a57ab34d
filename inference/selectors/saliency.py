"""What the sheet of saliency maps shows. Callers say how to look whether a map is there (``Ready``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inference.models import ModelVersion
from inference.selectors.results import Field, ModelValues, Result

FIRST_SHOWN = ("model_2", "model_3")

Ready = Callable[[str, ModelVersion], bool]  # content hash and model -> its map can be drawn at once


@dataclass(frozen=True)
class Shown:
    """One model's own label on one field, and whether its overlay can be drawn at once."""

    values: ModelValues
    ready: bool


@dataclass(frozen=True)
class Row:
    field: Field
    shown: tuple[Shown, ...]


def sheet_slots(result: Result) -> tuple[str, ...]:
    """Models 2 and 3, as the paper shows them, where they were run; otherwise every model that was."""
    found = tuple(slot for slot in FIRST_SHOWN if slot in result.slots_run)
    return found or tuple(result.slots_run)


def sheet_rows(result: Result, fields: Iterable[Field], ready: Ready) -> list[Row]:
    slots, models = sheet_slots(result), result.slots_run
    return [Row(field, tuple(_shown(field, slot, models[slot], ready) for slot in slots)) for field in fields]


def n_without_maps(result: Result, ready: Ready) -> int:
    """Fields still on the slide that lack the map of any model that was run."""
    models = list(result.slots_run.values())
    return sum(
        any(not ready(field.content_sha256, model) for model in models)
        for field in result.fields
        if field.image is not None
    )


def _shown(field: Field, slot: str, model: ModelVersion, ready: Ready) -> Shown:
    values = field.model(slot)
    assert values is not None, "every field has the values of every model that was run"
    return Shown(values, ready(field.content_sha256, model))
