"""Input of the training pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django import forms

from cases.models import DatasetVersion
from cases.selectors.datasets import dataset_list
from inference.pipeline.rules import RULE_SETS
from inference.pipeline.training_config import (
    CLASS_WEIGHTS,
    LIVE_RULES,
    PARTS,
    PRECISIONS,
    PRESETS,
    SCHEDULES,
    STARTER_ARCHITECTURE,
    TrainingConfig,
    TrainingSettings,
)
from inference.selectors.registry import model_list
from inference.selectors.training import weight_files
from leukoweb.core.exceptions import DomainError

NARROW = "narrow"
BACKBONES = (
    ("densenet121", "DenseNet-121 (the paper's)"), ("densenet169", "DenseNet-169"), ("densenet201", "DenseNet-201"),
    ("resnet50", "ResNet-50"), ("efficientnet_b0", "EfficientNet-B0"), ("convnext_tiny", "ConvNeXt tiny"),
    (NARROW, "Narrow DenseNet (minutes on a CPU; the starter's)"),
)  # fmt: skip


def _choices(names: Any) -> list[tuple[str, str]]:
    return [(name, name) for name in names]


class TrainingForm(forms.Form):
    """A configuration; the fields beyond the first ones have the preset's values."""

    dataset = forms.ModelChoiceField(queryset=DatasetVersion.objects.none(), empty_label=None)
    models = forms.MultipleChoiceField(
        choices=[(part, words[2]) for part, words in PARTS.items()], widget=forms.CheckboxSelectMultiple
    )
    name = forms.CharField(max_length=60, required=False, help_text="Empty: made from the dataset's name")
    method = forms.ChoiceField(
        choices=[("full", "Full recipe: all layers"), ("quick", "Quick: new last layer on a frozen backbone")]
    )
    backbone = forms.ChoiceField(choices=BACKBONES, label="Network")
    size_px = forms.IntegerField(label="Image side (px)", min_value=32, max_value=4096)
    initial_weights = forms.ChoiceField(label="Start from", required=False)
    epochs = forms.IntegerField(min_value=1, max_value=100_000)
    batch_size = forms.IntegerField(min_value=2, max_value=4096)
    learning_rate = forms.FloatField(min_value=0, max_value=10)
    weight_decay = forms.FloatField(min_value=0, max_value=10)
    schedule = forms.ChoiceField(choices=_choices(SCHEDULES), label="Learning rate over time")
    precision = forms.ChoiceField(choices=_choices(PRECISIONS), help_text="bf16 is faster where the device has it")
    class_weights = forms.ChoiceField(choices=_choices(CLASS_WEIGHTS))
    early_stopping = forms.IntegerField(
        min_value=0, max_value=100_000, help_text="Epochs without a better one; 0: never stop early"
    )
    accumulate = forms.IntegerField(
        min_value=1, max_value=2048, label="Parts per batch", help_text="Gradient accumulation, for less memory"
    )
    colour_jitter = forms.FloatField(min_value=0, max_value=1)
    seed = forms.IntegerField(min_value=0)
    rules = forms.ChoiceField(
        choices=[(LIVE_RULES, "Those of the active pipeline"), *_choices(RULE_SETS)], label="Rules of the candidate"
    )
    temperature = forms.BooleanField(required=False, label="Temperature scaling on the internal-validation images")
    shuffled_labels = forms.BooleanField(required=False, label="Control: shuffle the training labels")

    def __init__(self, *args: Any, preset: str = "paper", **kwargs: Any) -> None:
        self.preset, self.base = preset, PRESETS[preset]
        plain = asdict(self.base) | asdict(self.base.settings)
        narrow = self.base.architecture["name"] == "densenet"
        plain["backbone"] = NARROW if narrow else self.base.architecture["name"]
        kwargs["initial"] = plain | {k: v for k, v in (kwargs.get("initial") or {}).items() if v}
        super().__init__(*args, **kwargs)
        field, start = self.fields["dataset"], self.fields["initial_weights"]
        assert isinstance(field, forms.ModelChoiceField)
        assert isinstance(start, forms.ChoiceField)
        field.queryset = dataset_list()
        start.choices = [
            ("", "Random weights"), ("imagenet", "ImageNet (downloaded from torchvision)"),
            ("live", "The active pipeline's models"), ("previous", "Random, then the first model of this run"),
            *[(f"file:{name}", f"File {name}") for name in weight_files()],
            *[(f"model:{row.pk}", f"Model {row}") for row in model_list()[:100]],
        ]  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        names = {"epochs", "batch_size", "learning_rate", "weight_decay", "schedule", "precision", "class_weights",
                 "early_stopping", "accumulate", "colour_jitter", "seed"}  # fmt: skip
        try:
            settings = asdict(self.base.settings) | {name: data[name] for name in names}
            backbone = data["backbone"]
            self.config = TrainingConfig(
                models=tuple(data["models"]), method=data["method"], size_px=data["size_px"], rules=data["rules"],
                architecture=dict(STARTER_ARCHITECTURE) if backbone == NARROW else {"name": backbone},
                initial_weights=data["initial_weights"], temperature=data["temperature"],
                shuffled_labels=data["shuffled_labels"], settings=TrainingSettings(**settings),
            )  # fmt: skip
        except DomainError as error:
            self.refuse(error)
        return data

    def refuse(self, error: DomainError) -> None:
        """Put a refusal beside the field that it names."""
        field = error.field if error.field in self.fields else None
        self.add_error(field, f"{error.message} {error.hint} ({error.code})")




class RollBackForm(forms.Form):
    """A step back has a reason: somebody will ask for it."""

    reason = forms.CharField(max_length=400, label="Why back?", help_text="Kept in the history and the audit trail")


class PromoteForm(forms.Form):
    """``instead_of`` is the pipeline that was active when the page was made: whoever comes second is told."""

    instead_of = forms.IntegerField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=500, help_text="Kept in the history and the audit trail")
