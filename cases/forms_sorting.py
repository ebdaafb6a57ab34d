"""What an admin types about sorting tasks and taxonomies. The services check it again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from cases.consensus import ConsensusRule
from cases.models import Cohort, HpfImage, SortingTask, Taxonomy
from cases.services.curation import images_by_public_id
from cases.services.sorting_tasks import People
from leukoweb.core.exceptions import DomainError
from leukoweb.core.forms import text_of
from leukoweb.core.models import Role, User

RULE_CHOICES = [
    ("adjudicated", "Adjudicated: all must agree, an adjudicator settles the rest"),
    ("majority", "Majority: more than half; an adjudicator settles ties"),
    ("unanimous", "Unanimous: what is disputed is left out"),
    ("senior", "Senior: the senior sorter's verdict counts"),
]


def _people(label: str, help_text: str, *, required: bool = False) -> forms.ModelMultipleChoiceField:
    return forms.ModelMultipleChoiceField(
        queryset=User.objects.none(), label=label, help_text=help_text, required=required,
        widget=forms.CheckboxSelectMultiple,
    )  # fmt: skip


class SortingTaskForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="Sorters see it.")
    cohorts = forms.ModelMultipleChoiceField(
        queryset=Cohort.objects.all(), widget=forms.CheckboxSelectMultiple,
        help_text="Whoever sorts a patient's images cannot read that patient blinded in a study.",
    )  # fmt: skip
    sorters = _people("Sorters", "Each gets a queue in a random order of their own and sees only their own decisions.",
                      required=True)  # fmt: skip
    seniors = _people("Senior sorters", "Sort like the others; the rule 'senior' gives them the last word.")
    adjudicators = _people("Adjudicators", "Settle what the sorters disagree on. Several are a panel.")
    assignment = forms.ChoiceField(choices=SortingTask.Assignment.choices, widget=forms.RadioSelect, initial="all")
    overlap_percent = forms.IntegerField(
        min_value=0,
        max_value=100,
        initial=20,
        label="Overlap (%)",
        help_text="Only for a split with a share that goes to two.",
    )
    rule = forms.ChoiceField(choices=RULE_CHOICES, widget=forms.RadioSelect, initial="adjudicated", label="Consensus")
    min_decisions = forms.IntegerField(
        min_value=0, max_value=20, initial=0, label="Decisions needed",
        help_text="How many sorters must have decided an image before it counts; 0: all who have it.",
    )  # fmt: skip
    panel_min = forms.IntegerField(
        min_value=1, max_value=20, initial=1, label="Adjudicators needed",
        help_text="How many of a panel must have decided.",
    )  # fmt: skip
    adjudication = forms.ChoiceField(
        choices=SortingTask.Adjudication.choices, widget=forms.RadioSelect, initial="blind"
    )
    taxonomy = forms.ModelChoiceField(queryset=Taxonomy.objects.all(), empty_label=None)
    instructions = forms.CharField(widget=forms.Textarea(attrs={"rows": 4}), required=False)
    images = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pathologists = User.objects.filter(role=Role.PATHOLOGIST, is_active=True).order_by("username")
        for name in ("sorters", "seniors", "adjudicators"):
            self.fields[name].queryset = pathologists  # type: ignore[attr-defined]

    def clean_images(self) -> list[HpfImage]:
        """Nothing means every image of the cohorts."""
        ids = [one for one in self.cleaned_data["images"].split(",") if one]
        try:
            return images_by_public_id(ids)
        except (DomainError, ValueError, ValidationError) as error:
            raise ValidationError("Some of the chosen images are not there any more. Choose them again.") from error

    def request(self) -> dict[str, Any]:
        """Arguments of `task_create`."""
        data = dict(self.cleaned_data)
        people = People(*(list(data.pop(name)) for name in ("sorters", "seniors", "adjudicators")))
        rule = ConsensusRule(*(data.pop("rule"),), **{name: data.pop(name) for name in ("min_decisions", "panel_min")})
        only = data.pop("images")
        return {**data, "cohorts": list(data["cohorts"]), "people": people, "rule": rule, "only": only}


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=300, help_text="Kept in the record for good, with your name and the time.")


class TaxonomyForm:
    """A table of labels by maps, with one empty row for a new label. Field names: ``label-3-name``, ``map-3-five``.

    Not a Django form, because its columns are data: the maps that the edited version has.
    """

    columns = ("name", "title", "code", "colour", "key")

    def __init__(self, taxonomy: Taxonomy, data: Any = None) -> None:
        self.taxonomy = taxonomy
        self.map_names = sorted(taxonomy.maps)
        self.data = data
        self.note = data.get("note", "").strip() if data is not None else ""

    def require_text(self) -> None:
        """Raise `DomainError` for what no column can hold; the rest is for the service to judge."""
        for name, value in ({} if self.data is None else self.data).items():
            text_of(value, "The note" if name == "note" else "The table")

    def rows(self) -> list[dict[str, Any]]:
        """One per label and the empty one, as typed or as stored."""
        count = len(self.taxonomy.labels) + 1
        return [self._row(number) for number in range(count)]

    def _row(self, number: int) -> dict[str, Any]:
        stored = self.taxonomy.labels[number] if number < len(self.taxonomy.labels) else {}

        def value(name: str, otherwise: str) -> str:
            return otherwise if self.data is None else self.data.get(name, "").strip()

        cells = [
            {"column": column, "name": f"label-{number}-{column}",
             "value": value(f"label-{number}-{column}", stored.get(column, ""))}
            for column in self.columns
        ]  # fmt: skip
        by_map = [
            {"map": name, "name": f"map-{number}-{name}", "classes": self.taxonomy.maps[name]["classes"],
             "value": value(f"map-{number}-{name}", self.taxonomy.maps[name]["by_label"].get(stored.get("name"), ""))}
            for name in self.map_names
        ]  # fmt: skip
        title = stored.get("title", "New label")
        return {"number": number, "title": title, "is_new": not stored, "cells": cells, "maps": by_map}

    def labels(self) -> list[dict[str, str]]:
        """Rows that have something in them; a row without a name is left out of the new version."""
        return [
            {cell["column"]: cell["value"] for cell in row["cells"]} for row in self.rows() if row["cells"][0]["value"]
        ]

    def maps(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: {"classes": self.taxonomy.maps[name]["classes"], "by_label": {}} for name in self.map_names
        }
        for row in self.rows():
            label = row["cells"][0]["value"]
            for cell in row["maps"]:
                if label and cell["value"]:
                    found[cell["map"]]["by_label"][label] = cell["value"]
        return found
