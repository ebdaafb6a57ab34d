"""Where a network starts: random weights, a file, ImageNet, or a registered model; with what its card will say."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from inference.models import ModelVersion, TrainingPart, TrainingRun
from inference.pipeline.errors import WeightsKeys
from inference.pipeline.training_config import ConfigInvalid
from inference.selectors.ancestry import datasets_behind
from inference.services.files import model_folder


@dataclass(frozen=True)
class Start:
    """``source`` goes to ``build_network``; ``words``, ``sha256`` and ``datasets`` (public ids of the dataset versions
    that the weights have learned from) onto the card, as does ``synthetic``: the model that they are of was trained on
    drawn images. What is trained on people's images from there is no synthetic model."""

    source: str | Path | None
    words: str
    sha256: str = ""
    synthetic: bool = False
    datasets: tuple[str, ...] = ()


def initial_weights(run: TrainingRun, part: TrainingPart) -> Start:
    """ConfigInvalid where what was chosen is gone or is another network.

    ``live`` was pinned when the run was made: a promotion since then does not change it.
    """
    plan = run.plan
    kind, _, value = plan.initial_weights.partition(":")
    if kind == "imagenet":
        return Start("imagenet", "ImageNet (torchvision)")
    if kind == "file":
        path = Path(settings.DATA_DIR) / "weights" / value
        if not path.is_file():
            raise ConfigInvalid(
                f"The weights file {value!r} is gone from {path.parent}.", field="initial_weights",
                hint="Backups do not hold that folder: put the file back there, then continue.",
            )  # fmt: skip
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Start(path, f"file {value}", sha256, datasets=tuple(sorted(datasets_behind([], sha256))))
    if kind == "model":
        return _model(run, ModelVersion.objects.get(pk=int(value)))
    if kind == "live":
        return _model(run, _pinned(run, part))
    if kind == "previous":
        first = run.parts.exclude(model=None).order_by("position").first()
        if first is not None and first.model is not None:
            return _model(run, first.model)
    return Start(None, "random")


def _model(run: TrainingRun, model: ModelVersion) -> Start:
    if model.card["architecture"] != run.config["architecture"]:
        raise WeightsKeys(
            f"{model} is a {_network(model.card['architecture'])}, this run trains a "
            f"{_network(run.config['architecture'])}.",
            hint="Choose the same network, or another start.", field="initial_weights",
        )  # fmt: skip
    folder = model_folder(model)
    behind = tuple(sorted(datasets_behind([model])))
    return Start(folder.weights_path, f"model {model}", model.weights_sha256, model.synthetic, behind)


def _pinned(run: TrainingRun, part: TrainingPart) -> ModelVersion:
    return ModelVersion.objects.get(pk=run.environment["live"][part.part])


def _network(architecture: dict[str, object]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in architecture.items() if key != "name")
    return f"{architecture['name']} ({options})" if options else str(architecture["name"])
