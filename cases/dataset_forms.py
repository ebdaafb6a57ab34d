"""What a person chooses for a dataset version."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms

from cases.consensus import RULES
from cases.dataset_choices import Settings
from cases.models import Cohort, DatasetVersion, SortingTask, Taxonomy
from cases.selectors.usable import Choices

TASKS_OWN = ""


class DatasetForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="The next version of this name is made; a new name starts at 1.")
    cohorts = forms.ModelMultipleChoiceField(
        Cohort.objects.filter(purpose=Cohort.Purpose.DEVELOPMENT), widget=forms.CheckboxSelectMultiple,
        help_text="Development cohorts only: external validation is never trained on.",
    )  # fmt: skip
    tasks = forms.ModelMultipleChoiceField(
        SortingTask.objects.select_related("taxonomy").order_by("pk"), widget=forms.CheckboxSelectMultiple,
        label="Sorting tasks", help_text="Where an image is in several, they must agree on it.",
    )  # fmt: skip
    rule = forms.ChoiceField(
        choices=[(TASKS_OWN, "as each task says"), *((rule, rule) for rule in RULES)],
        required=False, label="Consensus",
        help_text="One rule for all keeps how many sorters or adjudicators each task asks for.",
    )  # fmt: skip
    class_map = forms.ChoiceField(
        label="Class map", help_text="For stratifying and counting. Every image keeps its own label."
    )
    min_images = forms.IntegerField(
        initial=3, min_value=1, max_value=1000, label="Minimum of images per slide",
        help_text="Slides with fewer are left out.",
    )  # fmt: skip
    percent = forms.IntegerField(
        initial=20, min_value=1, max_value=50, label="Internal validation, % of patients",
        help_text="Not used with folds: then fold 1 is the internal part.",
    )  # fmt: skip
    folds = forms.IntegerField(initial=0, min_value=0, max_value=20, help_text="0 for none, or 2 to 20.")
    sides_of = forms.ModelChoiceField(
        DatasetVersion.objects.order_by("-id"), required=False, label="Keep the sides of",
        empty_label="no version: draw every patient anew",
        help_text="Its patients stay where they are, new ones are drawn. Models that were trained on it can then be "
        "trained further, and compared, on this version: nobody whom they learned from becomes a test patient.",
    )  # fmt: skip
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, help_text="Of the split; stored with the version.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = {name for maps in Taxonomy.objects.values_list("maps", flat=True) for name in maps}
        order = [name for name in ("five", "four", "three", "two") if name in names or not names]
        self.fields["class_map"].choices = [  # type: ignore[attr-defined]
            (name, name) for name in [*order, *sorted(names - set(order))]
        ]
        self.fields["seed"].initial = secrets.randbelow(10**6)
        self.fields["sides_of"].initial = DatasetVersion.objects.order_by("-id").first()

    def choices(self) -> Choices:
        """Only after `is_valid`. Raises `DomainError` for what `Settings` refuses."""
        data = self.cleaned_data
        return Choices(
            cohorts=tuple(data["cohorts"]),
            tasks=tuple(data["tasks"]),
            settings=Settings(
                class_map=data["class_map"], min_images=data["min_images"], fraction=data["percent"] / 100,
                folds=data["folds"], seed=data["seed"],
            ),
            rule=data["rule"],
            sides_of=data["sides_of"],
        )  # fmt: skip


class DatasetImportForm(forms.Form):
    file = forms.FileField(
        label="Zip archive", allow_empty_file=False, widget=forms.ClearableFileInput(attrs={"accept": ".zip"}),
        help_text="As an export makes it, or with any images.csv that has file, patient, slide and label.",
    )  # fmt: skip
    cohort = forms.CharField(max_length=80, help_text="Made where it is missing.")
    purpose = forms.ChoiceField(choices=Cohort.Purpose.choices, initial=Cohort.Purpose.DEVELOPMENT)
    code_prefix = forms.CharField(
        max_length=20, required=False, strip=False, label="Prefix of codes",
        help_text="Put before every patient and slide code, where codes are taken here already.",
    )  # fmt: skip
