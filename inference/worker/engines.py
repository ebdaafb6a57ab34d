"""Engines stay open for as long as the worker lives: opening costs seconds, using milliseconds."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from inference.models import ModelVersion
from inference.pipeline.architecture import has_closed_form
from inference.pipeline.checkpoint import ModelFolder
from inference.pipeline.engine import Engine, open_engine
from inference.pipeline.preprocess import Recipe
from inference.services.files import model_folder

MAX_OPEN = 8  # two pipelines of four models; each holds its weights in memory


@dataclass(frozen=True)
class OpenModel:
    """A model version ready to compute."""

    row: ModelVersion
    engine: Engine
    recipe: Recipe
    classifier: NDArray[np.float32] | None  # (n_classes, C), where Grad-CAM has its closed form

    @property
    def key(self) -> dict[str, object]:
        """What a prediction of this model on this machine is stored under, beside the image's content."""
        return {"model": self.row, "recipe_sha256": self.row.recipe_sha256, "profile": self.engine.profile}


_open: OrderedDict[tuple[str, ...], tuple[Engine, ModelFolder, NDArray[np.float32] | None]] = OrderedDict()


def open_model(row: ModelVersion) -> OpenModel:
    """Open, or find open, the engine of a model version (one worker process runs one job at a time)."""
    # What the card brings counts first; the same weights may be registered with another band under another name.
    margins = dict(row.calibrations.values_list("precision", "margin")) | row.card["recheck_margins"]
    key = (row.weights_sha256, row.onnx_sha256, row.recipe_sha256, settings.INFERENCE_ENGINE, repr(margins))
    if key not in _open:
        folder = model_folder(row)
        folder = replace(folder, card=replace(folder.card, recheck_margins=margins))
        engine = open_engine(folder, settings.INFERENCE_ENGINE, cache_dir=Path(settings.CACHE_ROOT) / "openvino")
        classifier = folder.classifier_weight() if has_closed_form(folder.card.architecture) else None
        _open[key] = (engine, folder, classifier)
        while len(_open) > MAX_OPEN:
            _open.popitem(last=False)
    _open.move_to_end(key)
    engine, folder, classifier = _open[key]
    return OpenModel(row, engine, folder.card.recipe, classifier)
