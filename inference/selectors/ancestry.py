"""What a model knows: the dataset versions that it, and whatever its weights started from, was trained on.

A patient whom a start model has learned from is no test patient of the model that comes of it, on whatever side of the
newer version the patient is.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from cases.models import DatasetEntry, DatasetVersion
from cases.selectors.datasets import dataset_rows
from inference.models import ModelVersion
from inference.pipeline.architecture import IMAGENET_SHA256
from inference.pipeline.training_data import INTERNAL, TRAIN


def datasets_of_card(card: Mapping[str, Any]) -> set[str]:
    """Public ids on one card: its own dataset version, and those of its ancestors where it names them."""
    return {str(name) for name in (card.get("dataset", {}).get("dataset_version"), *_start_datasets(card)) if name}


def _start_datasets(card: Mapping[str, Any]) -> list[Any]:
    named = card.get("training", {}).get("start_datasets")
    return named if isinstance(named, list) else []  # a card of before that was checked


def datasets_behind(models: Iterable[ModelVersion], weights_sha256: str = "") -> set[str]:
    """Public ids of every dataset version that these models, or models with these weights, have learned from.

    The same weights may be registered under other cards; and cards that do not name their ancestors name the hash of
    the weights that they started from. Both are followed. One query for each generation.
    """
    given = list(models)
    cards = [model.card for model in given]
    known, wanted = set[str](), {weights_sha256, *(model.weights_sha256 for model in given)} - {""}
    found: set[str] = set()
    while cards or wanted:
        for card in cards:
            found |= datasets_of_card(card)
            wanted.add(str(card.get("training", {}).get("initial_weights_sha256") or ""))
        wanted -= known | {""}
        known |= wanted
        cards = list(ModelVersion.objects.filter(weights_sha256__in=wanted).values_list("card", flat=True))
        wanted = set()
    return found


def datasets_absent(models: Iterable[ModelVersion]) -> int:
    """How many of the dataset versions that these models and their ancestors name are not in this installation;
    without those that are known to hold drawn images alone."""
    ids = {name for name in datasets_behind(models) if is_uuid(name)}
    here = DatasetVersion.objects.filter(public_id__in=ids).values_list("public_id", flat=True) if ids else ()
    return _absent(ids, here)


def _absent(ids: set[str], here: Iterable[uuid.UUID]) -> int:
    gone = ids - {str(public_id) for public_id in here}
    return len(gone - _drawn(gone)) if gone else 0


def _drawn(ids: set[str]) -> set[str]:
    """Those of these dataset versions of which a card here says that they hold drawn images.

    A card that does not tell whether its start was drawn is of a time when that alone made a model synthetic: with
    start weights it says nothing about its own images.
    """
    rows = ModelVersion.objects.filter(synthetic=True, card__dataset__dataset_version__in=sorted(ids))
    found = set()
    for card in rows.values_list("card", flat=True):
        training = card.get("training", {})
        if "start_synthetic" in training or not training.get("initial_weights_sha256"):
            found.add(str(card["dataset"]["dataset_version"]))
    return found


def untold(models: Iterable[ModelVersion]) -> tuple[str, ...]:
    """Names of those among these models and whatever they started from of which nobody can say whom they know.

    A model says it by naming a dataset version, or by having been trained on drawn images; start weights that are not
    registered here, by the versions that the card names for them, or by being torchvision's. One query a generation.
    """
    level = {model.weights_sha256: (str(model), False) for model in models}
    found: list[str] = []
    known = set(level)
    while level:
        rows = ModelVersion.objects.filter(weights_sha256__in=level)
        registered: dict[str, list[tuple[dict[str, Any], bool]]] = defaultdict(list)
        for weights, card, synthetic in rows.values_list("weights_sha256", "card", "synthetic"):
            registered[weights].append((card, synthetic))
        before: dict[str, tuple[str, bool]] = {}
        for weights, (name, told) in level.items():
            cards = registered.get(weights, [])
            if not (any(_tells(card, synthetic) for card, synthetic in cards) if cards else told):
                found.append(name)
            for card, _ in cards:
                start = str(card.get("training", {}).get("initial_weights_sha256") or "")
                if start and start not in known and not start.startswith(IMAGENET_SHA256):
                    before[start] = (f"the start of {name}", _tells_start(card))
        known |= before.keys()
        level = before
    return tuple(found)


def _tells_start(card: Mapping[str, Any]) -> bool:
    named = _start_datasets(card)
    return all(is_uuid(str(n)) for n in named) if named else card["training"].get("start_synthetic") is True


def _tells(card: Mapping[str, Any], synthetic: bool) -> bool:
    return synthetic or is_uuid(str(card.get("dataset", {}).get("dataset_version", "")))


@dataclass(frozen=True)
class Known:
    """``patients``: internal-validation patients of a version whom models have learned from. ``n_absent``: dataset
    versions of those models that are not in this installation, so that nobody can tell; ``versions``: those that are,
    the newest first. ``untold``: models and start weights of which nobody knows what they have learned from."""

    patients: tuple[str, ...]
    n_absent: int
    versions: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not self.patients and not self.n_absent and not self.untold


def known_patients(dataset: DatasetVersion, datasets: Iterable[str]) -> Known:
    """By person and by the bytes of the images, whatever a patient's code is now. Two queries, and one more where a
    version is absent."""
    ids = {name for name in datasets if is_uuid(name)}
    rows = DatasetVersion.objects.filter(public_id__in=ids)
    here = list(rows.order_by("-pk")) if ids else []
    n_absent = _absent(ids, [version.public_id for version in here])
    if not here:
        return Known((), n_absent)
    trained = DatasetEntry.objects.filter(dataset__in=here, split=TRAIN).order_by()
    seen = dataset_rows(dataset).filter(split=INTERNAL).filter(
        Q(patient__in=trained.values("patient")) | Q(content_sha256__in=trained.values("content_sha256"))
    )  # fmt: skip
    codes = seen.order_by("patient_code").values_list("patient_code", flat=True).distinct()
    return Known(tuple(codes), n_absent, tuple(str(version) for version in here))


def is_uuid(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False
